"""instructor: answers that fit a Pydantic model, by a JSON schema and by a call of a tool."""

import os

import instructor
from openai import OpenAI
from pydantic import BaseModel, Field


class Person(BaseModel):
    name: str = Field(max_length=30)
    age: int = Field(ge=0, le=120)


server = OpenAI(base_url=os.environ["BASE_URL"] + "/v1", api_key="none")
for mode in (instructor.Mode.JSON_SCHEMA, instructor.Mode.TOOLS):
    client = instructor.from_openai(server, mode=mode)
    person = client.create(
        model="local",
        response_model=Person,
        messages=[{"role": "user", "content": "Anna is 31 years old."}],
        max_tokens=300,
        temperature=0,
        max_retries=0,
    )
    print(person)
    assert isinstance(person, Person)
