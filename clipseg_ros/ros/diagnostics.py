# SPDX-License-Identifier: Apache-2.0
"""What the node says of a camera's frames on /diagnostics: counters, rates, latencies, and a level by rule.

ERROR: the engine failed on a frame. WARN, in this order: no image comes; frames could not be read; the stamps are
further than MAX_AGE from the node's clock; the last query was refused. Each for as long as it lasts, at 1 Hz.
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields

import numpy as np
from diagnostic_msgs.msg import DiagnosticStatus, KeyValue

WINDOW = 300  # frames that the percentiles are of
MAX_AGE = 10.0  # s


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

    @property
    def dropped(self) -> int:
        """Those that somebody waited for in vain."""
        return self.replaced + self.bad + self.failed + self.outdated


@dataclass
class Diagnostics:
    """Of one camera: counters; the last WINDOW calls of the engine in ms; ages in ms, when their call began, of the
    frames since the last report; what last went wrong."""

    counters: Counters = field(default_factory=Counters)
    engine_ms: deque[float] = field(default_factory=lambda: deque(maxlen=WINDOW))
    age_ms: list[float] = field(default_factory=list)
    last_error: str = ""
    _last: Counters = field(default_factory=Counters)
    _reported: float = field(default_factory=time.monotonic)

    def report(self, name: str, silence: str, refusal: str, words: Mapping[str, str]) -> DiagnosticStatus:
        """What happened since the last report.

        silence: why no image comes, "" where they do. refusal: why the last query was refused, or "". words: further
        keys and values.
        """
        seconds = time.monotonic() - self._reported
        now = {entry.name: getattr(self.counters, entry.name) for entry in fields(Counters)}
        new = {key: value - getattr(self._last, key) for key, value in now.items()}
        age_ms, self.age_ms = self.age_ms, []
        self._last, self._reported = Counters(**now), time.monotonic()
        engine_ms, age = list(self.engine_ms), _percentile(age_ms, 50)
        values = {
            **words,
            "camera rate (Hz)": f"{new['received'] / seconds:.1f}",
            "segmented rate (Hz)": f"{new['segmented'] / seconds:.1f}",
            "engine latency p50 (ms)": _percentile(engine_ms, 50),
            "engine latency p99 (ms)": _percentile(engine_ms, 99),
            "input age (ms)": age,
            **{f"frames {key}": str(value) for key, value in now.items()},
            "frames dropped": str(self._last.dropped),
            "memory (MB)": _memory(),
            "refused": refusal,
            "last error": self.last_error,
        }
        level, message = _judge(new, silence, age, refusal)
        status = DiagnosticStatus(name=name, level=level)
        status.message = message or f"{new['segmented'] / seconds:.1f} frames/s segmented"
        status.values = [KeyValue(key=key, value=value) for key, value in values.items()]
        return status


def _judge(new: Mapping[str, int], silence: str, age: str, refusal: str) -> tuple[bytes, str]:
    """Level and message; "" where there is nothing to say."""
    if new["failed"]:
        return DiagnosticStatus.ERROR, f"the engine failed on {new['failed']} frames"
    warnings = [silence]
    if new["bad"]:
        warnings.append(f"{new['bad']} frames could not be read")
    if age and abs(float(age)) > 1e3 * MAX_AGE:
        seconds = float(age) / 1e3
        warnings.append(f"the images' stamps are {seconds:.0f} s from the node's clock: is use_sim_time right?")
    if refusal:
        warnings.append(f"query refused: {refusal}")
    said = next(filter(None, warnings), "")
    return (DiagnosticStatus.WARN if said else DiagnosticStatus.OK), said


def _percentile(values: Sequence[float], percent: float) -> str:
    return f"{np.percentile(values, percent):.1f}" if values else ""


def _memory() -> str:
    """The process's own memory, the GPU's not counted; "" where the system does not tell."""
    try:
        with open("/proc/self/statm") as file:
            pages = int(file.read().split()[1])
    except OSError:
        return ""
    return f"{pages * os.sysconf('SC_PAGE_SIZE') / 1e6:.0f}"
