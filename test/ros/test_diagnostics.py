# SPDX-License-Identifier: Apache-2.0
"""What /diagnostics says of a camera's frames, and how loudly."""

from __future__ import annotations

import pytest
from diagnostic_msgs.msg import DiagnosticStatus

from clipseg_ros.ros.diagnostics import WINDOW, Counters, Diagnostics


def values(status: DiagnosticStatus) -> dict[str, str]:
    return {pair.key: pair.value for pair in status.values}


@pytest.mark.parametrize(
    "counters, age_ms, silence, refusal, level, message",
    [
        (Counters(received=9, segmented=9), 30.0, "", "", DiagnosticStatus.OK, "frames/s segmented"),
        (Counters(failed=2), 30.0, "no image", "bad", DiagnosticStatus.ERROR, "the engine failed on 2 frames"),
        (Counters(bad=3), 30.0, "no image on /image", "bad", DiagnosticStatus.WARN, "no image on /image"),
        (Counters(bad=3), 30.0, "", "bad", DiagnosticStatus.WARN, "3 frames could not be read"),
        (Counters(), 20_000.0, "", "bad", DiagnosticStatus.WARN, "20 s from the node's clock: is use_sim_time right?"),
        (Counters(), -20_000.0, "", "", DiagnosticStatus.WARN, "-20 s from the node's clock"),
        (Counters(), 30.0, "", "broken JSON", DiagnosticStatus.WARN, "query refused: broken JSON"),
    ],
)
def test_the_worst_is_said(
    counters: Counters, age_ms: float, silence: str, refusal: str, level: bytes, message: str
) -> None:
    diagnostics = Diagnostics(counters, age_ms=[age_ms])
    status = diagnostics.report("/segment: segmentation", silence, refusal, {"state": "active"})
    assert (status.name, status.level) == ("/segment: segmentation", level) and message in status.message
    assert values(status)["state"] == "active" and values(status)["refused"] == refusal


def test_what_is_past_is_forgiven_and_totals_stay() -> None:
    diagnostics = Diagnostics(Counters(failed=1, bad=1, replaced=2, outdated=3), last_error="out of memory")
    diagnostics.report("", "", "", {})
    status = diagnostics.report("", "", "", {})
    assert status.level == DiagnosticStatus.OK
    told = values(status)
    assert (told["frames dropped"], told["frames failed"], told["last error"]) == ("7", "1", "out of memory")
    assert told["input age (ms)"] == ""


def test_latencies_are_those_of_the_last_calls() -> None:
    diagnostics = Diagnostics()
    diagnostics.engine_ms.extend([1000.0] * 5 + [10.0] * (WINDOW - 4) + [50.0] * 4)
    told = values(diagnostics.report("", "", "", {}))
    assert (told["engine latency p50 (ms)"], told["engine latency p99 (ms)"]) == ("10.0", "50.0")
    assert 10.0 < float(told["memory (MB)"]) < 100_000.0
