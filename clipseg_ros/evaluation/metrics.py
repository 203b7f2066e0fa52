# SPDX-License-Identifier: Apache-2.0
"""Metrics: integer pixel counts are added over a data set and divided once.

Counts are (tp, fp, fn): target pixels found, other pixels marked, target pixels missed. A ratio whose denominator is
zero was never observed: it is nan, not 0 and not 1.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

LEAST_VISIBLE = 100  # pixels of a target from which a frame counts: what is hidden cannot be found
LARGEST_FALSE_SHARE = 0.005  # an absent query is a false positive where more than this share of the frame is marked


class Counts(NamedTuple):
    """Pixels of one image, or of many added with `add`: tp found, fp marked wrongly, fn missed."""

    tp: int = 0
    fp: int = 0
    fn: int = 0

    @property
    def marked(self) -> int:
        """Pixels of the mask."""
        return self.tp + self.fp

    @property
    def visible(self) -> int:
        """Pixels of the target."""
        return self.tp + self.fn


def counts(mask: np.ndarray, target: np.ndarray) -> Counts:
    """Compare mask and target, both (H, W) bool. Raises ValueError where sizes or dtypes differ from that."""
    if mask.shape != target.shape or mask.dtype != bool or target.dtype != bool:
        raise ValueError(
            f"mask of shape {mask.shape} and dtype {mask.dtype}, target of shape {target.shape} and dtype "
            f"{target.dtype}: expected two bool arrays of one size"
        )
    tp = int(np.count_nonzero(mask & target))
    return Counts(tp, int(np.count_nonzero(mask)) - tp, int(np.count_nonzero(target)) - tp)


def add(observed: list[Counts]) -> Counts:
    """The sum over images."""
    return Counts(*(sum(column) for column in zip(*observed))) if observed else Counts()


def iou(tp: int, fp: int, fn: int) -> float:
    """Intersection over union in [0, 1]; nan where neither mask nor target has a pixel."""
    union = tp + fp + fn
    return tp / union if union else float("nan")


def share_above(values: list[float], limit: float) -> float:
    """The share in [0, 1] of values strictly above limit; nan without values."""
    return sum(value > limit for value in values) / len(values) if values else float("nan")
