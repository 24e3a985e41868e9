"""OpenAI's package: the Responses API over a WebSocket, two turns on one connection."""

import os

from openai import OpenAI

client = OpenAI(base_url=os.environ["BASE_URL"] + "/v1", api_key="none")

with client.responses.connect() as connection:
    connection.response.create(model="local", input="say One.", max_output_tokens=20)
    first = None
    for event in connection:
        if event.type in ("response.completed", "response.incomplete"):
            first = event.response
            break
    print(first.output[0].content[0].text)
    connection.response.create(
        model="local", input="say Two.", previous_response_id=first.id, max_output_tokens=20)
    for event in connection:
        if event.type in ("response.completed", "response.incomplete"):
            print(event.response.output[0].content[0].text)
            assert event.response.previous_response_id == first.id
            break
