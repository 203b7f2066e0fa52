# SPDX-License-Identifier: Apache-2.0
"""Every benchmark by its name."""

from __future__ import annotations

from clipseg_ros.evaluation import (
    car_benchmarks, clipseg_benchmarks, ovseg_benchmarks, own_benchmarks, zegclip_benchmarks,
)
from clipseg_ros.evaluation.benchmark import Benchmark

BENCHMARKS: dict[str, Benchmark] = {
    entry.name: entry
    for lists in (own_benchmarks, clipseg_benchmarks, car_benchmarks, zegclip_benchmarks, ovseg_benchmarks)
    for entry in lists.ENTRIES
}


def find(name: str) -> Benchmark:
    """The benchmark of that name. Raises ValueError with those there are."""
    if name not in BENCHMARKS:
        raise ValueError(f"benchmark {name!r}: expected one of {', '.join(BENCHMARKS)}; `evaluate --list` says more")
    return BENCHMARKS[name]
