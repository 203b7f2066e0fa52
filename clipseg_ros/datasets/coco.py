# SPDX-License-Identifier: Apache-2.0
"""COCO-Stuff 164K with 171 classes, and COCO Object: the background and COCO's 80 things.

The folder is coco_stuff164k with images/{train,val}2017/<id>.jpg and annotations/{train,val}2017/. Three files of an
image may lie there; which are read is said by `form`, since two numberings can hide behind one name:

    raw        <id>.png of stuffthingmaps_trainval2017.zip: COCO's id - 1, 0 to 181 with gaps, 255 unlabelled
    train_ids  <id>_labelTrainIds.png of mmsegmentation's converter, or <id>.png where none has the suffix (one version
               of the converter overwrote the raw files): 0 to 170, 255 unlabelled
    object     <id>_instanceTrainIds.png of GroupViT's converter: 0 background, 1 to 80

COCO_STUFF_UNSEEN are the 15 classes that ZegCLIP holds out, as numbers of coco_stuff.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from clipseg_ros.datasets import IGNORE, DatasetError
from clipseg_ros.datasets.class_names import COCO80, COCO_OBJECT81, COCO_STUFF171
from clipseg_ros.datasets.label_folder import LabelFolder, Pair, beside
from clipseg_ros.datasets.labels import table

UNLABELLED = 255
UNUSED = (11, 25, 28, 29, 44, 65, 67, 68, 70, 82, 90)
"""Raw values, COCO's id - 1, that name no class."""
RAW_VALUES = tuple(value for value in range(182) if value not in UNUSED)
COCO_STUFF_UNSEEN = (19, 23, 28, 29, 36, 51, 76, 88, 94, 112, 133, 136, 137, 157, 160)
SPLITS = ("train", "val")

Setting = tuple[str, np.ndarray, str]  # suffix of the label files, their table, what another value is likely to mean


def coco_stuff(root: Path, split: str, form: str) -> LabelFolder:
    """COCO-Stuff 164K: 171 classes, unlabelled pixels ignored. form: raw or train_ids. Raises DatasetError.

    A file with the values 171 to 181 proves that it is raw: with train_ids, that is an error when it is opened.
    """
    if form == "raw":
        numbers = {value: number for number, value in enumerate(RAW_VALUES)}
        hint = "which no raw file holds: set form to train_ids if they were converted"
        return _folder(root, split, COCO_STUFF171, (".png", table({**numbers, UNLABELLED: IGNORE}), hint))
    if form != "train_ids":
        raise DatasetError(f"form {form!r} of COCO-Stuff: expected raw or train_ids")
    numbers = {number: number for number in range(len(COCO_STUFF171))}
    hint = "which only raw files hold: set form to raw"
    suffix = "_labelTrainIds.png"
    if not any((root / "annotations" / f"{split}2017").glob(f"*{suffix}")):
        suffix = ".png"
    return _folder(root, split, COCO_STUFF171, (suffix, table({**numbers, UNLABELLED: IGNORE}), hint))


def coco_object(root: Path, split: str, form: str = "object") -> LabelFolder:
    """COCO Object: the background, which counts, and 80 things. form: object or raw. Raises DatasetError.

    Raw files are read as the converter does: stuff and unlabelled pixels are background, nothing is ignored.
    """
    if form == "raw":
        things = {value: number + 1 for number, value in enumerate(RAW_VALUES[: len(COCO80)])}
        stuff = dict.fromkeys((*RAW_VALUES[len(COCO80) :], UNLABELLED), 0)
        return _folder(root, split, COCO_OBJECT81, (".png", table({**things, **stuff}), "which no raw file holds"))
    if form != "object":
        raise DatasetError(f"form {form!r} of COCO Object: expected object or raw")
    numbers = {number: number for number in range(len(COCO_OBJECT81))}
    return _folder(root, split, COCO_OBJECT81, ("_instanceTrainIds.png", table(numbers), "which is no thing of COCO"))


def _folder(root: Path, split: str, classes: tuple[str, ...], setting: Setting) -> LabelFolder:
    if split not in SPLITS:
        raise DatasetError(f"split {split!r}: expected one of {', '.join(SPLITS)}")
    suffix, entries, hint = setting
    pairs: tuple[Pair, ...] = beside(root / "images" / f"{split}2017", root / "annotations" / f"{split}2017", suffix)
    return LabelFolder(classes, pairs, entries, hint)
