"""Answers of SmolLM2 that have to fit a format, checked by a validator of its own."""

from __future__ import annotations

import json
import os
import re
from typing import Any

import jsonschema
import pytest
from conftest import Client, Daemon

# `make test-formats` tries more.
SEEDS = int(os.environ.get("FORMAT_SEEDS", "2"))
MAX_TOKENS = 120

Schema = dict[str, Any]


def record(**properties: Any) -> Schema:
    """The schema of an object that has exactly these members."""
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


TEXT = {"type": "string", "maxLength": 40}
PERSON = record(name=TEXT, age={"type": "integer", "minimum": 0, "maximum": 130})

# In the order of their difficulty.
SCHEMAS: dict[str, Schema] = {
    "constant": {"const": {"a": [1, None, True]}},
    "boolean": {"type": "boolean"},
    "enum": {"enum": ["red", "green", "blue", 7, None]},
    "integer": {"type": "integer", "minimum": -5, "maximum": 1200},
    "number": {"type": "number", "exclusiveMinimum": 0, "maximum": 2.5},
    "multiple": {"type": "integer", "multipleOf": 7, "minimum": 0, "maximum": 700},
    "text": TEXT,
    "pattern": {"type": "string", "pattern": "^[A-Z][a-z]{2,9}-\\d{3}$"},
    "date": {"type": "string", "format": "date"},
    "person": PERSON,
    "optional": {**PERSON, "required": ["name"]},
    "list": {"type": "array", "items": {"enum": ["x", "y"]}, "minItems": 2, "maxItems": 5},
    "tuple": {
        "type": "array",
        "prefixItems": [TEXT, {"type": "boolean"}],
        "items": False,
        "minItems": 2,
    },
    "people": {"type": "array", "items": PERSON, "minItems": 1, "maxItems": 3},
    "union": {"anyOf": [{"type": "null"}, PERSON, {"type": "array", "maxItems": 0}]},
    "variants": {
        "oneOf": [
            record(kind={"const": "circle"}, radius={"type": "number"}),
            record(kind={"const": "square"}, side={"type": "number"}),
        ]
    },
    "nested": record(a=record(b=record(c=record(d={"type": "boolean"})))),
    "all": {"allOf": [PERSON, {"properties": {"age": {"minimum": 18}}}]},
    "tree": {
        "$ref": "#/$defs/node",
        "$defs": {
            "node": record(
                value={"type": "integer", "minimum": 0, "maximum": 99},
                children={"type": "array", "items": {"$ref": "#/$defs/node"}, "maxItems": 2},
            )
        },
    },
    "names": {
        "type": "object",
        "patternProperties": {"^[a-z]{1,6}$": {"type": "integer", "maximum": 9}},
        "additionalProperties": False,
        "minProperties": 1,
        "maxProperties": 3,
    },
    "nullable": record(name={"type": ["string", "null"], "maxLength": 20}, n={"enum": [1, None]}),
    "quarters": {"type": "number", "multipleOf": 0.25, "minimum": -10, "maximum": 10},
    "address": {"type": "string", "format": "ipv4"},
    "quoted": record(**{'a "quoted" \\ name': {"type": "boolean"}, "ünï/cödé~": {"const": "\t"}}),
    "extra": {
        "type": "object",
        "properties": {"id": {"type": "integer", "minimum": 1, "maximum": 9}},
        "required": ["id"],
        "additionalProperties": {"type": "boolean"},
        "maxProperties": 4,
    },
    "matrix": {
        "type": "array",
        "items": {
            "type": "array",
            "items": {"type": "integer", "minimum": -9, "maximum": 9},
            "minItems": 3,
            "maxItems": 3,
        },
        "minItems": 3,
        "maxItems": 3,
    },
    "tagged": {
        "oneOf": [{"$ref": "#/$defs/cat"}, {"$ref": "#/$defs/dog"}],
        "$defs": {
            "cat": record(kind={"const": "cat"}, lives={"type": "integer", "maximum": 9}),
            "dog": record(kind={"const": "dog"}, name=TEXT),
        },
    },
    "references": {
        "type": "array",
        "items": {"$ref": "#/definitions/Pair%3Cint%3E"},
        "maxItems": 2,
        "definitions": {
            "Pair<int>": record(a={"$ref": "#/definitions/x~1y"}, b={"$ref": "#/definitions/x~1y"}),
            "x/y": {"type": "integer", "minimum": 0, "maximum": 99},
        },
    },
    "ascii": record(
        digits={"type": "string", "pattern": "^\\d{3}$"},
        word={"type": "string", "pattern": "^\\w{1,8}$"},
        spaced={"type": "string", "pattern": "^[a-z&&]+?\\s[^\\W_]{1,3}$", "maxLength": 12},
    ),
    "expression": {
        "$ref": "#/$defs/expression",
        "$defs": {
            "expression": {
                "anyOf": [
                    {"type": "integer", "minimum": 0, "maximum": 99},
                    record(
                        operator={"enum": ["+", "-", "*"]},
                        operands={
                            "type": "array",
                            "items": {"$ref": "#/$defs/expression"},
                            "minItems": 1,
                            "maxItems": 2,
                        },
                    ),
                ]
            }
        },
    },
}


