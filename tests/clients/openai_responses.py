"""OpenAI's package: the Responses API, as a whole, as a stream, and continued."""

import os

from openai import OpenAI

client = OpenAI(base_url=os.environ["BASE_URL"] + "/v1", api_key="none")

response = client.responses.create(
    model="local", input="say The code is 7.", instructions="Be brief.", max_output_tokens=20)
print(response.output_text, response.usage)
assert response.status == "completed" or response.incomplete_details

again = client.responses.create(
    model="local", input="say What was the code?", previous_response_id=response.id,
    max_output_tokens=20)
print(again.output_text)

text = ""
with client.responses.stream(model="local", input="say Once.") as stream:
    for event in stream:
        if event.type == "response.output_text.delta":
            text += event.delta
    final = stream.get_final_response()
print(text)
assert text == final.output_text
