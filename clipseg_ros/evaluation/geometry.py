# SPDX-License-Identifier: Apache-2.0
"""The size at which a benchmark shows its images and compares scores with truth; papers differ in both."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import cv2
import numpy as np

from clipseg_ros.evaluation import clipseg_paper
from clipseg_ros.masks import resize_image


class Geometry(Protocol):
    """What becomes of an image (H, W, 3), of the scores (N, h, w) found in it, and of its truth (H, W)."""

    def image(self, image: np.ndarray) -> np.ndarray:
        """The image that the engine is shown."""

    def scores(self, scores: np.ndarray, size: tuple[int, int]) -> np.ndarray:
        """Scores of the shown image, for an image of size (H, W), as they are compared."""

    def truth(self, truth: np.ndarray) -> np.ndarray:
        """Masks or labels (H, W) as they are compared."""


@dataclass(frozen=True)
class Whole:
    """The image as it is, compared at its own size."""

    def image(self, image: np.ndarray) -> np.ndarray:
        """The image itself."""
        return image

    def scores(self, scores: np.ndarray, size: tuple[int, int]) -> np.ndarray:
        """The scores themselves."""
        return scores

    def truth(self, truth: np.ndarray) -> np.ndarray:
        """The truth itself."""
        return truth


@dataclass(frozen=True)
class Squashed:
    """The image squashed to side x side pixels and compared there, its truth taken from the nearest pixel."""

    side: int = 352

    def image(self, image: np.ndarray) -> np.ndarray:
        """(side, side, 3) uint8."""
        return resize_image(image, (self.side, self.side))

    def scores(self, scores: np.ndarray, size: tuple[int, int]) -> np.ndarray:
        """The scores themselves."""
        return scores

    def truth(self, truth: np.ndarray) -> np.ndarray:
        """(side, side)."""
        # cv2 knows no bool, and no int32 when it takes the nearest pixel
        small = cv2.resize(truth.astype(np.float32), (self.side, self.side), interpolation=cv2.INTER_NEAREST)
        return small.astype(truth.dtype)


@dataclass(frozen=True)
class Padded:
    """The longer side becomes `side` pixels, the shorter its share of it; black fills up the square.

    Scores inside the image are resized to its own size and compared there: the one-shot protocol of PFENet, which
    CLIPSeg follows. Theirs cuts the shorter side to a multiple of 8, but scales the scores back as if it had not, so
    that masks lie up to 7 pixels of 352 off; here they lie on the image.
    """

    side: int = 352

    def image(self, image: np.ndarray) -> np.ndarray:
        """(side, side, 3) uint8, the image in its upper left corner."""
        height, width = self._inside(image.shape[:2])
        square = np.zeros((self.side, self.side, 3), np.uint8)
        square[:height, :width] = resize_image(image, (height, width))
        return square

    def scores(self, scores: np.ndarray, size: tuple[int, int]) -> np.ndarray:
        """(N, H, W) float32."""
        height, width = self._inside(size)
        resized = [clipseg_paper.resize(score[:height, :width], size) for score in scores]
        return np.stack(resized) if resized else np.empty((0, *size), np.float32)

    def truth(self, truth: np.ndarray) -> np.ndarray:
        """The truth itself."""
        return truth

    def _inside(self, size: tuple[int, int]) -> tuple[int, int]:
        """(h, w) of the image in the square."""
        return tuple(max(1, round(length * self.side / max(size))) for length in size)
