"""Answers of real models, token by token, and their comparison.

Two greedy answers to one prompt can differ where two tokens are nearly equally likely, because
llama.cpp's kernels round differently for batches of another size. A difference is a fault if the
model's own log probabilities say that the two tokens are no near tie (ADR-0025).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, Union

from conftest import Client

# Largest difference in nats between the log probabilities of two tokens that are a near tie, and
# between those of the same token, if both answers were computed in the same way (ADR-0025).
SAME_WAY = 0.02
# The same if tokens were computed in another order or in batches of another size, such as the
# tokens of an answer that is now part of a prompt.
OTHER_BATCHES = 0.5
# Number of likeliest tokens that an answer reports for each of its tokens.
N_LIKELIEST = 5
# The tokens `<|endoftext|>` and `<|im_end|>` of SmolLM2, which end an answer.
SMOLLM2_ENDS = {0, 2}

Message = dict[str, str]
# A prompt, or the messages of a chat.
Content = Union[str, list[Message]]


@dataclass(frozen=True)
class Token:
    """A token of an answer, with its log probability and those of the likeliest tokens."""

    id: int
    bytes: bytes
    logprob: float
    likeliest: dict[int, float]

    def lead_over(self, *others: int) -> float:
        """How much likelier this token is than the likeliest of `others`, in nats."""
        return self.logprob - max(self.likeliest.get(other, -math.inf) for other in others)


@dataclass
class Answer:
    """An answer, to which the frames of its request are added one after another."""

    text: str = ""
    tokens: list[Token] = field(default_factory=list)
    # The terminal frame, once it has been received.
    end: dict[str, Any] = field(default_factory=dict)

    def add(self, frame: dict[str, Any]) -> None:
        assert not self.end, f"{frame} comes after {self.end}"
        if frame["op"] != "token":
            assert frame["op"] == "end", frame
            self.end = frame
            return
        self.text += frame["content"]
        for token in frame.get("logprobs", []):
            likeliest = {other["id"]: other["logprob"] for other in token["top"]}
            found = Token(token["id"], bytes(token["bytes"]), token["logprob"], likeliest)
            self.tokens.append(found)

    @property
    def finish_reason(self) -> str:
        return self.end["finish_reason"]

    @property
    def cached_tokens(self) -> int:
        return self.end["stats"]["cached_tokens"]

    @property
    def prompt_tokens(self) -> int:
        return self.end["stats"]["prompt_tokens"]


def request(content: Content, max_tokens: int, **params: Any) -> dict[str, Any]:
    """An `infer` frame for the greedy answer to a prompt or to the messages of a chat."""
    kind = "prompt" if isinstance(content, str) else "messages"
    greedy = {"temp": 0, "logprobs": N_LIKELIEST, "speculative": "off", "max_tokens": max_tokens}
    return {"op": "infer", kind: content, "params": {**greedy, **params}}


def ask(client: Client, content: Content, max_tokens: int, **params: Any) -> Answer:
    """The greedy answer to a prompt or to the messages of a chat."""
    client.send(**request(content, max_tokens, **params))
    answer = Answer()
    while not answer.end:
        answer.add(client.receive("token", "end", "error"))
    return answer


def assert_same(answer: Answer, expected: Answer, limit: float = SAME_WAY) -> None:
    """Asserts that two answers of the daemon are equal, at least up to a near tie.

    `limit` is the largest difference of a near tie, and of the log probabilities of equal tokens.
    Answers that can end before `max_tokens` must be SmolLM2's.
    """
    for ours, theirs in zip(answer.tokens, expected.tokens):
        if ours.id != theirs.id:
            lead = ours.lead_over(theirs.id)
            assert lead < limit, describe(answer, expected, f"no near tie: {lead:.3f} nats")
            return
        off = abs(ours.logprob - theirs.logprob)
        problem = f"the log probabilities of {ours.bytes!r} differ by {off:.3f}"
        assert off < limit, describe(answer, expected, problem)
    shorter, longer = sorted((answer, expected), key=lambda one: len(one.tokens))
    if len(shorter.tokens) < len(longer.tokens):
        lead = longer.tokens[len(shorter.tokens)].lead_over(*SMOLLM2_ENDS)
        assert lead < limit, describe(answer, expected, f"ends at a lead of {lead:.3f} nats")


def describe(answer: Answer, expected: Answer, problem: str) -> str:
    texts = "\ninstead of\n".join(f"{one.text!r}, {one.end}" for one in (answer, expected))
    return f"{problem}:\n{texts}"


def story(n_words: int, first: int = 0) -> str:
    """English text in sentences of ten words. It begins with sentence `first` of 1,001."""
    return "".join(
        f"The {WHO[n % 11]} {DID[n % 7]} a boat near the {WHERE[n % 13]}.{NEXT[n % 5 == 4]}"
        for n in range(first, first + n_words // 10)
    )


WHO = (
    "old fisherman", "young teacher", "tired doctor", "proud baker", "quiet farmer", "clever thief",
    "tall soldier", "poor painter", "kind widow", "rich merchant", "lost child",
)  # fmt: skip
DID = ("saw", "sold", "built", "painted", "wanted", "burned", "found")
WHERE = (
    "white bridge", "dark forest", "small harbour", "ruined tower", "busy market", "frozen lake",
    "green valley", "last lighthouse", "royal garden", "stone church", "long beach", "new station",
    "quiet village",
)  # fmt: skip
NEXT = (" ", "\n")
