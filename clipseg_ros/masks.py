# SPDX-License-Identifier: Apache-2.0
"""Pure array functions between a model's grid and the camera's image, components of masks, colours for people.

Geometry: a model sees the whole image resized to its input, pixel centres at half-integers on both grids, so the
way back is one bilinear resize to (H, W). Nothing is padded or cropped, whatever the image's shape.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np


def resize_image(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """(h, w, 3) uint8 of size = (h, w): area-averaged where both sides shrink, bilinear otherwise."""
    shrinks = size[0] <= image.shape[0] and size[1] <= image.shape[1]
    return cv2.resize(image, size[::-1], interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)


def input_size(image_size: tuple[int, int], side: int, multiple: int, keep_aspect: bool) -> tuple[int, int]:
    """Network input (h, w) for an image (H, W): a square of `side`, or the image's aspect with the same area.

    Both are multiples of `multiple` and at least one of it; keeping the aspect rounds each side to the nearest.
    """
    if not keep_aspect:
        return side, side
    height, width = image_size
    scale = side / np.sqrt(height * width)
    return tuple(max(1, round(length * scale / multiple)) * multiple for length in (height, width))


def sigmoid(logits: np.ndarray) -> np.ndarray:
    """1 / (1 + exp(-x)) in float32, without overflow."""
    return 0.5 * (1.0 + np.tanh(0.5 * logits))


@dataclass(frozen=True, eq=False)
class LogitMaps:
    """ScoreMaps of logits (N, h, w) float32 at the model's grid over an image of `size` (H, W).

    The score is the sigmoid of the bilinearly resized logit; thresholds are compared as logits, prompt by prompt, so
    that no (N, H, W) array is built unless asked for. A prompt is present when some pixel reaches its threshold.
    """

    logits: np.ndarray
    size: tuple[int, int]

    def scores(self) -> np.ndarray:
        """(N, H, W) float32 in [0, 1]."""
        scores = np.empty((len(self.logits), *self.size), np.float32)
        for index in range(len(scores)):
            scores[index] = sigmoid(self._resized(index))
        return scores

    def score(self) -> np.ndarray:
        """(H, W) float32 in [0, 1]: the maximum over the prompts; 0 without prompts."""
        best = np.full(self.size, -np.inf, np.float32)
        for index in range(len(self.logits)):
            np.maximum(best, self._resized(index), out=best)
        return sigmoid(best)

    def masks(self, thresholds: np.ndarray) -> np.ndarray:
        """(N, H, W) bool."""
        masks = np.zeros((len(self.logits), *self.size), bool)
        for index, logits, least in self._reaching(thresholds):
            np.greater_equal(logits, least, out=masks[index])
        return masks

    def labels(self, thresholds: np.ndarray) -> np.ndarray:
        """(H, W) uint8: 1 + index of the best prompt reaching its threshold, else 0; ties to the earlier."""
        least = self._least(thresholds)
        room = np.empty(self.size, np.float32)  # for one after the other: fresh memory costs more than the arithmetic
        planes = ((index, self._resized(index, room)) for index in self._reach(least))
        return best_labels(planes, least, self.size)

    def present(self, thresholds: np.ndarray) -> np.ndarray:
        """(N,) bool: some pixel reaches the threshold."""
        present = np.zeros(len(self.logits), bool)
        for index, logits, least in self._reaching(thresholds):
            present[index] = logits.max() >= least
        return present

    def _resized(self, index: int, room: np.ndarray | None = None) -> np.ndarray:
        return cv2.resize(self.logits[index], self.size[::-1], dst=room, interpolation=cv2.INTER_LINEAR)

    def _reaching(self, thresholds: np.ndarray) -> Iterator[tuple[int, np.ndarray, np.float32]]:
        """Resized logits of the prompts that can reach their threshold, and that as a logit."""
        least = self._least(thresholds)
        for index in self._reach(least):
            yield index, self._resized(index), least[index]

    def _least(self, thresholds: np.ndarray) -> np.ndarray:
        with np.errstate(divide="ignore"):
            return (np.log(thresholds) - np.log1p(-thresholds)).astype(np.float32)

    def _reach(self, least: np.ndarray) -> list[int]:
        """Bilinear resizing never exceeds the grid's peak."""
        return np.flatnonzero(self.logits.max(axis=(1, 2), initial=-np.inf) >= least).tolist()


