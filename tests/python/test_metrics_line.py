"""What `test_client.py --metrics` makes of a frame, at the widths of terminals."""

from __future__ import annotations

import sys
from typing import Any

from conftest import ROOT

sys.path.insert(0, str(ROOT))

from test_client import summary  # noqa: E402

INFERENCE = {
    "state": "busy", "last_tps": 1153.2, "last_ttft_ms": 2, "total_tokens_generated": 15230,
    "active": 1, "queued": 0, "slots": 4, "kv_used_tokens": 1024, "kv_total_tokens": 16384,
    "connections": 12, "prompt_tokens_total": 830, "tps_now": 1153.2, "uptime_s": 61,
}
COOL = {
    "index": 0, "present": True, "temp": 94, "vram_total_mb": 3072, "vram_used_mb": 2900,
    "power_watts": 120, "throttling": False, "throttle_reasons": [],
}
LOST = {"index": 0, "present": False, "temp": None, "throttling": None, "throttle_reasons": None}


def line(width: float, *cards: dict[str, Any]) -> str:
    """The line, which is not longer than it may be."""
    gpu = dict(cards[0]) if cards else None
    shown = summary({"inference": INFERENCE, "gpu": gpu, "gpus": list(cards)}, width)
    assert len(shown) <= width
    return shown


def test_a_card_is_seen_on_a_terminal_of_80_columns() -> None:
    assert line(79, COOL) == (
        "busy · 1153.2 tok/s · GPU 94 °C · VRAM 2900/3072 MB · 120 W · 1 of 4 slots"
    )


def test_more_is_seen_on_a_terminal_of_120_columns() -> None:
    assert line(119, COOL).endswith("· 1 of 4 slots · 0 queued · last 1153.2 tok/s")


def test_a_throttled_card_says_why_even_on_80_columns() -> None:
    reasons = ["hardware_thermal", "hardware"]
    hot = COOL | {"throttling": True, "throttle_reasons": reasons}
    assert line(79, hot).startswith(
        "busy · 1153.2 tok/s · GPU 94 °C · throttled: hardware_thermal, hardware"
    )
    assert "VRAM 2900/3072 MB" in line(119, hot)


def test_a_card_that_is_lost_is_called_so() -> None:
    assert "GPU lost" in line(79, LOST)
    assert "GPU 0 lost · GPU 1 94 °C" in line(79, LOST, COOL | {"index": 1})


def test_a_machine_without_a_card_has_more_room_for_the_rest() -> None:
    assert "GPU" not in line(79)
    assert line(79).endswith("· 1 of 4 slots · 0 queued · last 1153.2 tok/s")
    assert "KV 1024/16384" in line(float("inf"))
