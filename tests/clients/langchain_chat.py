"""LangChain: an answer, a stream, and a call of a tool."""

import os

from langchain_core.tools import tool
from langchain_openai import ChatOpenAI

model = ChatOpenAI(
    base_url=os.environ["BASE_URL"] + "/v1", api_key="none", model="local", max_tokens=200)

answer = model.invoke("say Hello there.")
print(answer.content)
assert answer.content

parts = [part.content for part in model.stream("say Hello there.")]
print("".join(parts))
assert "".join(parts)


@tool
def add(a: int, b: int) -> int:
    """Adds two numbers."""
    return a + b


call = '<tool_call>\n{"name": "add", "arguments": {"a": 1, "b": 2}}\n</tool_call>'
if os.environ.get("SCRIPTED"):
    answer = model.bind_tools([add]).invoke("say " + call)
    print(answer.tool_calls)
    assert answer.tool_calls[0]["args"] == {"a": 1, "b": 2}
