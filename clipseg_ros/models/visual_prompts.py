# SPDX-License-Identifier: Apache-2.0
"""Visual prompts: a support, image and mask, made into one image that tells CLIP what is meant (CLIPSeg, Table 2).

Everything but the red rows works on normalised pixels, as the authors' code does: what darkens goes towards the mean
colour that normalising subtracts (with ImageNet's mean the grey 124, 116, 104), not towards black.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import torch

from clipseg_ros.models.weights import InputFormat
from clipseg_ros.segmentation import Support

KERNEL = 7  # pixels on each side of the blur's centre, whatever its sigma, as in the authors' code
RED = np.array([1.0, 0.0, 0.0], np.float32)
DYE = np.array([1.0, 0.2, 0.2], np.float32)


@dataclass(frozen=True)
class VisualPrompt:
    """How a mask is put into an image; a field left alone changes nothing. In this order:

    dyed: the image is grey, the object red on it. outline: width in pixels of a red line along the object's edge, as
    OpenCV understands it, which draws 7 for 5. blur: sigma in pixels of a Gaussian over the background, into which the
    object's colours bleed. background: factor on the background's normalised pixels, 0 is the mean grey. context:
    the image is cut to the object's box, widened on each side by this share of its extent, and filled up to a square
    in mean grey; None keeps it whole.
    """

    dyed: bool = False
    outline: float = 0.0
    blur: float = 0.0
    background: float = 1.0
    context: float | None = None


# The rows of Table 2 as they are named there, and, as `_notebook`, what the authors' notebook ran for two of them.
VISUAL_PROMPTS = {
    "object_red": VisualPrompt(dyed=True),
    "object_outline": VisualPrompt(outline=5.0),
    "bg_intensity_50": VisualPrompt(background=0.5),
    "bg_intensity_10": VisualPrompt(background=0.1),
    "bg_intensity_0": VisualPrompt(background=0.0),
    "bg_blur": VisualPrompt(blur=3.0),
    "bg_blur_intensity_10": VisualPrompt(blur=3.0, background=0.1),
    "crop_large_context": VisualPrompt(context=0.5),
    "crop": VisualPrompt(context=0.1),
    "crop_bg_blur": VisualPrompt(blur=3.0, context=0.1),
    "crop_bg_blur_notebook": VisualPrompt(blur=3.0, context=0.5),
    "crop_bg_intensity_10": VisualPrompt(background=0.1, context=0.1),
    "crop_bg_intensity_10_notebook": VisualPrompt(blur=3.0, background=0.1),
    "crop_bg_blur_intensity_10": VisualPrompt(blur=3.0, background=0.1, context=0.1),
}


def find(name: str) -> VisualPrompt:
    """The row of that name. Raises ValueError with the names there are."""
    if not isinstance(name, str) or name not in VISUAL_PROMPTS:
        raise ValueError(f"visual_prompt {name!r}: expected one of {', '.join(VISUAL_PROMPTS)}")
    return VISUAL_PROMPTS[name]


def prompt_pixels(
    support: Support, visual: VisualPrompt, form: InputFormat, side: int, unit: float | None = None
) -> torch.Tensor:
    """(3, side, side) float32, normalised: the support as an image for CLIPSeg.embed_image.

    The aspect of a crop is kept, a whole image is squashed as query images are. What shrinks is area-averaged; what
    grows is bilinear, but nearest for crops, as in the authors' code.
    unit: pixels of the support image that outline and blur count as one. None makes them count pixels of an image of
    side x side, so that the same view looks the same at any resolution; 1.0 is the authors' code, which counts the
    image's own.
    """
    height, width = support.mask.shape
    unit = np.sqrt(height * width) / side if unit is None else unit
    pixels = form.normalise(support.image)[0].permute(1, 2, 0).numpy()
    if visual.dyed or visual.outline:
        painted = _painted(support, visual, max(1, round(visual.outline * unit)))
        pixels = ((painted - form.mean) / form.std).astype(np.float32)
    pixels = _with_background(pixels, support.mask, visual, unit)
    if visual.context is None:
        pixels = _resized(pixels, side, cv2.INTER_LINEAR)
    else:
        left, right, top, bottom = object_box(support.mask, visual.context)
        pixels = _resized(_padded_to_square(pixels[top:bottom, left:right]), side, cv2.INTER_NEAREST)
    return torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1)))


def object_box(mask: np.ndarray, context: float) -> tuple[int, int, int, int]:
    """(left, right, top, bottom), ends excluded, of a mask (H, W) with some True, widened on each side by `context`
    times its extent along that axis, rounded down and clipped to the image."""
    (left, right), (top, bottom) = (_span(mask.any(axis=axis), context) for axis in (0, 1))
    return left, right, top, bottom


def _span(marked: np.ndarray, context: float) -> tuple[int, int]:
    first, last = np.flatnonzero(marked)[[0, -1]].tolist()
    margin = context * (last + 1 - first)
    return int(max(0, first - margin)), int(min(len(marked), last + 1 + margin))


def _painted(support: Support, visual: VisualPrompt, thickness: int) -> np.ndarray:
    """(H, W, 3) float32 in [0, 1] with the object dyed, outlined, or both."""
    image = support.image.astype(np.float32) / np.float32(255.0)
    if visual.dyed:
        grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[..., None]
        image = np.where(support.mask[..., None], grey * DYE, grey)
    if visual.outline:
        contours, _ = cv2.findContours(support.mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
        line = np.zeros(support.mask.shape, np.uint8)
        cv2.drawContours(line, contours, -1, color=1, thickness=thickness)
        image = np.where(line[..., None] > 0, RED, image)
    return image


def _with_background(pixels: np.ndarray, mask: np.ndarray, visual: VisualPrompt, unit: float) -> np.ndarray:
    """(H, W, 3) float32: the background blurred and drawn towards 0, the object as it was."""
    background = pixels
    if visual.blur:
        size = 2 * max(1, round(KERNEL * unit)) + 1
        background = cv2.GaussianBlur(pixels, (size, size), visual.blur * unit)
    return np.where(mask[..., None], pixels, np.float32(visual.background) * background)


def _padded_to_square(pixels: np.ndarray) -> np.ndarray:
    """(n, n, 3) of pixels (h, w, 3) in the middle of zeros; an odd row or column more goes to the end."""
    height, width = pixels.shape[:2]
    length = max(height, width)
    top, left = (length - height) // 2, (length - width) // 2
    square = np.zeros((length, length, 3), pixels.dtype)
    square[top : top + height, left : left + width] = pixels
    return square


def _resized(pixels: np.ndarray, side: int, growing: int) -> np.ndarray:
    shrinks = min(pixels.shape[:2]) >= side
    return cv2.resize(pixels, (side, side), interpolation=cv2.INTER_AREA if shrinks else growing)
