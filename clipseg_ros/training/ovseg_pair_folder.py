# SPDX-License-Identifier: Apache-2.0
"""Mask-category pairs on disk: pairs.csv with the columns filepath and title, and cut-outs as PNG beside it.

A cut-out is the tight box of a mask, RGB, with the mask in the alpha channel: the picture around the mask stays, and
what fills it is decided when it is read. The authors store cut-outs filled with one colour, and take for the mask what
has another; files without an alpha channel are refused.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch.nn import functional as F

from clipseg_ros.datasets import DatasetError, expect
from clipseg_ros.datasets.labels import UNREADABLE, below
from clipseg_ros.models.weights import InputFormat

PAIRS, DONE = "pairs.csv", "done.txt"
COLUMNS = ("filepath", "title")
SCALE, RATIO = (0.9, 1.0), (3.0 / 4.0, 4.0 / 3.0)
TRIES = 10


class PairWriter:
    """Appends the pairs of one picture after the other; what was written of a picture that is not finished is dropped
    when the folder is opened again."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        done = folder / DONE
        self.done = set(done.read_text().splitlines()) if done.is_file() else set()
        rows = [row for row in read_rows(folder) if Path(row[0]).parent.name in self.done] if self.done else []
        with (folder / PAIRS).open("w", newline="", encoding="utf-8") as file:
            csv.writer(file, delimiter="\t", lineterminator="\n").writerows([COLUMNS, *rows])

    def write(self, name: str, image: np.ndarray, masks: np.ndarray, pairs: Iterable[tuple[int, str]]) -> int:
        """Keep (mask, word) pairs of picture `name`, image (H, W, 3) uint8, masks (M, H, W) bool; returns how many."""
        rows, folder = [], self._folder / "cut_outs" / name
        for index, word in pairs:
            path = folder / f"{index:03d}.png"
            if not any(row[0] == path for row in rows):
                folder.mkdir(parents=True, exist_ok=True)
                Image.fromarray(cut(image, masks[index])).save(path)
            rows.append((path, word))
        with (self._folder / PAIRS).open("a", newline="", encoding="utf-8") as file:
            relative = [(path.relative_to(self._folder).as_posix(), word) for path, word in rows]
            csv.writer(file, delimiter="\t", lineterminator="\n").writerows(relative)
        with (self._folder / DONE).open("a", encoding="utf-8") as file:
            file.write(f"{name}\n")
        self.done.add(name)
        return len(rows)


class PairFolder:
    """Cut-outs and their words as training samples of `side` pixels, normalised as `form` says."""

    def __init__(self, folder: Path, form: InputFormat, side: int) -> None:
        self._folder, self._form, self._side = folder, form, side
        self.rows = read_rows(folder)
        if not self.rows:
            raise DatasetError(f"{folder / PAIRS}: no pair; expected a line for each cut-out after the header")

    def __len__(self) -> int:
        """Number of pairs."""
        return len(self.rows)

    def draw(self, index: int, rng: np.random.Generator) -> tuple[torch.Tensor, torch.Tensor, str]:
        """Pair `index`: pixels (3, side, side) float32, 0 outside the mask, mask (1, side, side) bool, word.

        A random part of the cut-out of 90 to 100 % of its area, taken as squashed to a square, and resized bicubically,
        as CLIP's trainings do. Raises DatasetError.
        """
        name, word = self.rows[index]
        return (*drawn_part(read_cut(below(self._folder, name)), self._form, self._side, rng), word)


def cut(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """(h, w, 4) uint8: the tight box of mask (H, W) bool in image (H, W, 3) uint8, alpha 255 inside the mask."""
    (top, bottom), (left, right) = ((int(x.min()), int(x.max()) + 1) for x in np.nonzero(mask))
    box = np.s_[top:bottom, left:right]
    return np.dstack([image[box], mask[box].astype(np.uint8) * np.uint8(255)])


def read_cut(path: Path) -> np.ndarray:
    """(h, w, 4) uint8. Raises DatasetError."""
    try:
        with Image.open(expect(path, "a cut-out, as its folder's pairs.csv says")) as picture:
            if picture.mode == "RGBA":
                return np.array(picture)
            mode = picture.mode
    except DatasetError:
        raise
    except UNREADABLE as error:
        raise DatasetError(f"{path}: no readable picture ({error})") from error
    raise DatasetError(f"{path}: mode {mode}; expected RGBA with the mask in the alpha channel")


def drawn_part(
    picture: np.ndarray, form: InputFormat, side: int, rng: np.random.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """Pixels (3, side, side) float32 and mask (1, side, side) bool of a random part of a cut-out (h, w, 4)."""
    pixels, mask = blank_outside(picture, form)
    rows, columns = random_part(*mask.shape[1:], rng)
    size = (side, side)
    pixels = F.interpolate(pixels[None, :, rows, columns], size, mode="bicubic", align_corners=False)[0]
    return pixels, F.interpolate(mask[None, :, rows, columns].float(), size, mode="nearest")[0] > 0


def blank_outside(picture: np.ndarray, form: InputFormat) -> tuple[torch.Tensor, torch.Tensor]:
    """Pixels (3, h, w) float32, normalised and 0 outside the mask, and the mask (1, h, w) bool of a cut-out."""
    mask = torch.from_numpy(picture[..., 3] > 127)[None]
    return form.normalise(picture[..., :3])[0] * mask, mask


def random_part(height: int, width: int, rng: np.random.Generator) -> tuple[slice, slice]:
    """Rows and columns of a random part of SCALE of the area whose sides, were all of it a square, stand in RATIO."""
    for _ in range(TRIES):
        area, ratio = rng.uniform(*SCALE), np.exp(rng.uniform(*np.log(RATIO)))
        shares = np.sqrt(area / ratio), np.sqrt(area * ratio)
        if max(shares) <= 1.0:
            sizes = [max(1, round(share * length)) for share, length in zip(shares, (height, width))]
            first = [int(rng.integers(length - size + 1)) for length, size in zip((height, width), sizes)]
            return slice(first[0], first[0] + sizes[0]), slice(first[1], first[1] + sizes[1])
    return slice(0, height), slice(0, width)


def read_rows(folder: Path) -> list[tuple[str, str]]:
    """(filepath, title) of every line of the folder's pairs.csv. Raises DatasetError."""
    path = expect(folder / PAIRS, "a table with tabs and the header filepath, title")
    with path.open(newline="", encoding="utf-8") as file:
        rows = [tuple(row) for row in csv.reader(file, delimiter="\t")]
    if not rows or rows[0] != COLUMNS or any(len(row) != len(COLUMNS) for row in rows):
        raise DatasetError(f"{path}: expected two columns with tabs between them, under the header filepath, title")
    return rows[1:]
