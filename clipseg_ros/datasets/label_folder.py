# SPDX-License-Identifier: Apache-2.0
"""LabelFolder: pictures and the label files beside them, which most data sets with label maps are."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np

from clipseg_ros.datasets import DatasetError, Labelled, expect
from clipseg_ros.datasets.labels import Reader, below, read_pair, read_values, remap


class Pair(NamedTuple):
    """A picture and its label file; name is unique in its data set."""

    name: str
    picture: Path
    labels: Path


@dataclass(frozen=True, eq=False)
class LabelFolder:
    """A LabelMaps of pairs, opened when asked for.

    entries: (V,) int32, the class number of each value in the label files, as labels.table makes it. hint: what a
    value without class is likely to mean. read: what gives the values (H, W) of a label file. Indexing raises
    DatasetError where a file is missing, damaged, of another size, or holds a value without class.
    """

    classes: tuple[str, ...]
    pairs: tuple[Pair, ...]
    entries: np.ndarray = field(repr=False)
    hint: str = ""
    read: Reader = field(default=read_values, repr=False)

    def __len__(self) -> int:
        """Number of images."""
        return len(self.pairs)

    def __getitem__(self, index: int) -> Labelled:
        """Image `index`, from 0, and the class of each of its pixels."""
        pair = self.pairs[index]
        image, values = read_pair(pair.picture, pair.labels, self.read)
        return Labelled(image, remap(values, self.entries, pair.labels, self.hint), pair.name)


def listed(pictures: Path, labels: Path, stems: Iterable[str], suffix: str = ".png") -> tuple[Pair, ...]:
    """The pairs of these stems: pictures/<stem>.jpg and labels/<stem><suffix>."""
    for folder, what in ((pictures, "the pictures"), (labels, "the label files")):
        expect(folder, f"the folder of {what}, <stem>{'.jpg' if folder == pictures else suffix}")
    return tuple(Pair(stem, below(pictures, f"{stem}.jpg"), below(labels, f"{stem}{suffix}")) for stem in stems)


def beside(pictures: Path, labels: Path, suffix: str = ".png") -> tuple[Pair, ...]:
    """The pairs of all pictures/*.jpg by name. Raises DatasetError where one side lacks a file that the other has."""
    expect(pictures, "a folder of pictures, *.jpg")
    expect(labels, f"a folder of label files, *{suffix}, one a picture")
    stems = {path.stem for path in pictures.glob("*.jpg")}
    if not stems:
        raise DatasetError(f"{pictures}: no picture; expected *.jpg")
    bare = sorted(stem for stem in stems if not (labels / f"{stem}{suffix}").exists())
    if bare:
        raise DatasetError(f"{labels}: {len(bare)} label files are missing, the first is {bare[0]}{suffix}")
    return listed(pictures, labels, sorted(stems), suffix)
