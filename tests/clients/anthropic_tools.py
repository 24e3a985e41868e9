"""Anthropic's package: the model calls a tool and gets its result. Needs the scripted model."""

import os

from anthropic import Anthropic

client = Anthropic(base_url=os.environ["BASE_URL"], api_key="none")
tools = [{
    "name": "add",
    "description": "Adds two numbers.",
    "input_schema": {"type": "object", "properties": {"a": {"type": "number"}}},
}]
call = '<tool_call>\n{"name": "add", "arguments": {"a": 1}}\n</tool_call>'
messages = [{"role": "user", "content": "say " + call}]

answer = client.messages.create(model="local", max_tokens=200, messages=messages, tools=tools)
assert answer.stop_reason == "tool_use", answer
[use] = [block for block in answer.content if block.type == "tool_use"]
print(use.name, use.input)
assert use.input == {"a": 1}

messages.append({"role": "assistant", "content": answer.content})
result = {"type": "tool_result", "tool_use_id": use.id, "content": "say The sum is 3."}
messages.append({"role": "user", "content": [result]})
answer = client.messages.create(model="local", max_tokens=200, messages=messages, tools=tools)
print(answer.content[0].text)
assert answer.content[0].text == "The sum is 3."
