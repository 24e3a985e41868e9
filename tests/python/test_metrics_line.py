"""The line that `test_client.py --metrics` prints, at common terminal widths."""

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
GPU = {
    "index": 0, "present": True, "temp": 94, "vram_total_mb": 3072, "vram_used_mb": 2900,
    "power_watts": 120, "throttling": False, "throttle_reasons": [],
}
LOST_GPU = {"index": 0, "present": False, "temp": None, "throttling": None, "throttle_reasons": None}


def line(width: float, *gpus: dict[str, Any]) -> str:
    """Formats a frame for `width` columns and checks the length."""
    gpu = dict(gpus[0]) if gpus else None
    shown = summary({"inference": INFERENCE, "gpu": gpu, "gpus": list(gpus)}, width)
    assert len(shown) <= width
    return shown


def test_80_columns_show_gpu_and_slots() -> None:
    assert line(79, GPU) == (
        "busy · 1153.2 tokens/s · GPU 94 °C · VRAM 2900/3072 MB · 120 W · 1 of 4 slots"
    )


def test_120_columns_show_queue_and_last_throughput_too() -> None:
    assert line(119, GPU).endswith("· 1 of 4 slots · 0 queued · last 1153.2 tokens/s")


def test_80_columns_show_why_a_gpu_is_throttled() -> None:
    reasons = ["hardware_thermal", "hardware"]
    hot = GPU | {"throttling": True, "throttle_reasons": reasons}
    assert line(79, hot).startswith(
        "busy · 1153.2 tokens/s · GPU 94 °C · throttled: hardware_thermal, hardware"
    )
    assert "VRAM 2900/3072 MB" in line(119, hot)


def test_lost_gpu_is_reported_as_lost() -> None:
    assert "GPU lost" in line(79, LOST_GPU)
    assert "GPU 0 lost · GPU 1 94 °C" in line(79, LOST_GPU, GPU | {"index": 1})


def test_gpu_that_is_not_in_use_is_left_out() -> None:
    assert line(79, GPU | {"in_use": False}) == line(79)
    assert "GPU 94 °C" in line(79, GPU | {"in_use": True})


def test_without_a_gpu_more_of_the_other_values_fit() -> None:
    assert "GPU" not in line(79)
    assert line(79).endswith("· 1 of 4 slots · 0 queued · last 1153.2 tokens/s")
    assert "KV 1024/16384" in line(float("inf"))
