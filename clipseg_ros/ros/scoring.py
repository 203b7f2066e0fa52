# SPDX-License-Identifier: Apache-2.0
"""What the demo client makes of a query's frames: pixel counts, the frames that count, the row of the report.

An absent query counts the frames in which nothing of its target is visible, every other query those in which at least
metrics.LEAST_VISIBLE pixels of it are: a target that is hidden or out of the picture cannot be found.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np

from clipseg_ros.datasets import tabletop
from clipseg_ros.evaluation import metrics
from clipseg_ros.evaluation.metrics import Counts

ABSENT, TOGETHER = "absent", "together"  # kinds of queries; together: several prompts at once, shown and not scored


def classes(text: str) -> list[int]:
    """Class ids of all prompts of a query. Raises UnknownPhrase."""
    return sorted(frozenset().union(*(tabletop.classes_of(prompt) for prompt in text.split(";"))))


def target(truth: np.ndarray, ids: Iterable[int]) -> np.ndarray:
    """(H, W) bool: the pixels of truth (H, W) uint8 whose class is one of ids."""
    chosen = np.zeros(256, bool)
    chosen[list(ids)] = True
    return chosen[truth]


def in_order(labels: np.ndarray, ids: Sequence[int]) -> np.ndarray:
    """(H, W) uint8: labels of prompts with these ids as 1 + position in ids; 0 stays 0."""
    places = np.zeros(256, np.uint8)
    places[list(ids)] = np.arange(1, len(ids) + 1)
    return places[labels]


def relevant(kind: str, frames: Sequence[Counts]) -> list[int]:
    """Indices of the frames that count for a query of this kind."""
    if kind == ABSENT:
        return [index for index, counts in enumerate(frames) if counts.visible == 0]
    return [index for index, counts in enumerate(frames) if counts.visible >= metrics.LEAST_VISIBLE]


def spread(indices: Sequence[int], count: int) -> list[int]:
    """At most count of the indices, evenly spread over them."""
    if len(indices) <= count:
        return list(indices)
    return [indices[(2 * place + 1) * len(indices) // (2 * count)] for place in range(count)]


def row(text: str, kind: str, frames: Sequence[Counts], pixels: int) -> dict[str, object]:
    """A query's row of the report: iou, or for an absent query false_positive_rate; None where undefined.

    frames: counts of every answered frame, each of so many pixels.
    """
    counted = [frames[index] for index in relevant(kind, frames)]
    iou = rate = math.nan
    if kind == ABSENT:
        rate = metrics.share_above([counts.marked / pixels for counts in counted], metrics.LARGEST_FALSE_SHARE)
    else:
        iou = metrics.iou(*metrics.add(counted))
    return {
        "text": text,
        "kind": kind,
        "frames": len(counted),
        "iou": _known(iou),
        "false_positive_rate": _known(rate),
    }


def latency(milliseconds: Sequence[float]) -> dict[str, float | None]:
    """Median and 99th percentile; None without a sample."""
    if not milliseconds:
        return {"p50": None, "p99": None}
    p50, p99 = np.percentile(milliseconds, (50, 99))
    return {"p50": round(float(p50), 1), "p99": round(float(p99), 1)}


def _known(value: float) -> float | None:
    return None if math.isnan(value) else round(value, 4)
