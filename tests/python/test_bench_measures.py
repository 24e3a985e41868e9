"""Goals of the bench, and the pure functions of its scenarios."""

from __future__ import annotations

import sys
from pathlib import Path

from conftest import ROOT

sys.path.insert(0, str(ROOT / "tools/bench"))

from measures import OURS, Goal, Row, best_of  # noqa: E402
from scenarios.http_api import SOCKET, THEIRS, rows_of  # noqa: E402
from scenarios.real import counted  # noqa: E402
from scenarios.repeat import QUESTIONS, chats, n_same  # noqa: E402


def row(more_is_better: bool, *ours: float) -> Row:
    return Row("what", "model", "ms", more_is_better, {OURS: list(ours)})


def test_goal_is_compared_with_the_median() -> None:
    assert row(True, 8, 8, 7).outcome(Goal(8))[1]
    assert not row(True, 8, 7, 7).outcome(Goal(8))[1]


def test_goal_in_every_turn_is_compared_with_the_worst_turn() -> None:
    assert row(True, 8, 8, 8).outcome(Goal(8, in_every_turn=True))[1]
    assert not row(True, 8, 8, 7).outcome(Goal(8, in_every_turn=True))[1]
    assert not row(False, 1, 1, 2).outcome(Goal(1, in_every_turn=True))[1]
    assert row(True, 8).wording(Goal(8, in_every_turn=True)) == "≥ 8 ms in every turn"


def test_goal_on_a_ratio_uses_the_best_peer_of_each_turn() -> None:
    values = {OURS: [10.0, 10.0, 10.0], "a": [9.0, 20.0, 9.0], "b": [20.0, 9.0, 9.0]}
    latency = Row("what", "model", "ms", False, values)
    summary, is_reached = latency.outcome(Goal(1.0, ("a", "b")))
    assert (round(summary.median, 3), is_reached) == (1.111, False)


def test_best_of_names_its_peers() -> None:
    assert best_of(("a",)) == "a"
    assert best_of(("a", "b")) == "the better of a and b"
    assert best_of(("a", "b", "c")) == "the best of a, b and c"


def test_chat_is_the_same_only_if_all_rounds_agree() -> None:
    assert n_same([["a", "b", "c"], ["a", "b", "x"], ["a", "y", "c"]]) == 1


def test_chats_depend_on_the_seed_and_are_distinct() -> None:
    assert chats(1) == chats(1) != chats(2)
    assert len({chat[0]["content"] for chat in chats(1)}) == len(QUESTIONS)


def test_number_of_gaps_has_a_range_only_if_turns_differ() -> None:
    assert counted(112, [10_640, 10_640]) == "112 and 10,640"
    assert counted(112, [10_600, 10_640]) == "112 and 10,600 to 10,640"


def test_http_is_compared_with_llama_server_and_with_the_socket() -> None:
    rates = {OURS: [96.0], SOCKET: [100.0], THEIRS: [95.0]}
    times = {OURS: [11.0], SOCKET: [9.0], THEIRS: [10.0]}
    rate, ttft = rows_of(Path("small.gguf"), 8, {"tokens/s": rates, "ttft": times})
    assert [rate.outcome(goal)[1] for goal in rate.goals] == [True, True]
    assert [rate.wording(goal) for goal in rate.goals] == [
        f"≥ 1 × {THEIRS}", f"≥ 0.95 × {SOCKET}"]
    assert [ttft.outcome(goal)[1] for goal in ttft.goals] == [False]
