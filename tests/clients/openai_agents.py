"""OpenAI's Agents SDK: an agent that uses a tool, over both APIs. Needs the scripted model."""

import os

from agents import (
    Agent, OpenAIChatCompletionsModel, OpenAIResponsesModel, Runner, function_tool,
    set_tracing_disabled)
from openai import AsyncOpenAI

# Traces would go to OpenAI.
set_tracing_disabled(True)
client = AsyncOpenAI(base_url=os.environ["BASE_URL"] + "/v1", api_key="none")


@function_tool
def add(a: int, b: int) -> str:
    """Adds two numbers."""
    return f"say The sum is {a + b}."


call = '<tool_call>\n{"name": "add", "arguments": {"a": 1, "b": 2}}\n</tool_call>'
for model in (OpenAIChatCompletionsModel, OpenAIResponsesModel):
    agent = Agent(name="Helper", model=model("local", client), tools=[add])
    result = Runner.run_sync(agent, "say " + call)
    print(result.final_output)
    assert result.final_output == "The sum is 3."
