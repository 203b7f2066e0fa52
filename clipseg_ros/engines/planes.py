# SPDX-License-Identifier: Apache-2.0
"""Score maps of engines whose prompts may be dropped, or share a plane."""

from __future__ import annotations

from dataclasses import dataclass, field

import cv2
import numpy as np

from clipseg_ros.masks import best_labels


@dataclass(frozen=True, eq=False)
class KeptMaps:
    """ScoreMaps of N prompts over an image of `size` (H, W), some of which were dropped.

    planes: float32 in [0, 1], (h, w) on a grid that is resized bilinearly when asked for, or (H, W); rows: for each
    prompt its plane, None where it was dropped, whose scores are 0. A prompt is present when it was not dropped.
    """

    planes: np.ndarray = field(repr=False)
    rows: tuple[int | None, ...]
    size: tuple[int, int]

    def scores(self) -> np.ndarray:
        """(N, H, W) float32 in [0, 1]."""
        return np.stack([self._plane(row) for row in self.rows]) if self.rows else np.zeros((0, *self.size), np.float32)

    def score(self) -> np.ndarray:
        """(H, W) float32: the maximum over the prompts, 0 where there is none."""
        best = np.zeros(self.size, np.float32)
        for row in self.rows:
            np.maximum(best, self._plane(row), out=best)
        return best

    def masks(self, thresholds: np.ndarray) -> np.ndarray:
        """(N, H, W) bool."""
        masks = np.zeros((len(self.rows), *self.size), bool)
        for mask, row, threshold in zip(masks, self.rows, thresholds):
            np.greater_equal(self._plane(row), threshold, out=mask)
        return masks

    def labels(self, thresholds: np.ndarray) -> np.ndarray:
        """(H, W) uint8: 1 + index of the best prompt reaching its threshold, else 0; ties to the earlier."""
        planes = ((index, self._plane(row)) for index, row in enumerate(self.rows))
        return best_labels(planes, np.asarray(thresholds, np.float32), self.size)

    def present(self, thresholds: np.ndarray) -> np.ndarray:
        """(N,) bool: not dropped."""
        return np.array([row is not None for row in self.rows], bool)

    def _plane(self, row: int | None) -> np.ndarray:
        if row is None:
            return np.zeros(self.size, np.float32)
        return resized(self.planes[row], self.size)


def resized(plane: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """(H, W) of a plane (h, w): bilinear, pixel centres at half-integers on both grids."""
    return cv2.resize(plane, size[::-1], interpolation=cv2.INTER_LINEAR)
