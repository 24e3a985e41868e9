"""OpenAI's package: an answer as a whole, and one as it arrives."""

import os

from openai import OpenAI

client = OpenAI(base_url=os.environ["BASE_URL"] + "/v1", api_key="none")
messages = [{"role": "user", "content": "say Hello there."}]

answer = client.chat.completions.create(model="local", messages=messages, max_tokens=20)
print(answer.choices[0].message.content, answer.choices[0].finish_reason, answer.usage)
assert answer.usage.completion_tokens > 0

stream = client.chat.completions.create(
    model="local", messages=messages, max_tokens=20, stream=True,
    stream_options={"include_usage": True})
parts, usage = [], None
for chunk in stream:
    if chunk.choices and chunk.choices[0].delta.content:
        parts.append(chunk.choices[0].delta.content)
    usage = chunk.usage or usage
print("".join(parts), usage)
assert parts and usage.prompt_tokens > 0

names = [model.id for model in client.models.list()]
print(names)
assert len(names) == 1
