# SPDX-License-Identifier: Apache-2.0
"""Clocks: ways to the same end timed in turns, medians with quartiles, and the parts of one run."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Spread:
    """Median and quartiles of `count` samples."""

    median: float
    low: float
    high: float
    count: int


@dataclass(frozen=True)
class Plan:
    """How often something is run: once unmeasured, then at least `least` times and, while it took less than `seconds`,
    at most `most` times. What is slow is run less often: not again after `limit` seconds, and a first run that took
    half of them is measured like the others, since there is little in it that a second one would not need."""

    least: int
    most: int
    seconds: float
    limit: float = math.inf

    def goes_on(self, runs: int, seconds: float) -> bool:
        """Whether to run once more after so many measured runs, which took so many seconds."""
        if runs < 1:
            return True
        return seconds < self.limit if runs < self.least else runs < self.most and seconds < self.seconds

    def keeps(self, seconds: float) -> bool:
        """Whether a first run of so many seconds is measured."""
        return seconds > self.limit / 2.0


class Clock:
    """Milliseconds of the parts of one run; `wait` returns when the device has nothing left to do."""

    def __init__(self, wait: Callable[[], None]) -> None:
        self.laps: dict[str, float] = {}
        self._wait = wait
        self._last = time.perf_counter()

    def lap(self, name: str) -> None:
        """What passed since the last lap belongs to `name`, and is added to what it has."""
        self._wait()
        now = time.perf_counter()
        self.laps[name] = self.laps.get(name, 0.0) + 1e3 * (now - self._last)
        self._last = now


def spread_of(samples: Sequence[float]) -> Spread:
    """Quartiles are interpolated linearly between samples. Raises ValueError without a sample."""
    if not len(samples):
        raise ValueError("no samples: expected at least one")
    low, median, high = np.quantile(samples, [0.25, 0.5, 0.75])
    return Spread(float(median), float(low), float(high), len(samples))


def side_by_side(ways: Mapping[str, Callable[[], object]], plan: Plan) -> dict[str, Spread]:
    """Milliseconds of each way; they take turns, so that a machine that slows down slows all of them. Those that have
    run often enough drop out."""
    times: dict[str, list[float]] = {name: [] for name in ways}
    for name, run in ways.items():
        first = milliseconds(run)
        times[name] += [first] if plan.keeps(first / 1e3) else []
    while active := [name for name in ways if plan.goes_on(len(times[name]), sum(times[name]) / 1e3)]:
        for name in active:
            times[name].append(milliseconds(ways[name]))
    return {name: spread_of(samples) for name, samples in times.items()}


def parts_of(run: Callable[[], Mapping[str, float]], plan: Plan) -> dict[str, Spread]:
    """Spreads of the values that each run returns by name, the same names every time."""
    began = time.perf_counter()
    first = run()
    seconds = time.perf_counter() - began
    runs = [first] if plan.keeps(seconds) else []
    began = time.perf_counter() - seconds * len(runs)
    while plan.goes_on(len(runs), time.perf_counter() - began):
        runs.append(run())
    return {name: spread_of([values[name] for values in runs]) for name in runs[0]}


def milliseconds(run: Callable[[], object]) -> float:
    """Of one run, which must return what it computed to the host, so that a device is waited for."""
    started = time.perf_counter()
    run()
    return 1e3 * (time.perf_counter() - started)
