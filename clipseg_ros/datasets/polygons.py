# SPDX-License-Identifier: Apache-2.0
"""Polygons and run lengths made into masks, by the rules of PhraseCut and of COCO, whose edges differ."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from clipseg_ros.datasets import DatasetError

FINE = 5  # COCO's edges are drawn on a grid with five lines a pixel
FARTHEST = 100_000  # pixels; a corner beyond is a damaged file, and drawing it would take all memory


def points(values: Any) -> np.ndarray:
    """(n, 2) float64 x, y of corners given as [[x, y], ...] or [x, y, x, y, ...]. Raises DatasetError."""
    try:
        corners = np.asarray(values, np.float64).reshape(-1, 2)
    except (TypeError, ValueError):
        raise DatasetError(f"polygon {str(values)[:60]}: expected pairs of numbers x, y") from None
    if not (np.abs(corners) <= FARTHEST).all():
        raise DatasetError(f"polygon {str(values)[:60]}: expected numbers within {FARTHEST} pixels of the image")
    return corners


def outlined(polygons: Iterable[np.ndarray], size: tuple[int, int]) -> np.ndarray:
    """(H, W) bool: the union of polygons (n, 2) as PhraseCut draws them: corners cut to whole pixels, outline included.

    One with fewer than three corners is skipped; PhraseCut's own code draws two as a line.
    """
    canvas = Image.new("L", size[::-1])
    brush = ImageDraw.Draw(canvas)
    for polygon in polygons:
        if len(polygon) >= 3:
            brush.polygon([tuple(corner) for corner in polygon.astype(int).tolist()], outline=1, fill=1)
    return np.array(canvas, dtype=bool)


def coco_polygon(polygon: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """(H, W) bool of one polygon (n, 2), pixel by pixel what COCO's own tools draw (pycocotools, `frPoly`).

    The edge is a line of steps on a grid five times as fine; in each pixel column the mask toggles where the line
    crosses the column's middle.
    """
    height, width = size
    corners = (FINE * polygon + 0.5).astype(np.int64)
    edges = zip(corners, np.roll(corners, -1, axis=0))
    column, row = np.concatenate([_line(*edge) for edge in edges]).T
    crossed, reached = np.minimum(column[1:], column[:-1]), np.minimum(row[1:], row[:-1])
    middle = FINE // 2
    x, y = (crossed - middle) // FINE, np.clip((reached + middle) // FINE, 0, height)
    toggles = (column[1:] != column[:-1]) & (crossed % FINE == middle) & (x >= 0) & (x < width)
    times = np.bincount(x[toggles] * height + y[toggles], minlength=height * width + 1)[:-1]
    return _by_columns(times.cumsum() % 2 == 1, size)


def _line(start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """(n, 2) integer steps from start to end, both included, one along the longer axis each.

    Rounding is done from the end with the smaller coordinate, so that both directions draw the same line.
    """
    along = 0 if abs(end[0] - start[0]) >= abs(end[1] - start[1]) else 1
    backwards = start[along] > end[along]
    low, high = (end, start) if backwards else (start, end)
    steps = np.arange(high[along] - low[along] + 1)
    slope = (high[1 - along] - low[1 - along]) / max(1, len(steps) - 1)
    line = np.empty((len(steps), 2), np.int64)
    line[:, along] = low[along] + steps
    line[:, 1 - along] = low[1 - along] + slope * steps + 0.5
    return line[::-1] if backwards else line


def run_lengths(text: str) -> list[int]:
    """The run lengths that COCO's compressed RLE spells: six bits a character from "0" on, five of them digits, the
    lowest first; from the fourth on, the difference to the one before the last. Raises DatasetError."""
    lengths: list[int] = []
    value = shift = 0
    for character in text:
        bits = ord(character) - ord("0")
        if not 0 <= bits < 64:
            raise DatasetError(f"run lengths {text[:60]!r}: {character!r} is no character of compressed RLE")
        value |= (bits & 31) << shift
        shift += 5
        if not bits & 32:
            value -= (bits >> 4) << shift  # the sign: bit 4 of the last character
            lengths.append(value + (lengths[-2] if len(lengths) > 2 else 0))
            value = shift = 0
    if shift:
        raise DatasetError(f"run lengths {text[:60]!r}: end within a number")
    return lengths


def decode_rle(lengths: Sequence[int], size: tuple[int, int]) -> np.ndarray:
    """(H, W) bool of runs, False first, down the columns from left to right. Raises DatasetError where they do not
    add up to the image."""
    whole = all(isinstance(length, int) and length >= 0 for length in lengths)
    if not whole or sum(lengths) != size[0] * size[1]:
        shown = str(lengths)[:60]
        raise DatasetError(f"run lengths {shown}: expected whole numbers that add up to {size[0]}x{size[1]}")
    return _by_columns(np.repeat(np.arange(len(lengths)) % 2 == 1, np.array(lengths, np.int64)), size)


def coco_parts(segmentation: Any, size: tuple[int, int]) -> list[np.ndarray]:
    """(H, W) bool masks of a COCO segmentation: one a polygon with at least three corners, or one of an RLE.

    Raises DatasetError for anything else.
    """
    if isinstance(segmentation, dict):
        lengths = segmentation.get("counts")
        if isinstance(lengths, str):
            lengths = run_lengths(lengths)
        if not isinstance(lengths, list) or segmentation.get("size") != list(size):
            raise DatasetError(f"RLE {str(segmentation)[:60]}: expected counts, and the size {list(size)} of its image")
        return [decode_rle(lengths, size)]
    if not isinstance(segmentation, list):
        raise DatasetError(f"segmentation {str(segmentation)[:60]}: expected a list of polygons, or an RLE")
    polygons = [points(values) for values in segmentation]
    return [coco_polygon(polygon, size) for polygon in polygons if len(polygon) >= 3]


def shrink(entry: dict[str, Any]) -> dict[str, Any]:
    """A COCO annotation with its polygons as arrays, a hook for read_json: as JSON's numbers they fill gigabytes."""
    if isinstance(entry.get("segmentation"), list):
        entry["segmentation"] = [points(polygon) for polygon in entry["segmentation"]]
    return entry


def union(parts: Iterable[np.ndarray], size: tuple[int, int]) -> np.ndarray:
    """(H, W) bool: the pixels of any part; none without parts."""
    mask = np.zeros(size, bool)
    for part in parts:
        mask |= part
    return mask


def covered_once(parts: Iterable[np.ndarray], size: tuple[int, int]) -> np.ndarray:
    """(H, W) bool: the pixels of exactly one part, as the published RefCOCO loaders make masks."""
    times = np.zeros(size, np.int64)
    for part in parts:
        times += part
    return times == 1


def _by_columns(flat: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    return np.ascontiguousarray(flat.reshape(size[::-1]).T)
