# SPDX-License-Identifier: Apache-2.0
"""Pascal-5i: one-shot segmentation on VOC 2012 in four folds; fold f tests classes 5f to 5f + 4 of VOC20.

The folder is VOCdevkit/VOC2012 with JPEGImages and SegmentationClassAug (0 background, class number + 1, 255 not
counted). The lists are the user's, in one of two forms:

    pascal5i        PFENet's: a line is "picture labels", both relative to the folder; sizes decide who enters a fold
    pascal5i_hsnet  HSNet's: splits/pascal/{trn,val}/fold{f}.txt, a line is "stem__class", classes from 1

CLIPSeg reports on PFENet's validation list, one episode a query image, averaged over the four folds.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from clipseg_ros.datasets import IGNORE, DatasetError
from clipseg_ros.datasets.class_names import VOC20
from clipseg_ros.datasets.episodes import EpisodeFolder, for_queries
from clipseg_ros.datasets.label_folder import Pair
from clipseg_ros.datasets.labels import below, lines, read_values, remap, table

FOLDS = 4
VOID = 255
VALUES = table({**{value: value for value in range(len(VOC20) + 1)}, VOID: IGNORE})
LEAST_PIXELS = 2 * 32 * 32
"""Pixels of a class from which an image enters the fold and the class's support pool (PFENet)."""
PARTS = ("test", "train")


def fold_classes(fold: int, part: str = "test") -> tuple[int, ...]:
    """Class numbers, from 0, that a fold tests (5), or trains on (the other 15). Raises DatasetError."""
    if fold not in range(FOLDS):
        raise DatasetError(f"fold {fold}: expected 0 to {FOLDS - 1}")
    if part not in PARTS:
        raise DatasetError(f"part {part!r}: expected {' or '.join(PARTS)}")
    return tuple(number for number in range(len(VOC20)) if (number // 5 == fold) == (part == "test"))


def pascal5i(
    root: Path, pairs: Path, fold: int, part: str = "test", count: int | None = None, seed: int = 0
) -> EpisodeFolder:
    """Episodes from one of PFENet's lists; every label file of it is opened once, to measure. Raises DatasetError.

    The class of an episode is any of the fold in the query, also one below LEAST_PIXELS. count: of episodes, the
    queries taken in turn; None for one a query image, as CLIPSeg has it; 5000 is PFENet's number.
    """
    wanted = fold_classes(fold, part)
    queries, pools = [], {number: [] for number in wanted}
    for line in lines(pairs, "PFENet's list, a line is: picture labels"):
        pair = _pair(root, pairs, line)
        labels = remap(read_values(pair.labels), VALUES, pair.labels)
        pixels = {number: np.count_nonzero(labels == number + 1) for number in wanted}
        large = [number for number in wanted if pixels[number] >= LEAST_PIXELS]
        for number in large:
            pools[number].append(pair)
        if large:
            queries.append((pair, [number for number in wanted if pixels[number]]))
    return EpisodeFolder(for_queries(queries, pools, count, seed), VOC20, (VOID,))


def pascal5i_hsnet(
    root: Path, splits: Path, fold: int, part: str = "test", count: int | None = 1000, seed: int = 0
) -> EpisodeFolder:
    """Episodes from HSNet's lists in the folder `splits`, which name the class of every query. Raises DatasetError.

    test reads val/fold{fold}.txt, train the trn lists of the other folds. count: as in pascal5i; 1000 is HSNet's.
    """
    wanted = fold_classes(fold, part)
    folder, folds = ("val", [fold]) if part == "test" else ("trn", [f for f in range(FOLDS) if f != fold])
    queries, pools = [], {number: [] for number in wanted}
    for path in (splits / folder / f"fold{f}.txt" for f in folds):
        for line in lines(path, "HSNet's list, a line is: stem__class"):
            stem, _, value = line.rpartition("__")
            if not (stem and value.isdecimal() and int(value) - 1 in pools):
                raise DatasetError(f"{path}: line {line!r}; expected stem__class, classes of the fold counted from 1")
            pair = Pair(
                stem,
                below(root / "JPEGImages", f"{stem}.jpg"),
                below(root / "SegmentationClassAug", f"{stem}.png"),
            )
            queries.append((pair, [int(value) - 1]))
            pools[int(value) - 1].append(pair)
    return EpisodeFolder(for_queries(queries, pools, count, seed), VOC20, (VOID,))


def _pair(root: Path, path: Path, line: str) -> Pair:
    names = line.split()
    if len(names) != 2:
        raise DatasetError(f"{path}: line {line!r}; expected a picture and its labels, with a blank between")
    picture, labels = (below(root, name) for name in names)
    return Pair(picture.stem, picture, labels)
