# SPDX-License-Identifier: Apache-2.0
"""Object views: a picture in which one object is marked, as visual prompts and mask classifiers mark it."""

from __future__ import annotations

import colorsys

import cv2
import numpy as np

from clipseg_ros.datasets import tabletop
from clipseg_ros.masks import resize_image

GREY = np.array((124, 116, 104), np.float32)  # the mean that normalising subtracts: what darkens goes towards it
LEAST = 100  # pixels of an object from which it is worth a view
RED = (220, 20, 20)
APART = 11  # steps of OpenCV's 180 that a hue keeps from the one held out; red and orange are 14 apart
VIVID = 70  # saturation of 255 from which a pixel has a hue to turn
HUES = {
    name: round(180 * colorsys.rgb_to_hsv(*rgb)[0])
    for name, rgb in tabletop.COLOURS.items() if np.ptp(rgb) > VIVID
}  # in OpenCV's steps


def draw_view(picture: np.ndarray, side: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, int]:
    """One view of a random object of picture (H, W, 4) uint8, RGB and class ids, cut to a square.

    Returns the view (side, side, 3) uint8, its class ids (side, side) uint8, where all but the object is 0, and the
    object's class id. Background blurred, darkened, both, or as it is; sometimes a circle around the object.
    """
    sizes = np.bincount(picture[..., 3].ravel(), minlength=256)
    sizes[0] = 0
    there = np.flatnonzero(sizes >= LEAST)
    chosen = int(rng.choice(there if len(there) else np.flatnonzero(sizes)))
    window = _cut(picture, picture[..., 3] == chosen, rng)
    image = resize_image(np.ascontiguousarray(window[..., :3]), (side, side)).astype(np.float32)
    mask = cv2.resize((window[..., 3] == chosen).astype(np.uint8), (side, side), interpolation=cv2.INTER_NEAREST)
    image = _marked(image, mask, rng)
    if rng.random() < 0.5:
        image, mask = image[:, ::-1], mask[:, ::-1]
    return varied(image, rng), mask * np.uint8(chosen), chosen


def varied(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(H, W, 3) uint8 of image (H, W, 3) float32: brightness, contrast and noise vary; hue does not, since colours are
    asked for."""
    image = (image - 128.0) * rng.uniform(0.85, 1.15) + 128.0 + rng.uniform(-20.0, 20.0)
    image += np.float32(rng.uniform(0.0, 4.0)) * rng.standard_normal(image.shape, np.float32)
    return np.clip(image, 0.0, 255.0, out=image).astype(np.uint8)


def colourless(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(H, W, 3) uint8 of image (H, W, 3) uint8 with 40 to 100 % of its colour taken away, all of it two times in five.

    Hues are not turned, since that would show things in the colours that are held out.
    """
    light = image @ np.array((0.299, 0.587, 0.114), np.float32)
    part = np.float32(min(1.0, rng.uniform(0.4, 1.4)))
    return (image + part * (light[..., None] - image)).round().astype(np.uint8)


def repainted(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(H, W, 4) uint8 of picture (H, W, 4) uint8, RGB and class ids: every object in a hue, shade and lightness of its
    own, that are seldom those of a colour with a name.

    No hue comes near that of the colour held out of the object's kind (tabletop.UNSEEN_PAIRS). Black things stay so.
    """
    hsv = cv2.cvtColor(np.ascontiguousarray(picture[..., :3]), cv2.COLOR_RGB2HSV)
    hue, saturation, value = (plane.astype(float) for plane in cv2.split(hsv))
    for one in np.unique(picture[..., 3][picture[..., 3] > 0]):
        name, pixels = tabletop.class_names()[int(one)], picture[..., 3] == one
        fresh = _free_hue(name["kind"], rng)
        if name["colour"] in HUES:
            main = pixels & (saturation > VIVID)
            hue[main] = (hue[main] + fresh - HUES[name["colour"]]) % 180
            saturation[main] *= rng.uniform(0.55, 1.0)
            value[main] *= rng.uniform(0.6, 1.1)
        elif name["colour"] == "white":
            main = pixels & (saturation < VIVID)
            hue[main] = fresh
            saturation[main] += rng.uniform(90.0, 200.0)
            value[main] *= rng.uniform(0.6, 1.0)
    hsv = cv2.merge([np.clip(plane, 0.0, 255.0).astype(np.uint8) for plane in (hue, saturation, value)])
    return np.dstack([cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB), picture[..., 3]])


def _free_hue(kind: str, rng: np.random.Generator) -> int:
    """A hue of 180 away from the colour that is held out of the kind."""
    held = HUES.get(dict(tabletop.UNSEEN_PAIRS).get(kind, ""))
    hues = np.arange(180)
    away = hues if held is None else hues[np.abs((hues - held + 90) % 180 - 90) > APART]
    return int(rng.choice(away))


def _cut(picture: np.ndarray, mask: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(n, n, 4): the object's box and 5 to 100 % more on each side, filled up to a square in grey, without labels."""
    (top, bottom), (left, right) = ((int(x.min()), int(x.max()) + 1) for x in np.nonzero(mask))
    margin = rng.uniform(0.05, 1.0) if rng.random() < 0.5 else 0.1
    length = max(8, int(max(bottom - top, right - left) * (1 + 2 * margin)))
    square = np.empty((length, length, 4), np.uint8)
    square[:] = (*GREY.astype(np.uint8), 0)
    first = np.array((top + bottom, left + right)) // 2 - length // 2
    low, high = np.maximum(first, 0), np.minimum(first + length, picture.shape[:2])
    square[tuple(slice(*s) for s in zip(low - first, high - first))] = picture[tuple(slice(*s) for s in zip(low, high))]
    return square


def _marked(image: np.ndarray, mask: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The object as it is; its background blurred, darkened, both or neither; a red ellipse at times."""
    blurs, darkens, circles = (rng.random() < chance for chance in (0.6, 0.6, 0.25))
    background = cv2.GaussianBlur(image, (0, 0), 0.015 * len(image) * rng.uniform(0.5, 1.5)) if blurs else image
    background = GREY + rng.uniform(0.0, 0.3) * (background - GREY) if darkens else background
    image = np.where(mask[..., None] > 0, image, background).astype(np.float32)
    if circles or not (blurs or darkens):
        rows, columns = np.nonzero(mask)
        centre = (int(columns.mean()), int(rows.mean()))
        axes = tuple(int(0.7 * (1 + np.ptp(x))) for x in (columns, rows))
        cv2.ellipse(image, centre, axes, 0, 0, 360, RED, max(1, len(image) // 48))
    return image
