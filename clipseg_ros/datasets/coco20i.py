# SPDX-License-Identifier: Apache-2.0
"""COCO-20i as HSNet lays it out: one-shot segmentation in four folds; fold f tests the classes f, f + 4 .. f + 76.

The folder is COCO2014 (or CLIPSeg's COCO-20i) with train2014, val2014 and annotations/{train2014,val2014}/*.png: 0
background, class number + 1 in the order of COCO80, nothing ignored. HSNet's splits/coco/{trn,val}/fold{f}.pkl hold,
for each class number, the pictures with that class, "val2014/COCO_val2014_000000000042.jpg". They are pickles, which
can run code when they are loaded; here nothing but dicts, lists, strings and numbers is.
"""

from __future__ import annotations

from pathlib import Path

from clipseg_ros.datasets import DatasetError
from clipseg_ros.datasets.class_names import COCO80
from clipseg_ros.datasets.episodes import EpisodeFolder, for_classes
from clipseg_ros.datasets.label_folder import Pair
from clipseg_ros.datasets.labels import below
from clipseg_ros.datasets.pickles import read_pickle

FOLDS = 4
PARTS = {"test": "val", "train": "trn"}  # HSNet's folder of the lists


def fold_classes(fold: int, part: str = "test") -> tuple[int, ...]:
    """Class numbers, from 0, that a fold tests (20), or trains on (the other 60). Raises DatasetError."""
    if fold not in range(FOLDS):
        raise DatasetError(f"fold {fold}: expected 0 to {FOLDS - 1}")
    if part not in PARTS:
        raise DatasetError(f"part {part!r}: expected {' or '.join(PARTS)}")
    return tuple(number for number in range(len(COCO80)) if (number % FOLDS == fold) == (part == "test"))


def coco20i(
    root: Path, splits: Path, fold: int, part: str = "test", count: int = 1000, seed: int = 0
) -> EpisodeFolder:
    """Episodes of a uniform class and two of its pictures, query and support. Raises DatasetError.

    splits: HSNet's folder splits/coco. count: of episodes; HSNet and CLIPSeg test 1000 a fold.
    """
    wanted = fold_classes(fold, part)
    path = splits / PARTS[part] / f"fold{fold}.pkl"
    named = read_lists(path)
    bare = [COCO80[number] for number in wanted if len(set(named.get(number, ()))) < 2]
    if bare:
        raise DatasetError(f"{path}: fewer than two pictures of {', '.join(bare)}; expected the lists of fold {fold}")
    pools = {number: [_pair(root, name) for name in dict.fromkeys(named[number])] for number in wanted}
    return EpisodeFolder(for_classes(pools, count, seed), COCO80)


def read_lists(path: Path) -> dict[int, list[str]]:
    """Class number -> names of pictures, from one of HSNet's pickles, whose classes and functions are not loaded.

    Raises DatasetError where it asks for one, or holds something else than such lists.
    """
    lists = read_pickle(path, "HSNet's lists of COCO-20i, a pickled dict of class number and names")
    if not isinstance(lists, dict) or not all(_is_class(*entry) for entry in lists.items()):
        raise DatasetError(f"{path}: expected a dict from class numbers, 0 to {len(COCO80) - 1}, to lists of names")
    return lists


def _is_class(number: object, names: object) -> bool:
    named = isinstance(names, list) and all(isinstance(name, str) for name in names)
    return type(number) is int and number in range(len(COCO80)) and named


def _pair(root: Path, name: str) -> Pair:
    picture = below(root, name)
    if picture.suffix != ".jpg":
        raise DatasetError(f"name {name!r}: expected train2014/ or val2014/ and a .jpg")
    return Pair(picture.stem, picture, below(root / "annotations", name).with_suffix(".png"))
