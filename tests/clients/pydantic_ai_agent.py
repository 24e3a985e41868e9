"""Pydantic AI: an agent that uses a tool. Needs the scripted model."""

import os

from pydantic_ai import Agent
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider

provider = OpenAIProvider(base_url=os.environ["BASE_URL"] + "/v1", api_key="none")
agent = Agent(OpenAIChatModel("local", provider=provider))


@agent.tool_plain
def add(a: int, b: int) -> str:
    """Adds two numbers."""
    return f"say The sum is {a + b}."


call = '<tool_call>\n{"name": "add", "arguments": {"a": 1, "b": 2}}\n</tool_call>'
result = agent.run_sync("say " + call)
print(result.output)
assert result.output == "The sum is 3."
