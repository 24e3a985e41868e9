"""OpenAI's package: an answer that fits a Pydantic model."""

import os

from openai import OpenAI
from pydantic import BaseModel, Field


class City(BaseModel):
    name: str = Field(max_length=30)
    has_sea: bool


client = OpenAI(base_url=os.environ["BASE_URL"] + "/v1", api_key="none")
answer = client.chat.completions.parse(
    model="local",
    messages=[{"role": "user", "content": "Which city has the Prado?"}],
    response_format=City,
    max_tokens=200,
    temperature=0,
)
print(answer.choices[0].message.parsed)
assert isinstance(answer.choices[0].message.parsed, City)