def submit(client: Client, name: str, format_: Any, seed: int, **params: Any) -> None:
    """Asks for an answer in this format."""
    client.send(
        op="infer",
        id=f"{name} {seed}",
        messages=[{"role": "user", "content": f"Give me an example of: {name}. Answer in JSON."}],
        format=format_,
        params={"seed": seed, "max_tokens": MAX_TOKENS, **params},
    )


def collect(client: Client, n: int) -> dict[str, tuple[str, dict[str, Any]]]:
    """The texts and the terminal frames of `n` requests."""
    texts: dict[str, str] = {}
    ends: dict[str, tuple[str, dict[str, Any]]] = {}
    while len(ends) < n:
        frame = client.receive("token", "end", "error")
        assert frame["op"] != "error", frame
        if frame["op"] == "token":
            texts[frame["id"]] = texts.get(frame["id"], "") + frame["content"]
        else:
            ends[frame["id"]] = (texts.get(frame["id"], ""), frame)
    return ends


def test_every_answer_is_valid_for_its_schema_or_marked_as_cut(smollm2: Daemon) -> None:
    answers: dict[str, tuple[str, dict[str, Any]]] = {}
    with smollm2.connect() as client:
        for name, schema in SCHEMAS.items():
            for seed in range(SEEDS):
                wanted = {"type": "json_schema", "schema": schema}
                submit(client, name, wanted, seed, temp=1.0 if seed % 2 else 0.5)
            answers |= collect(client, SEEDS)
    n_cut = 0
    for request, (text, end) in answers.items():
        if end["finish_reason"] == "length":
            assert end["stats"]["tokens"] == MAX_TOKENS
            n_cut += 1
            continue
        assert end["finish_reason"] == "stop", end
        schema = SCHEMAS[request.split()[0]]
        validator = jsonschema.Draft202012Validator(
            schema, format_checker=jsonschema.FormatChecker()
        )
        validator.validate(json.loads(text))
    print(f"{len(answers)} answers, {n_cut} cut by max_tokens")
    # Most of the schemas limit the length of what fits.
    assert n_cut <= len(answers) // 10, f"{n_cut} of {len(answers)}"


def test_what_a_schema_prescribes_costs_few_steps(smollm2: Daemon) -> None:
    members = {f"a_rather_long_name_{i}": {"type": "boolean"} for i in range(8)}
    with smollm2.connect() as client:
        wanted = {"type": "json_schema", "schema": record(**members)}
        submit(client, "flags", wanted, 1, temp=0)
        [(text, end)] = collect(client, 1).values()
    assert list(json.loads(text)) == list(members)
    stats = end["stats"]
    # The last token ends the answer, and so does not count as a draft that was accepted.
    assert stats["drafted"] - stats["accepted"] <= 1, stats
    assert stats["accepted"] > stats["tokens"] // 2, stats


@pytest.mark.parametrize(
    ("wanted", "pattern"),
    [
        ({"type": "regex", "pattern": "(\\+\\d{2} )?\\d{3}-\\d{4}"}, "(\\+\\d{2} )?\\d{3}-\\d{4}"),
        ({"type": "choice", "choices": ["yes", "no", "yes, but"]}, "yes|no|yes, but"),
        (
            {
                "type": "grammar",
                "syntax": "gbnf",
                "grammar": 'root ::= "(" root ")" | [a-f0-9]{4}',
            },
            "\\(*[a-f0-9]{4}\\)*",
        ),
        (
            {
                "type": "grammar",
                "syntax": "lark",
                "grammar": 'start: item (", " item){2}\nitem: /[a-z]{3,8}/',
            },
            "[a-z]{3,8}(, [a-z]{3,8}){2}",
        ),
    ],
)
def test_answer_matches_its_format_with_all_parameters(
    smollm2: Daemon, wanted: Schema, pattern: str
) -> None:
    parameters: list[dict[str, Any]] = [
        {"temp": 0},
        {"temp": 1.5, "top_k": 0, "top_p": 1, "min_p": 0, "logprobs": 3},
        {"temp": 1.0, "repeat_penalty": 1.3, "frequency_penalty": 0.5, "typical_p": 0.7},
        {"temp": 1.0, "speculative": "off", "ignore_eos": True},
    ]
    with smollm2.connect() as client:
        for seed, params in enumerate(parameters):
            submit(client, "format", wanted, seed, **params)
        for text, end in collect(client, len(parameters)).values():
            if end["finish_reason"] != "length":
                assert re.fullmatch(pattern, text), text
