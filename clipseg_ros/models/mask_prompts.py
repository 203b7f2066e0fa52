# SPDX-License-Identifier: Apache-2.0
"""Masks shown to an image classifier: the frame outside a mask dimmed, the mask outlined in red (CLIP as RNN, 3.2).

The visual prompts of this module keep an image an image, RGB uint8 at its own size, for any CLIP; those that tell
CLIPSeg what a support means are in visual_prompts.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from scipy.ndimage import binary_fill_holes

from clipseg_ros.models.visual_prompts import object_box
from clipseg_ros.segmentation import check_image

# In the order in which the authors' code applies them, each to what the former left; `crop` is ours.
PROMPTS = ("blur", "gray", "black", "circle", "rectangle", "contour", "crop")
RED = (255, 0, 0)
MEAN_GREY = (123, 117, 104)  # CLIP's mean colour, which normalising makes 0
BLUR_KERNEL = (15, 15)  # sigma 2.6 pixels, OpenCV's for this kernel
CLIP_SIDE = 224  # pixels of the square in which an outline is 2 pixels wide


@dataclass(frozen=True)
class MaskPrompt:
    """How a mask is shown: `names` from PROMPTS, in any order, applied in the order there.

    blur, gray, black change what is outside the mask. circle and rectangle stand around the centre of gravity with
    the extent of the mask's box, contour follows the mask with its holes filled. crop cuts the image to the mask's
    box, widened on each side by `context` times its extent, and fills it up to a square in mean grey.
    thickness: of outlines in pixels. None: 2 pixels where the shorter side is 224, so that CLIP sees them at any
    resolution; the authors' code has 1 at any. swapped_luma: gray weighs red as blue and blue as red, as the authors'
    code does. Raises ValueError.
    """

    names: tuple[str, ...]
    thickness: int | None = None
    swapped_luma: bool = False
    context: float = 0.2

    def __post_init__(self) -> None:
        unknown = [name for name in self.names if name not in PROMPTS]
        if unknown or isinstance(self.names, str):
            raise ValueError(f"mask prompt {self.names!r}: expected a tuple of {', '.join(PROMPTS)}")
        if self.thickness is not None and self.thickness < 1:
            raise ValueError(f"thickness {self.thickness}: expected 1 pixel or more, or None")
        if self.context < 0.0:
            raise ValueError(f"context {self.context}: expected a share of the box, 0 or more")


class PromptedFrame:
    """A frame (H, W, 3) uint8 RGB made ready once to show any number of its masks; it is not written to."""

    def __init__(self, image: np.ndarray, prompt: MaskPrompt) -> None:
        check_image(image)
        self._image = image
        self._prompt = prompt
        self._outside = _outside(image, prompt)

    def show(self, mask: np.ndarray) -> np.ndarray:
        """(H, W, 3) uint8 RGB, or a square of the crop's longer side: the frame with mask (H, W) bool shown in it.

        An empty mask gives the frame as it is. Raises ValueError unless the mask has the frame's size.
        """
        if mask.shape != self._image.shape[:2] or mask.dtype != bool:
            raise ValueError(
                f"mask of shape {mask.shape} and dtype {mask.dtype}: expected {self._image.shape[:2]} bool"
            )
        if not mask.any():
            return self._image.copy()
        names = self._prompt.names
        shown = cv2.copyTo(self._image, mask.astype(np.uint8), self._outside.copy())
        if "crop" not in names:
            _outline(shown, mask, names, self._thickness(min(mask.shape)))
            return shown
        left, right, top, bottom = object_box(mask, self._prompt.context)
        _outline(shown, mask, names, self._thickness(max(bottom - top, right - left)))
        return _squared(shown[top:bottom, left:right])

    def _thickness(self, side: int) -> int:
        return self._prompt.thickness or max(1, round(2 * side / CLIP_SIDE))


def _outside(image: np.ndarray, prompt: MaskPrompt) -> np.ndarray:
    """(H, W, 3) uint8: what the frame is outside any mask."""
    outside = image
    if "blur" in prompt.names:
        outside = cv2.GaussianBlur(outside, BLUR_KERNEL, 0)
    if "gray" in prompt.names:
        luma = cv2.COLOR_BGR2GRAY if prompt.swapped_luma else cv2.COLOR_RGB2GRAY
        outside = cv2.cvtColor(cv2.cvtColor(outside, luma), cv2.COLOR_GRAY2RGB)
    return np.zeros_like(image) if "black" in prompt.names else outside


def _outline(image: np.ndarray, mask: np.ndarray, names: tuple[str, ...], thickness: int) -> None:
    """Draw the outlines among `names` into image."""
    if "circle" in names or "rectangle" in names:
        left, right, top, bottom = object_box(mask, 0.0)
        moments = cv2.moments(mask.astype(np.uint8), binaryImage=True)
        x, y = int(moments["m10"] / moments["m00"]), int(moments["m01"] / moments["m00"])
        half_width, half_height = (right - left) // 2, (bottom - top) // 2
        if "circle" in names:
            cv2.ellipse(image, (x, y), (half_width, half_height), 0, 0, 360, RED, thickness)
        if "rectangle" in names:
            corner, opposite = (x - half_width, y - half_height), (x + half_width, y + half_height)
            cv2.rectangle(image, corner, opposite, RED, thickness)
    if "contour" in names:
        filled = binary_fill_holes(mask).astype(np.uint8)
        contours, _ = cv2.findContours(filled, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
        cv2.drawContours(image, contours, -1, RED, thickness)


def _squared(image: np.ndarray) -> np.ndarray:
    """(n, n, 3) uint8: image (h, w, 3) in the middle of mean grey; an odd row or column more goes to the end."""
    height, width = image.shape[:2]
    length = max(height, width)
    top, left = (length - height) // 2, (length - width) // 2
    square = np.full((length, length, 3), MEAN_GREY, np.uint8)
    square[top : top + height, left : left + width] = image
    return square