def best_labels(planes: Iterable[tuple[int, np.ndarray]], least: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """(H, W) uint8 of `size`: 1 + index of the best plane reaching its entry of least (N,), else 0; ties to the earlier.

    planes: index below 255 and (H, W) float32, by rising index; what lies below `least` may be overwritten. Written for
    hundreds of planes, which may all use the same memory: nothing but whole-array arithmetic, twice as fast as copying
    where a plane wins.
    """
    labels, wins = np.zeros(size, np.uint8), np.empty(size, bool)
    marks = wins.view(np.uint8)  # the same bytes
    lowest = np.min(least, initial=np.inf).astype(np.float32)
    best = np.full(size, np.nextafter(lowest, np.float32(-np.inf)), np.float32)
    for index, plane in planes:
        if least[index] > lowest:
            plane[plane < least[index]] = -np.inf
        np.greater(plane, best, out=wins)
        np.fmax(best, plane, out=best)
        np.multiply(marks, np.uint8(index + 1), out=marks)
        np.maximum(labels, marks, out=labels)  # a later winner has the larger label
    return labels


def palette() -> np.ndarray:
    """(256, 3) uint8 RGB: black for 0, then hues a golden angle apart, so that neighbours in id differ."""
    hue = (np.arange(256) * 137.508) % 360.0
    hsv = np.stack([hue / 2.0, np.full(256, 200.0), np.full(256, 255.0)], axis=1).astype(np.uint8)
    colours = cv2.cvtColor(hsv[None], cv2.COLOR_HSV2RGB)[0]
    colours[0] = 0
    return colours


PALETTE = palette()


def overlay(image: np.ndarray, labels: np.ndarray, opacity: float = 0.5) -> np.ndarray:
    """(H, W, 3) uint8: the image with palette colours laid over its labelled pixels and outlined in them.

    opacity in [0, 1]: the share of the colour inside; the one-pixel outline is opaque. Label 0 stays untouched.
    """
    colours = PALETTE[labels]
    blend = cv2.addWeighted(colours, opacity, image, 1.0 - opacity, 0.0)
    inside = cv2.erode(labels, np.ones((3, 3), np.uint8)) == cv2.dilate(labels, np.ones((3, 3), np.uint8))
    painted = np.where(inside[..., None], blend, colours)
    return np.where((labels > 0)[..., None], painted, image)


class Component(NamedTuple):
    """A connected part of a mask: the mean score of its pixels, their number and the box around them.

    Box in pixels: its first column and row, its width and height.
    """

    score: float
    area: int
    x: int
    y: int
    width: int
    height: int


def components(mask: np.ndarray, score: np.ndarray, min_area: int) -> list[Component]:
    """The connected parts of mask (H, W) bool that have at least `min_area` pixels, the largest first.

    Pixels that touch at a side or a corner belong together. score: (H, W) float32.
    """
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    areas = stats[:, cv2.CC_STAT_AREA]
    sums = np.bincount(labels.ravel(), score.ravel(), count)
    order = np.argsort(-areas[1:], kind="stable") + 1
    return [
        Component(float(sums[index] / areas[index]), int(areas[index]), *(int(side) for side in stats[index, :4]))
        for index in order
        if areas[index] >= min_area
    ]


def largest_component(mask: np.ndarray, min_area: int) -> np.ndarray:
    """(H, W) bool: the largest connected part of mask (H, W) bool; empty where it has fewer than `min_area` pixels."""
    _, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    areas = stats[:, cv2.CC_STAT_AREA]
    areas[0] = 0  # the background
    index = int(areas.argmax())
    return labels == index if areas[index] >= max(min_area, 1) else np.zeros(mask.shape, bool)


def best_of(masks: np.ndarray, scores: np.ndarray) -> int | None:
    """Index of the mask with the highest mean score of its own pixels, None where all are empty; ties: the first.

    masks: (N, H, W) bool. scores: (N, H, W) float32.
    """
    means = {index: scores[index][mask].mean() for index, mask in enumerate(masks) if mask.any()}
    return max(means, key=means.get, default=None)
