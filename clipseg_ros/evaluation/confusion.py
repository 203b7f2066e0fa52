# SPDX-License-Identifier: Apache-2.0
"""Confusion matrix of labels against truth, and what is read off it: mIoU, pAcc, mAcc, mIoU(S), mIoU(U), hIoU.

One matrix is summed over the whole data set at the size of its labels; ignored pixels are dropped before they are
counted. Metrics that choose their pixels by the truth have names of their own: foreground_only, without_class_zero.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from clipseg_ros.evaluation.metrics import Counts, mean, miou

IGNORE = 255


class ZeroShot(NamedTuple):
    """Generalised zero-shot segmentation: mIoU(S) of seen classes, mIoU(U) of unseen ones, and their hIoU."""

    seen: float
    unseen: float
    harmonic: float


@dataclass(frozen=True, eq=False)
class Confusion:
    """Pixels of class i that were labelled j: matrix (C, C + 1) of integers, its last column for `none of them`.

    Raises ValueError where the matrix is no such thing.
    """

    matrix: np.ndarray

    def __post_init__(self) -> None:
        shape, kind = self.matrix.shape, self.matrix.dtype
        if len(shape) != 2 or shape[1] != shape[0] + 1 or kind.kind not in "iu" or (self.matrix < 0).any():
            raise ValueError(f"matrix of shape {shape} and dtype {kind}: expected (C, C + 1) integers, none negative")

    @classmethod
    def empty(cls, classes: int) -> Confusion:
        """No pixel seen yet: where a sum starts."""
        return cls(np.zeros((classes, classes + 1), np.int64))

    def __add__(self, other: Confusion) -> Confusion:
        """The sum over images. Raises ValueError where the number of classes differs."""
        if self.matrix.shape != other.matrix.shape:
            raise ValueError(f"{len(self.matrix)} classes and {len(other.matrix)}: only equal class lists are added")
        return Confusion(self.matrix + other.matrix)

    def per_class(self) -> list[Counts]:
        """Counts of each class against all others."""
        found = self.matrix.diagonal()
        wrong = self.matrix[:, :-1].sum(axis=0) - found
        missed = self.matrix.sum(axis=1) - found
        return [Counts(*map(int, row)) for row in zip(found, wrong, missed)]

    def miou(self, classes: Iterable[int] | None = None, absent: str = "mmseg") -> float:
        """mIoU over these classes, all by default; `absent` as in metrics.miou."""
        observed = self.per_class()
        return miou(observed if classes is None else [observed[index] for index in classes], absent)

    def pacc(self) -> float:
        """pAcc: the share of pixels that have the right class; nan without pixels."""
        pixels = int(self.matrix.sum())
        return int(self.matrix.trace()) / pixels if pixels else math.nan

    def macc(self) -> float:
        """mAcc: the share of its own pixels that a class finds, averaged over the classes that have pixels."""
        return mean(observed.tp / observed.visible for observed in self.per_class() if observed.visible)

    def zero_shot(self, unseen: Collection[int], absent: str = "mmseg") -> ZeroShot:
        """mIoU of the unseen classes, of all others, and their harmonic mean."""
        seen = [index for index in range(len(self.matrix)) if index not in set(unseen)]
        ratios = self.miou(seen, absent), self.miou(unseen, absent)
        return ZeroShot(*ratios, hiou(*ratios))

    def foreground_only(self) -> Confusion:
        """The classes from 1 on, on the pixels whose truth is one of them: marking other pixels costs nothing.

        Numbers for VOC-20 and Context-59 are made so: class 0 of the truth is ignored there. A pixel of a class that is
        labelled 0 is a miss. Since false marks on background are never seen, do not compare it with the default.
        """
        kept = self.matrix[1:, 1:].copy()
        kept[:, -1] += self.matrix[1:, 0]
        return Confusion(kept)

    def without_class_zero(self) -> Confusion:
        """As foreground_only, and a pixel of a class labelled 0 is no miss either: row and column are deleted.

        Only for comparison with CLIP as RNN, which evaluates VOC and Context without background so.
        """
        return Confusion(self.matrix[1:, 1:])


def hiou(seen: float, unseen: float) -> float:
    """hIoU: the harmonic mean of mIoU(S) and mIoU(U); 0 where both are 0, nan where one is nan."""
    total = seen + unseen
    return 2 * seen * unseen / total if total else 0.0


def confusion(labels: np.ndarray, truth: np.ndarray, classes: int, ignore: int = IGNORE) -> Confusion:
    """Count labels against truth, both (H, W) integers in 0 .. classes - 1.

    Pixels whose truth is `ignore` are dropped; a label `ignore` means none of the classes, a miss wherever the truth
    has one. Raises ValueError for sizes or dtypes that differ, any other value, or an `ignore` that is a class.
    """
    if labels.shape != truth.shape or labels.dtype.kind not in "iu" or truth.dtype.kind not in "iu":
        raise ValueError(
            f"labels of shape {labels.shape} and dtype {labels.dtype}, truth of shape {truth.shape} and dtype "
            f"{truth.dtype}: expected two integer arrays of one size"
        )
    if 0 <= ignore < classes:
        raise ValueError(f"ignore {ignore} is one of {classes} classes: give a value outside of them")
    kept = truth != ignore
    rows, columns = truth[kept].astype(np.int64), labels[kept].astype(np.int64)
    for name, values in (("truth", rows), ("label", columns)):
        wrong = values[(values != ignore) & ((values < 0) | (values >= classes))]
        if wrong.size:
            raise ValueError(f"{name} {wrong[0]} with {classes} classes: expected 0 .. {classes - 1} or {ignore}")
    columns[columns == ignore] = classes
    pixels = np.bincount(rows * (classes + 1) + columns, minlength=classes * (classes + 1))
    return Confusion(pixels.reshape(classes, classes + 1))
