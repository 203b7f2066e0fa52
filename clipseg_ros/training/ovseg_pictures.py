# SPDX-License-Identifier: Apache-2.0
"""Pictures with label maps as OVSeg's proposal network learns from them: resized, cropped, recoloured, mirrored.

The recolouring is SSD's (Liu et al., ECCV 2016), as detectron2 has it.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from PIL import Image

from clipseg_ros.datasets import IGNORE, LabelMaps

PAD = 128  # of pixels beyond the picture
TRIES = 10


@dataclass(frozen=True)
class Cropping:
    """side: of the square that is cut; sides: what the picture's shorter side becomes, one at random; longest: what
    its longer side becomes at most."""

    side: int = 640
    sides: tuple[int, ...] = tuple(640 * tenths // 10 for tenths in range(5, 21))
    longest: int = 2560


class LabelExamples:
    """Crops of a data set with label maps, each drawn anew; pixels without class stay so, pixels beyond the picture
    have none."""

    def __init__(self, data: LabelMaps, cropping: Cropping) -> None:
        self._data, self._cropping = data, cropping

    def __len__(self) -> int:
        """Number of pictures."""
        return len(self._data)

    def draw(self, index: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Image (side, side, 3) uint8 RGB and labels (side, side) int32 of picture `index`, IGNORE where no class is.

        A crop without any class is drawn again, some times; then it is given as it is.
        """
        sample = self._data[index]
        for _ in range(TRIES):
            image, labels = cropped(sample.image, sample.labels, self._cropping, rng)
            if (labels != IGNORE).any():
                break
        image = recoloured(image, rng)
        if rng.random() < 0.5:
            image, labels = image[:, ::-1], labels[:, ::-1]
        return np.ascontiguousarray(image), np.ascontiguousarray(labels)


def resized(image: np.ndarray, shorter: int, longest: int) -> np.ndarray:
    """Image (h, w, 3) uint8 whose shorter side is `shorter`, or less where the other would be above `longest`."""
    height, width = image.shape[:2]
    scale = min(shorter / min(height, width), longest / max(height, width))
    size = (int(width * scale + 0.5), int(height * scale + 0.5))
    return np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BILINEAR))


def cropped(
    image: np.ndarray, labels: np.ndarray, cropping: Cropping, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """A random square of the picture at a random size, filled up on the right and below where it is smaller."""
    side = cropping.side
    image = resized(image, int(rng.choice(cropping.sides)), cropping.longest)
    height, width = image.shape[:2]
    labels = cv2.resize(labels.astype(np.float32), (width, height), interpolation=cv2.INTER_NEAREST).astype(np.int32)
    top, left = (int(rng.integers(max(0, length - side) + 1)) for length in (height, width))
    window = np.s_[top : top + side, left : left + side]
    below, right = (max(0, side - length) for length in (height, width))
    image = np.pad(image[window], ((0, below), (0, right), (0, 0)), constant_values=PAD)
    return image, np.pad(labels[window], ((0, below), (0, right)), constant_values=IGNORE)


def recoloured(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(H, W, 3) uint8: brightness, contrast, saturation and hue, each changed with a chance of a half."""
    image = _times_plus(image, 1.0, rng.uniform(-32.0, 32.0)) if rng.random() < 0.5 else image
    contrast = rng.uniform(0.5, 1.5) if rng.random() < 0.5 else 1.0
    first = rng.random() < 0.5
    image = _times_plus(image, contrast, 0.0) if first else image
    saturation = rng.uniform(0.5, 1.5) if rng.random() < 0.5 else 1.0
    turn = int(rng.integers(-18, 18)) if rng.random() < 0.5 else 0
    if saturation != 1.0 or turn:
        hsv = cv2.cvtColor(image, cv2.COLOR_RGB2HSV)
        hsv[..., 1] = _times_plus(hsv[..., 1], saturation, 0.0)
        hsv[..., 0] = ((hsv[..., 0].astype(int) + turn) % 180).astype(np.uint8)  # OpenCV's hue has 180 steps
        image = cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)
    return image if first else _times_plus(image, contrast, 0.0)


def _times_plus(image: np.ndarray, factor: float, offset: float) -> np.ndarray:
    return np.clip(image.astype(np.float32) * factor + offset, 0.0, 255.0).astype(np.uint8)
