# SPDX-License-Identifier: Apache-2.0
"""The metrics as the CLIPSeg paper's tables were computed, for comparison with them and nothing else.

Lüddecke and Ecker, "Image Segmentation Using Text and Image Prompts", CVPR 2022; the authors' FixedIntervalMetrics,
commit 77c4e2d. They differ from the rest of this room in this: every denominator is 1 larger, so that no score is 1;
a pixel is marked strictly above a threshold; a class that is absent counts 0; on PhraseCut every sample is a class of
its own; `best` picks the threshold on the test data; AP is Simpson's rule on the span of recall that 49 thresholds
happen to cover, so that a perfect mask has AP 0 and the rule may leave [0, 1].
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from clipseg_ros.evaluation import curves

THRESHOLDS = np.linspace(0, 1, 51)[1:-1]
REPORTED = (0.1, 0.2, 0.3, 0.5)


def sweep(scores: np.ndarray, target: np.ndarray, valid: np.ndarray | None = None) -> np.ndarray:
    """(49, 4) int64: tp, fp, fn, tn of one sample, compared strictly and in float32; else as curves.sweep."""
    return curves.sweep(scores.astype(np.float32), target, THRESHOLDS, valid, strict=True)


def resize(scores: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """(H, W) float32 of size = (H, W): scores (h, w) bilinearly, corner pixels on corner pixels, before thresholds."""
    scores = scores.astype(np.float32)
    for axis, length in enumerate(size):
        last = scores.shape[axis] - 1
        where = np.arange(length, dtype=np.float32) * np.float32(last / max(length - 1, 1))
        low = np.minimum(where.astype(np.intp), last)
        high = np.minimum(low + 1, last)
        weight = np.expand_dims(where - low.astype(np.float32), 1 - axis)
        scores = (1 - weight) * scores.take(low, axis) + weight * scores.take(high, axis)
    return scores


@dataclass(frozen=True, eq=False)
class Scores:
    """Metrics of N samples: tables (N, 49, 4) of sweep, classes (N,) integers. Raises ValueError for anything else."""

    tables: np.ndarray
    classes: np.ndarray

    def __post_init__(self) -> None:
        expected = (len(self.classes), len(THRESHOLDS), 4)
        if not len(self.classes) or self.tables.shape != expected:
            raise ValueError(f"tables of shape {self.tables.shape}: expected {expected}, and at least one sample")

    def iou_fg(self) -> np.ndarray:
        """(49,) IoU of the counts of all samples."""
        return _iou(self.tables.sum(axis=0))

    def iou_bin(self) -> np.ndarray:
        """(49,) mean of iou_fg and the background's IoU."""
        total = self.tables.sum(axis=0)
        return 0.5 * _iou(total) + 0.5 * _iou(total[:, [3, 2, 1, 0]])

    def miou(self) -> np.ndarray:
        """(49,) mean over classes of the IoU of the counts of a class's samples."""
        by_class = (self.tables[self.classes == each].sum(axis=0) for each in np.unique(self.classes))
        return np.mean([_iou(total) for total in by_class], axis=0)

    def curve(self) -> tuple[np.ndarray, np.ndarray]:
        """Recall, rising, and precision, at the thresholds with a marked pixel; equal points are kept once.

        Points of equal recall keep the order of a Python set, as there: Simpson's rule depends on it.
        """
        tp, fp, fn, _ = self.tables.sum(axis=0).T
        marked = tp + fp > 0
        points = zip((tp / (1 + tp + fn))[marked].tolist(), (tp / (1 + tp + fp))[marked].tolist())
        ordered = np.array(sorted(set(points), key=lambda point: point[0])).reshape(-1, 2)
        return ordered[:, 0], ordered[:, 1]

    def ap(self, rule: str = "scipy-1.10") -> float:
        """Area under the curve by a rule of AP_RULES; by default as SciPy integrated in the paper's time.

        Raises ValueError for another rule, or where no pixel is marked at any threshold.
        """
        if rule not in AP_RULES:
            raise ValueError(f"rule {rule!r}: expected one of {', '.join(AP_RULES)}")
        recall, precision = self.curve()
        if not recall.size:
            raise ValueError("no pixel is above any threshold: the curve has no point to integrate")
        return AP_RULES[rule](precision, recall)

    def summary(self, rule: str = "scipy-1.10") -> dict[str, float]:
        """ap, and of each of iou_fg, iou_bin and miou: `_best`, its threshold `_best_t`, and `_0.1` to `_0.5`."""
        found = {"ap": self.ap(rule)}
        for name, values in (("iou_fg", self.iou_fg()), ("iou_bin", self.iou_bin()), ("miou", self.miou())):
            found[f"{name}_best"], found[f"{name}_best_t"] = curves.best(values, THRESHOLDS)
            found |= {f"{name}_{t}": float(values[np.abs(THRESHOLDS - t).argmin()]) for t in REPORTED}
        return found


def _iou(table: np.ndarray) -> np.ndarray:
    tp, fp, fn, _ = table.T
    return tp / (1 + tp + fp + fn)


def trapezoid(y: np.ndarray, x: np.ndarray) -> float:
    """Area under (N,) points y at rising x, joined by straight lines."""
    return float(np.sum(np.diff(x) * (y[1:] + y[:-1]) / 2))


def simpson(y: np.ndarray, x: np.ndarray) -> float:
    """Area under (N,) points y at uneven, rising x: a parabola through every three of them.

    For even N the last interval lies under the parabola through the last three (Cartwright 2017, equation 8), as in
    SciPy since 1.11. Two points are joined by a line. A quotient by a width of 0 counts 0, as there.
    """
    if len(x) % 2:
        return _parabolas(y, x)
    if len(x) == 2:
        return trapezoid(y, x)
    before, last = np.diff(x[-3:])
    after = _over(2 * last**2 + 3 * before * last, 6 * (before + last)) * y[-1]
    middle = _over(last**2 + 3 * before * last, 6 * before) * y[-2]
    first = _over(last**3, 6 * before * (before + last)) * y[-3]
    return _parabolas(y[:-1], x[:-1]) + float(after + middle - first)


def simpson_averaged(y: np.ndarray, x: np.ndarray) -> float:
    """As simpson, but for even N the mean of a line in the first and of a line in the last interval.

    SciPy did so up to 1.10, as `even="avg"`.
    """
    if len(x) % 2:
        return _parabolas(y, x)
    line_last = _parabolas(y[:-1], x[:-1]) + trapezoid(y[-2:], x[-2:])
    line_first = trapezoid(y[:2], x[:2]) + _parabolas(y[1:], x[1:])
    return (line_last + line_first) / 2


def _parabolas(y: np.ndarray, x: np.ndarray) -> float:
    """Simpson's rule for an odd number of points."""
    left, right = np.diff(x)[::2], np.diff(x)[1::2]
    width, skew = left + right, _over(left, right)
    first = y[:-2:2] * (2 - _over(np.ones_like(skew), skew))
    middle = y[1:-1:2] * width * _over(width, left * right)
    return float(np.sum(width / 6 * (first + middle + y[2::2] * (2 - skew))))


def _over(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return np.divide(part, whole, out=np.zeros(np.shape(whole)), where=np.asarray(whole) != 0)


AP_RULES: dict[str, Callable[[np.ndarray, np.ndarray], float]] = {
    "scipy-1.10": simpson_averaged,
    "scipy-1.11": simpson,
    "trapezoid": trapezoid,
}
