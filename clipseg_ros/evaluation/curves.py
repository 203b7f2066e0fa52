# SPDX-License-Identifier: Apache-2.0
"""Counts at fixed thresholds, and the curves and the AP drawn from them.

A table is (T, 4) int64: tp, fp, fn, tn at each of T rising thresholds. Tables of samples are added before any of the
functions divides; a leading axis of samples or classes is kept.
"""

from __future__ import annotations

import numpy as np

from clipseg_ros.evaluation.metrics import check_valid

THRESHOLDS = np.arange(1, 50) / 50  # 0.02, 0.04 .. 0.98


def sweep(
    scores: np.ndarray,
    target: np.ndarray,
    thresholds: np.ndarray = THRESHOLDS,
    valid: np.ndarray | None = None,
    strict: bool = False,
) -> np.ndarray:
    """(T, 4) int64: tp, fp, fn, tn of the pixels whose score is at or above each threshold; with `strict`, above it.

    scores: (H, W) float32 or float64 in [0, 1]; thresholds are rounded to that dtype, so that a float32 score of 0.7 is
    at 0.7. target, valid: (H, W) bool; pixels that are not valid are dropped. Raises ValueError for anything else.
    """
    _check(scores, target, thresholds)
    if valid is not None:
        check_valid(valid, scores.shape)
        scores, target = scores[valid], target[valid]
    # how many thresholds each pixel reaches
    reached = np.searchsorted(thresholds.astype(scores.dtype), scores, side="left" if strict else "right")
    levels = len(thresholds) + 1
    marked = [np.bincount(reached[chosen], minlength=levels) for chosen in (target, ~target)]
    tp, fp = (np.cumsum(level[::-1])[::-1][1:] for level in marked)
    positives = np.count_nonzero(target)
    return np.stack((tp, fp, positives - tp, target.size - positives - fp), axis=1)


def _check(scores: np.ndarray, target: np.ndarray, thresholds: np.ndarray) -> None:
    if scores.shape != target.shape or scores.dtype not in (np.float32, np.float64) or target.dtype != bool:
        raise ValueError(
            f"scores of shape {scores.shape} and dtype {scores.dtype}, target of shape {target.shape} and dtype "
            f"{target.dtype}: expected float32 or float64 scores and a bool target of one size"
        )
    if scores.size and not (scores.min() >= 0 and scores.max() <= 1):
        raise ValueError(f"scores from {scores.min()} to {scores.max()}: expected [0, 1]; apply a sigmoid to logits")
    if thresholds.ndim != 1 or not thresholds.size or (np.diff(thresholds) <= 0).any():
        raise ValueError(f"thresholds {thresholds}: expected at least one, each above the one before")


def ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """part / whole in float64; nan where the whole is 0."""
    return np.divide(part, whole, out=np.full(np.shape(whole), np.nan), where=np.asarray(whole) > 0)


def ious(table: np.ndarray) -> np.ndarray:
    """IoU_FG at each threshold; nan where nothing is target or marked."""
    tp, fp, fn, _ = np.moveaxis(table, -1, 0)
    return ratio(tp, tp + fp + fn)


def ious_bin(table: np.ndarray) -> np.ndarray:
    """IoU_BIN at each threshold: the mean of IoU_FG and the background's IoU; of one, where the other is nan."""
    both = np.stack((ious(table), ious(table[..., [3, 2, 1, 0]])))
    known = ~np.isnan(both)
    return ratio(np.where(known, both, 0).sum(axis=0), known.sum(axis=0))


def precisions(table: np.ndarray) -> np.ndarray:
    """The share of marked pixels that are target; nan where nothing is marked."""
    return ratio(table[..., 0], table[..., 0] + table[..., 1])


def recalls(table: np.ndarray) -> np.ndarray:
    """The share of target pixels that are marked; nan without target."""
    return ratio(table[..., 0], table[..., 0] + table[..., 2])


def average_precision(table: np.ndarray) -> float:
    """AP in [0, 1] of one (T, 4) table: the area under precision over recall as a step function; nan without target.

    A threshold's precision holds for the recall that it adds to the thresholds above it, so that nothing is
    interpolated. The curve covers recall 0 to 1: it starts at 0 with nothing marked, and ends at 1 with every pixel
    marked, where precision is the target's share of the pixels. A perfect mask has AP 1, a constant score that share.
    """
    tp, fp, fn, tn = table[::-1].T
    everything = (tp[0] + fn[0], fp[0] + tn[0], 0, 0)
    falling = np.vstack((table[::-1], everything))
    gained = np.diff(recalls(falling), prepend=0)
    return float(np.sum(gained * np.nan_to_num(precisions(falling))))


def best(values: np.ndarray, thresholds: np.ndarray = THRESHOLDS) -> tuple[float, float]:
    """The highest value and its threshold, the lowest of equal ones; (nan, nan) where all are nan.

    A threshold chosen on the data that it is reported on flatters the number: say so beside it.
    """
    if np.isnan(values).all():
        return float("nan"), float("nan")
    index = int(np.nanargmax(values))
    return float(values[index]), float(thresholds[index])
