"""The inter-token latencies that the bench computes from the texts of answers."""

from __future__ import annotations

import sys
from typing import Any, Optional

import pytest
from conftest import ROOT

sys.path.insert(0, str(ROOT / "tools/bench"))

import gaps  # noqa: E402


def text(at_ms: float, content: str, tokens: Optional[int] = None) -> dict[str, Any]:
    return {"at_ms": at_ms, "content": content, "tokens": tokens}


def n_words(content: str) -> int:
    return len(content.split())


def found(*texts: dict[str, Any], tokens: int = 0) -> gaps.Gaps:
    return gaps.of_answers([{"tokens": tokens, "texts": list(texts)}], n_words)


def test_gap_of_several_tokens_is_divided_among_them() -> None:
    answer = found(text(50, "a"), text(60, "b"), text(90, "c d e"), tokens=5)
    assert answer.tokens == [10, 10, 10, 10]
    assert answer.arrivals == [10, 30]
    assert (answer.n_counted, answer.n_reported) == (5, 5)


def test_tokens_of_the_first_arrival_have_no_gap() -> None:
    assert found(text(50, "a b c"), text(60, "d")).tokens == [10]
    assert found(text(50, "a b c")).tokens == []


def test_reported_number_of_tokens_replaces_the_counted_one() -> None:
    # The server held back two tokens of a character and sent its three tokens at once.
    answer = found(text(50, "a", 1), text(80, "é", 4), text(90, "b", 5), tokens=5)
    assert answer.tokens == [10, 10, 10, 10]
    assert answer.n_counted == 5


def test_texts_of_one_read_are_one_arrival() -> None:
    answer = found(text(50, "a", 1), text(70, "b", 2), text(70.1, "c", 3))
    assert answer.tokens == [10, 10]
    assert answer.arrivals == [20]


def test_both_ways_to_send_the_same_tokens_have_the_same_gaps() -> None:
    one_by_one = found(text(0, "a", 1), text(20, "b", 2), text(20.5, "c", 3), text(30, "d", 4))
    together = found(text(0, "a"), text(20, "b c"), text(30, "d"))
    assert one_by_one.tokens == together.tokens


def test_text_without_a_counted_token_has_one() -> None:
    assert found(text(0, "a"), text(10, " ")).tokens == [10]


def test_gaps_do_not_span_two_answers() -> None:
    answers = [{"tokens": 1, "texts": [text(at, "a")]} for at in (5, 50)]
    assert gaps.of_answers(answers, n_words).tokens == []


def test_percentile_is_the_nearest_rank() -> None:
    hundred = [float(value) for value in range(1, 101)]
    assert [gaps.percentile(hundred, percent) for percent in (50, 99, 100)] == [50, 99, 100]
    assert gaps.percentile([2.0, 1.0], 50) == 1
    assert gaps.percentile([3.0], 99) == 3
    with pytest.raises(ValueError):
        gaps.percentile([], 50)
