"""The scenarios by name.

A scenario is a function that takes the bench and returns rows. The report prints its docstring
above the table.
"""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import Any, Callable

from measures import Row

from . import constrained, footprint, http_api, latency, real, repeat, reuse, shared, soak, speed


@dataclass(frozen=True)
class Scenario:
    title: str
    measure: Callable[[Any], list[Row]]

    @property
    def about(self) -> str:
        return inspect.getdoc(self.measure) or ""


SCENARIOS = {
    "one-stream": Scenario("one client", speed.one_stream),
    "many-streams": Scenario("8 and 16 clients at once", speed.many_streams),
    "real-models": Scenario("1 to 16 clients of real models", real.streams),
    "http": Scenario("1 and 8 clients of the HTTP API", http_api.http),
    "ttft": Scenario("first token of a short prompt on an idle server", latency.first_token),
    "first-request": Scenario("the first request of a new server", latency.first_request),
    "repeat": Scenario("the same chats three times", repeat.repeated),
    "long-prompt": Scenario("a long prompt while others are served", latency.long_prompt),
    "chat": Scenario("the second turn of a long chat", reuse.second_turn),
    "shared-prefix": Scenario("8 clients with one system prompt at once", reuse.shared_prefix),
    "kept-prompts": Scenario("long prompts one after another", reuse.cached_prompts),
    "abort": Scenario("from abort or disconnect to a free slot", latency.abort),
    "sampling": Scenario("what sampling costs with a large vocabulary", speed.sampling),
    "constrained": Scenario("answers that have to fit a format", constrained.constrained),
    "speculation": Scenario("n-gram speculation on repetitive text", speed.speculation),
    "draft": Scenario("a draft model", speed.draft),
    "shared-machine": Scenario("a machine that does other work", shared.shared_machine),
    "start": Scenario("start and peak memory", footprint.start),
    "idle": Scenario("idle connections", footprint.idle),
    "soak": Scenario("64 clients over 8 slots", soak.soak),
}
