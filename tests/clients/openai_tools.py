"""OpenAI's package: the model calls a tool and gets its result. Needs the scripted model."""

import json
import os

from openai import OpenAI

client = OpenAI(base_url=os.environ["BASE_URL"] + "/v1", api_key="none")
tools = [{
    "type": "function",
    "function": {
        "name": "add",
        "description": "Adds two numbers.",
        "parameters": {
            "type": "object",
            "properties": {"a": {"type": "number"}, "b": {"type": "number"}},
            "required": ["a", "b"],
        },
    },
}]
call = '<tool_call>\n{"name": "add", "arguments": {"a": 1, "b": 2}}\n</tool_call>'
messages = [{"role": "user", "content": "say " + call}]

answer = client.chat.completions.create(model="local", messages=messages, tools=tools)
choice = answer.choices[0]
assert choice.finish_reason == "tool_calls", choice
[tool_call] = choice.message.tool_calls
arguments = json.loads(tool_call.function.arguments)
print(tool_call.function.name, arguments)
assert arguments == {"a": 1, "b": 2}

messages.append(choice.message)
messages.append({"role": "tool", "tool_call_id": tool_call.id, "content": "say The sum is 3."})
answer = client.chat.completions.create(model="local", messages=messages, tools=tools)
print(answer.choices[0].message.content)
assert answer.choices[0].message.content == "The sum is 3."
assert answer.choices[0].finish_reason == "stop"

# The same as a stream: the arguments arrive in pieces.
name, arguments = None, ""
stream = client.chat.completions.create(
    model="local", messages=messages[:1], tools=tools, stream=True)
for chunk in stream:
    for part in chunk.choices[0].delta.tool_calls or []:
        name = part.function.name or name
        arguments += part.function.arguments or ""
print(name, arguments)
assert (name, json.loads(arguments)) == ("add", {"a": 1, "b": 2})
