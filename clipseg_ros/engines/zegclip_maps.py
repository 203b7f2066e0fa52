# SPDX-License-Identifier: Apache-2.0
"""ZegCLIP's probabilities over an image where logits do not say all: windows that overlap, penalties of seen classes.

Logits stay on the device, at the grid of patches, until something is asked of them; no (N, H, W) array is built for a
label image, and classes that reach their threshold nowhere are not looked at.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

import numpy as np
import torch
from torch.nn import functional as F

CUDA_PIXELS_AT_ONCE = 1 << 24  # a CPU takes one class at a time, which its cache holds
STRIDE = 426 / 512  # published, of the window's side


@dataclass(frozen=True)
class Windows:
    """Squares of `side` pixels over a resized image, the canvas (h, w): their top left corners (row, column)."""

    canvas: tuple[int, int]
    side: int
    starts: tuple[tuple[int, int], ...]

    @classmethod
    def over(cls, canvas: tuple[int, int], side: int) -> Windows:
        """As published: a stride of 426 for 512, the last window of a row or column drawn back to the edge."""
        stride = int(side * STRIDE)
        counts = (max(length - side + stride - 1, 0) // stride + 1 for length in canvas)
        rows, columns = (
            [min(index * stride, length - side) for index in range(count)] for count, length in zip(counts, canvas)
        )
        return cls(canvas, side, tuple(product(rows, columns)))

    def cut(self, pixels: torch.Tensor) -> torch.Tensor:
        """(K, C, side, side) of pixels (1, C, h, w)."""
        parts = (pixels[:, :, top : top + self.side, left : left + self.side] for top, left in self.starts)
        return torch.cat(list(parts))

    def mean(self, planes: torch.Tensor) -> torch.Tensor:
        """(n, h, w) over the canvas: where windows (K, n, side, side) overlap, their mean."""
        total, count = planes.new_zeros(planes.shape[1], *self.canvas), planes.new_zeros(self.canvas)
        for (top, left), plane in zip(self.starts, planes):
            box = (..., slice(top, top + self.side), slice(left, left + self.side))
            total[box] += plane
            count[box] += 1.0
        return total / count


@dataclass(frozen=True, eq=False)
class ProbabilityMaps:
    """ScoreMaps of logits (K, N, h, w) float32 of K windows over an image of `size` (H, W).

    A class's probability is the sigmoid of its logits, less its entry of penalties (N,); windows are averaged as
    probabilities. windows: None where K = 1 window is the whole image. The score is the probability, 0 where a penalty
    takes it below. Thresholds of -inf give the published label image, the most probable class everywhere.
    """

    logits: torch.Tensor
    penalties: torch.Tensor
    size: tuple[int, int]
    windows: Windows | None = None

    def probabilities(self) -> np.ndarray:
        """(N, H, W) float32, less the penalties, which may leave them below 0."""
        found = np.empty((self.logits.shape[1], *self.size), np.float32)
        for chosen, planes in self._planes(torch.arange(len(found), device=self.logits.device)):
            found[chosen.cpu().numpy()] = planes.cpu().numpy()
        return found

    def scores(self) -> np.ndarray:
        """(N, H, W) float32 in [0, 1]."""
        found = self.probabilities()
        return np.maximum(found, 0.0, out=found)

    def score(self) -> np.ndarray:
        """(H, W) float32 in [0, 1]: the maximum over the classes; 0 without classes."""
        best = self.logits.new_zeros(self.size)
        for _, planes in self._planes(torch.arange(self.logits.shape[1], device=self.logits.device)):
            best = torch.maximum(best, planes.amax(dim=0))
        return best.cpu().numpy()

    def masks(self, thresholds: np.ndarray) -> np.ndarray:
        """(N, H, W) bool."""
        masks = np.zeros((self.logits.shape[1], *self.size), bool)
        for chosen, planes, least in self._reaching(thresholds):
            masks[chosen.cpu().numpy()] = (planes >= least).cpu().numpy()
        return masks

    def labels(self, thresholds: np.ndarray) -> np.ndarray:
        """(H, W) uint8: 1 + index of the best class among those reaching their threshold, else 0; ties to the first."""
        best = self.logits.new_full(self.size, -torch.inf)
        labels = torch.zeros(self.size, dtype=torch.uint8, device=best.device)
        for chosen, planes, least in self._reaching(thresholds):
            for index, plane, lowest in zip(chosen.tolist(), planes, least):
                wins = (plane > best) & (plane >= lowest)
                best = torch.where(wins, plane, best)
                labels.masked_fill_(wins, index + 1)
        return labels.cpu().numpy()

    def present(self, thresholds: np.ndarray) -> np.ndarray:
        """(N,) bool: some pixel reaches the threshold."""
        present = np.zeros(self.logits.shape[1], bool)
        for chosen, planes, least in self._reaching(thresholds):
            present[chosen.cpu().numpy()] = (planes >= least).any(dim=2).any(dim=1).cpu().numpy()
        return present

    def _reaching(self, thresholds: np.ndarray) -> Iterator[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
        """Classes (n,) that can reach their threshold, planes (n, H, W), thresholds (n, 1, 1): bilinear resizing and
        averaging never exceed the grid's peak."""
        least = torch.from_numpy(np.asarray(thresholds, np.float32)).to(self.logits.device)
        peaks = self.logits.amax(dim=(0, 2, 3)).sigmoid() - self.penalties
        for chosen, planes in self._planes(torch.nonzero(peaks >= least)[:, 0]):
            yield chosen, planes, least[chosen, None, None]

    def _planes(self, classes: torch.Tensor) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Some of the classes (n,) at a time, with their probabilities (n, H, W)."""
        canvas = self.size if self.windows is None else self.windows.canvas
        pixels = max(self.size[0] * self.size[1], canvas[0] * canvas[1])
        at_once = max(1, CUDA_PIXELS_AT_ONCE // pixels) if self.logits.is_cuda else 1
        for chosen in classes.split(at_once):
            if len(chosen):
                yield chosen, self._resized(self.logits[:, chosen]) - self.penalties[chosen, None, None]

    def _resized(self, logits: torch.Tensor) -> torch.Tensor:
        """(n, H, W) probabilities of logits (K, n, h, w)."""
        if self.windows is None:
            return _resize(logits, self.size)[0].sigmoid()
        side = self.windows.side
        return _resize(self.windows.mean(_resize(logits, (side, side)).sigmoid())[None], self.size)[0]


def _resize(planes: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    return F.interpolate(planes, size=size, mode="bilinear", align_corners=False)
