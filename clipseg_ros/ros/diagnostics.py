# SPDX-License-Identifier: Apache-2.0
"""The node's counters and what it says of itself on /diagnostics."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, fields

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue


@dataclass
class Counters:
    """Frames since the start; each is counted by one thread alone.

    received: heard of the camera. idle: nobody listened, there was no query, or max_rate forbade it. replaced: a
    newer one came before its turn. bad: unreadable. failed: the engine raised. outdated: the queries had changed
    when it was done. segmented: published.
    """

    received: int = 0
    idle: int = 0
    replaced: int = 0
    bad: int = 0
    failed: int = 0
    outdated: int = 0
    segmented: int = 0


@dataclass
class Diagnostics:
    """Counters, and the latencies since the last report: engine_ms of a call, age_ms of a frame when its call began."""

    counters: Counters = field(default_factory=Counters)
    engine_ms: list[float] = field(default_factory=list)
    age_ms: list[float] = field(default_factory=list)
    _last: Counters = field(default_factory=Counters)
    _reported: float = field(default_factory=time.monotonic)

    def report(self, name: str, trouble: str, words: dict[str, str]) -> DiagnosticArray:
        """What happened since the last report, without its stamp.

        name: the node's. trouble: what keeps it from working, "" for nothing. words: further keys and values.
        """
        seconds = time.monotonic() - self._reported
        now = {entry.name: getattr(self.counters, entry.name) for entry in fields(Counters)}
        new = {key: value - getattr(self._last, key) for key, value in now.items()}
        engine_ms, self.engine_ms = self.engine_ms, []
        age_ms, self.age_ms = self.age_ms, []
        self._last, self._reported = Counters(**now), time.monotonic()
        status = DiagnosticStatus(name=f"{name}: segmentation", level=DiagnosticStatus.OK)
        status.message = f"{new['segmented'] / seconds:.1f} frames/s segmented"
        if new["failed"]:
            status.level, status.message = DiagnosticStatus.ERROR, f"the engine failed on {new['failed']} frames"
        elif new["bad"] or trouble:
            status.level = DiagnosticStatus.WARN
            status.message = trouble or f"{new['bad']} frames could not be read"
        values = {
            **words,
            "camera rate (Hz)": f"{new['received'] / seconds:.1f}",
            "segmented rate (Hz)": f"{new['segmented'] / seconds:.1f}",
            "engine latency (ms)": _median(engine_ms),
            "input age (ms)": _median(age_ms),
            **{f"frames {key}": str(value) for key, value in now.items()},
        }
        status.values = [KeyValue(key=key, value=value) for key, value in values.items()]
        return DiagnosticArray(status=[status])


def _median(values: list[float]) -> str:
    return f"{np.median(values):.1f}" if values else ""
