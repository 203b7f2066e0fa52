# SPDX-License-Identifier: Apache-2.0
"""ZegCLIP's augmentations: the training pipeline of its authors' configurations for mmsegmentation, in NumPy.

In their order: resize, crop, mirror, change light and colours, normalise, fill up.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from clipseg_ros.models.weights import InputFormat
from clipseg_ros.training.zegclip_losses import IGNORED

BRIGHTNESS, CONTRAST, SATURATION, HUE = 32.0, (0.5, 1.5), (0.5, 1.5), 18
TRIES = 10


@dataclass(frozen=True)
class Views:
    """side: of the square that training sees, in pixels. longest: of the longer side of a picture before it is scaled,
    in sides; the shorter is at most one. scales: what both are multiplied by. one_class: the largest share of the
    labelled pixels that a class may have in a cut-out; after TRIES others it is taken all the same."""

    side: int = 512
    longest: int = 4
    scales: tuple[float, float] = (0.5, 2.0)
    one_class: float = 0.75


def draw_view(
    image: np.ndarray, labels: np.ndarray, hidden: Sequence[int], views: Views, form: InputFormat,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """Normalised pixels (3, side, side) float32 and labels (side, side) int16; outside of the picture 0 and IGNORED.

    image (H, W, 3) uint8 RGB, labels (H, W) int16 with IGNORED. hidden: labels that do not decide what is seen.
    """
    image, labels = _resize(image, labels, views, rng)
    top, left = _corner(labels, hidden, views, rng)
    box = np.s_[top : top + views.side, left : left + views.side]
    image, labels = image[box], labels[box]
    if rng.random() < 0.5:
        image, labels = image[:, ::-1], labels[:, ::-1]
    height, width = labels.shape
    pixels = np.zeros((3, views.side, views.side), np.float32)
    pixels[:, :height, :width] = form.normalise(distort(image, rng))[0].numpy()
    filled = np.full((views.side, views.side), IGNORED, np.int16)
    filled[:height, :width] = labels
    return pixels, filled


def distort(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(H, W, 3) uint8: brightness, contrast, saturation and hue each changed at every second time."""
    image = np.ascontiguousarray(image)
    if rng.random() < 0.5:
        image = _linear(image, 1.0, rng.uniform(-BRIGHTNESS, BRIGHTNESS))
    contrast_first = rng.random() < 0.5
    if contrast_first and rng.random() < 0.5:
        image = _linear(image, rng.uniform(*CONTRAST), 0.0)
    if rng.random() < 0.5:
        hsv = cv2.cvtColor(image, cv2.COLOR_RGB2HSV)
        hsv[..., 1] = _linear(hsv[..., 1], rng.uniform(*SATURATION), 0.0)
        image = cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)
    if rng.random() < 0.5:
        hsv = cv2.cvtColor(image, cv2.COLOR_RGB2HSV)
        hsv[..., 0] = (hsv[..., 0].astype(int) + int(rng.integers(-HUE, HUE))) % 180  # half degrees, as OpenCV has them
        image = cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)
    if not contrast_first and rng.random() < 0.5:
        image = _linear(image, rng.uniform(*CONTRAST), 0.0)
    return image


def _linear(values: np.ndarray, factor: float, offset: float) -> np.ndarray:
    return np.clip(values.astype(np.float32) * factor + offset, 0.0, 255.0).astype(np.uint8)


def _resize(
    image: np.ndarray, labels: np.ndarray, views: Views, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """The largest size whose sides are within the drawn ones, aspect kept."""
    short, long = sorted(labels.shape)
    side = views.side * rng.uniform(*views.scales)
    scale = min(int(side) / short, int(views.longest * side) / long)
    height, width = (max(1, int(length * scale + 0.5)) for length in labels.shape)
    return (
        cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR),
        cv2.resize(labels, (width, height), interpolation=cv2.INTER_NEAREST),
    )


def _corner(
    labels: np.ndarray, hidden: Sequence[int], views: Views, rng: np.random.Generator
) -> tuple[int, int]:
    """Row and column of a cut-out in which no class has more than its share, if TRIES find one."""
    spare = [max(0, length - views.side) for length in labels.shape]
    for _ in range(1 + TRIES):
        top, left = (int(rng.integers(0, length + 1)) for length in spare)
        found, counts = np.unique(labels[top : top + views.side, left : left + views.side], return_counts=True)
        counts = counts[~np.isin(found, (IGNORED, *hidden))]
        if len(counts) > 1 and counts.max() < views.one_class * counts.sum():
            break
    return top, left
