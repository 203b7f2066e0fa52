# SPDX-License-Identifier: Apache-2.0
"""Metrics: integer pixel counts are added over a data set and divided once.

Counts are (tp, fp, fn): target pixels found, other pixels marked, target pixels missed. A ratio whose denominator is
zero was never observed: it is nan, not 0 and not 1. Every ratio is in [0, 1]. A sample is one mask against one target.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
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


# Which classes an mIoU is the mean of, by the evaluator that does so. OVSeg divides the sum over classes with target
# pixels by the number with target or marked pixels: the others add 0, so that it is mmseg's number.
ABSENT: dict[str, Callable[[Counts], bool]] = {
    "mmseg": lambda observed: observed.visible + observed.marked > 0,
    "ovseg": lambda observed: observed.visible + observed.marked > 0,
    "detectron2": lambda observed: observed.visible > 0,
}


def counts(mask: np.ndarray, target: np.ndarray, valid: np.ndarray | None = None) -> Counts:
    """Compare mask and target, both (H, W) bool, where valid (H, W) bool is True: everywhere without it.

    Raises ValueError where sizes or dtypes differ from that.
    """
    check_pair(mask, target)
    if valid is not None:
        check_valid(valid, mask.shape)
        mask, target = mask & valid, target & valid
    tp = int(np.count_nonzero(mask & target))
    return Counts(tp, int(np.count_nonzero(mask)) - tp, int(np.count_nonzero(target)) - tp)


def check_pair(mask: np.ndarray, target: np.ndarray) -> None:
    """Raise ValueError unless mask and target are bool arrays of one size."""
    if mask.shape != target.shape or mask.dtype != bool or target.dtype != bool:
        raise ValueError(
            f"mask of shape {mask.shape} and dtype {mask.dtype}, target of shape {target.shape} and dtype "
            f"{target.dtype}: expected two bool arrays of one size"
        )


def check_valid(valid: np.ndarray, shape: tuple[int, ...]) -> None:
    """Raise ValueError unless valid is a bool array of this shape."""
    if valid.shape != shape or valid.dtype != bool:
        raise ValueError(f"valid of shape {valid.shape} and dtype {valid.dtype}: expected {shape} bool, as the mask")


def add(observed: Sequence[Counts]) -> Counts:
    """The sum over images."""
    return Counts(*(sum(column) for column in zip(*observed))) if observed else Counts()


def iou(tp: int, fp: int, fn: int) -> float:
    """Intersection over union in [0, 1]; nan where neither mask nor target has a pixel."""
    union = tp + fp + fn
    return tp / union if union else float("nan")


def mean(values: Iterable[float]) -> float:
    """The mean of the values that are not nan; nan without any."""
    seen = [value for value in values if not math.isnan(value)]
    return math.fsum(seen) / len(seen) if seen else float("nan")


def share_above(values: list[float], limit: float) -> float:
    """The share in [0, 1] of values strictly above limit; nan without values."""
    return sum(value > limit for value in values) / len(values) if values else float("nan")


def iou_fg(samples: Sequence[Counts]) -> float:
    """IoU_FG: IoU of the counts summed over all samples, whatever their class.

    The same number is called oIoU or cumulative IoU where expressions are segmented (RefCOCO, PhraseCut).
    """
    return iou(*add(samples))


oiou = iou_fg


def iou_bin(samples: Sequence[Counts], pixels: int) -> float:
    """IoU_BIN: the mean of IoU_FG and of the background's IoU, from the same sums; of one, where the other is nan.

    pixels: how many were compared in all samples together. Raises ValueError where the counts exceed them.
    """
    tp, fp, fn = add(samples)
    tn = pixels - tp - fp - fn
    if tn < 0:
        raise ValueError(f"{pixels} pixels for counts of {tp + fp + fn}: give the number compared in all samples")
    return mean((iou(tp, fp, fn), iou(tn, fn, fp)))


def miou(by_class: Iterable[Counts], absent: str = "mmseg") -> float:
    """mIoU: the mean over classes of the IoU of a class's counts, summed over the data set beforehand.

    absent: a key of ABSENT. By default a class with neither target nor marked pixels is left out, and one that is only
    marked counts 0; `detectron2` leaves out both. Raises ValueError for another rule.
    """
    if absent not in ABSENT:
        raise ValueError(f"rule {absent!r} for absent classes: expected one of {', '.join(ABSENT)}")
    return mean(iou(*observed) for observed in by_class if ABSENT[absent](observed))


def sample_ious(samples: Iterable[Counts], empty: float = math.nan) -> list[float]:
    """IoU of each sample. `empty` stands for a sample without target and mask; nan leaves such a sample out."""
    ratios = [iou(*observed) if any(observed) else empty for observed in samples]
    return [ratio for ratio in ratios if not math.isnan(ratio)]


def sample_miou(samples: Iterable[Counts], empty: float = math.nan) -> float:
    """The mean of the samples' IoU, which PhraseCut and RefCOCO call mIoU: small targets weigh as much as large ones.

    `empty` is the IoU of a sample without target and mask: nan leaves it out, RefCOCO's tables count it 0.
    """
    return mean(sample_ious(samples, empty))


def precision_at(samples: Iterable[Counts], limit: float, strict: bool = False, empty: float = math.nan) -> float:
    """The share of samples whose IoU is at or above limit; with `strict`, above it. `empty` as in sample_miou."""
    ratios = sample_ious(samples, empty)
    return mean(float(ratio > limit or (ratio == limit and not strict)) for ratio in ratios)
