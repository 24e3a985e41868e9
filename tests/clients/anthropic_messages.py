"""Anthropic's package: an answer as a whole, as a stream, and the tokens of a prompt."""

import os

from anthropic import Anthropic

client = Anthropic(base_url=os.environ["BASE_URL"], api_key="none")
messages = [{"role": "user", "content": "say Hello there."}]

answer = client.messages.create(model="local", max_tokens=20, messages=messages, system="Be kind.")
print(answer.content[0].text, answer.stop_reason, answer.usage)
assert answer.usage.output_tokens > 0

with client.messages.stream(model="local", max_tokens=20, messages=messages) as stream:
    text = "".join(stream.text_stream)
    final = stream.get_final_message()
print(text)
assert text == final.content[0].text

n_tokens = client.messages.count_tokens(model="local", messages=messages).input_tokens
print(n_tokens)
assert n_tokens > 0
