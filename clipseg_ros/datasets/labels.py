# SPDX-License-Identifier: Apache-2.0
"""Files of data sets: pictures, label files, lists of names, and the table from a file's values to class numbers.

Label files hold a number a pixel: PNG (palette or grey), 16-bit TIFF, or a MATLAB array. They are read as they are: a
palette's colours mean nothing. Every function raises DatasetError with the file's path.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import groupby
from pathlib import Path, PurePosixPath

import numpy as np
import scipy.io
from PIL import Image

from clipseg_ros.datasets import DatasetError, expect

UNKNOWN = -2
"""The table's entry of a value that the file must not hold."""
MODES = ("P", "L", "I", "I;16", "I;16L", "I;16B")  # Pillow's, of pictures with one number a pixel
UNREADABLE = (OSError, SyntaxError, ValueError, Image.DecompressionBombError)
Reader = Callable[[Path], np.ndarray]


def below(root: Path, name: str) -> Path:
    """The path of `name`, which a file gave, below root. Names that are absolute or hold ".." are refused."""
    parts = PurePosixPath(name).parts
    if not parts or parts[0] == "/" or ".." in parts or "\0" in name:
        raise DatasetError(f"name {name!r}: expected a path below {root}, relative and without '..'")
    return root.joinpath(*parts)


def lines(path: Path, what: str) -> list[str]:
    """The lines that are not blank, without surrounding blanks; `what` says what the file is, where it is missing."""
    try:
        text = expect(path, what).read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(f"{path}: no text in UTF-8 ({error}); expected {what}") from error
    found = [line.strip() for line in text.splitlines() if line.strip()]
    if not found:
        raise DatasetError(f"{path}: empty; expected {what}")
    return found


def read_image(path: Path) -> np.ndarray:
    """(H, W, 3) uint8 RGB, grey and palette pictures included. A rotation in EXIF is not applied: labels have none."""
    try:
        with Image.open(expect(path, "a picture")) as picture:
            return np.array(picture.convert("RGB"))
    except DatasetError:
        raise
    except UNREADABLE as error:
        raise DatasetError(f"{path}: no readable picture ({error})") from error


def read_values(path: Path) -> np.ndarray:
    """(H, W) integers of a PNG or TIFF with one number a pixel, or of LabelMap in a .mat file."""
    if path.suffix == ".mat":
        return read_mat(path, "LabelMap")
    try:
        with Image.open(expect(path, "a label file")) as picture:
            if picture.mode in MODES:
                return np.array(picture)
            mode = picture.mode
    except DatasetError:
        raise
    except UNREADABLE as error:
        raise DatasetError(f"{path}: no readable label file ({error})") from error
    raise DatasetError(f"{path}: mode {mode}; expected one number a pixel: palette, grey or 16 bits")


def read_mat(path: Path, key: str) -> np.ndarray:
    """(H, W) integers: the array `key` of a MATLAB file up to version 7.2."""
    expect(path, f"a MATLAB file with the array {key}")
    try:
        found = scipy.io.loadmat(path, variable_names=[key])
    except Exception as error:  # what loadmat raises on a damaged file depends on the byte
        raise DatasetError(f"{path}: no readable MATLAB file ({error})") from error
    values = found.get(key)
    if values is None or values.ndim != 2 or values.dtype.kind not in "iu":
        raise DatasetError(f"{path}: expected an integer array {key} with two axes")
    return values


def read_pair(picture: Path, labels: Path, read: Reader = read_values) -> tuple[np.ndarray, np.ndarray]:
    """Image (H, W, 3) uint8 RGB and the values (H, W) of its label file, which must have its size."""
    image, values = read_image(picture), read(labels)
    if image.shape[:2] != values.shape:
        sizes = " and ".join("{1} x {0}".format(*shape[:2]) for shape in (values.shape, image.shape))
        raise DatasetError(f"{labels} and {picture}: {sizes} pixels; expected one size")
    return image, values


def table(classes: Mapping[int, int], others: int = UNKNOWN) -> np.ndarray:
    """(V,) int32: the class number of every value from 0, from a mapping of value to class number or IGNORE.

    others: what values stand for that the mapping lacks, up to 65535; without it they are errors.
    """
    size = 1 << 16 if others != UNKNOWN else max(classes) + 1
    entries = np.full(size, others, np.int32)
    for value, number in classes.items():
        entries[value] = number
    return entries


def remap(values: np.ndarray, entries: np.ndarray, path: Path, hint: str = "") -> np.ndarray:
    """(H, W) int32 class numbers of a file's values. hint: what a value without class is likely to mean."""
    within = (values >= 0) & (values < len(entries))
    classes = np.where(within, entries[np.where(within, values, 0)], np.int32(UNKNOWN))
    unknown = classes == UNKNOWN
    if unknown.any():
        reason = f" ({hint})" if hint else ""
        raise DatasetError(f"{path}: value {values[unknown].max()}{reason}; expected {_spans(entries)}")
    return classes


def _spans(entries: np.ndarray) -> str:
    """The values that have a class, in words: "0 to 20, 255"."""
    known = np.flatnonzero(entries != UNKNOWN).tolist()
    groups = [[v for _, v in group] for _, group in groupby(enumerate(known), lambda pair: pair[1] - pair[0])]
    return ", ".join(f"{g[0]} to {g[-1]}" if len(g) > 1 else str(g[0]) for g in groups)
