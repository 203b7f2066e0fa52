# SPDX-License-Identifier: Apache-2.0
"""ADE20K with 150 classes (scene parsing challenge) or 847 (the full data set). Names come from the user's files.

    ade150      ADEChallengeData2016: {images,annotations}/{training,validation}/, names in objectInfo150.txt. Values:
                0 other, which is ignored, 1 to 150 the classes
    ade847      the converted full set: images_detectron2/<split>/*.jpg, annotations_detectron2/<split>/*.tif with 0 to
                846 and 65535 for all else; large pictures are shrunk, and scores are at that size
    ade847_raw  the full set as it comes: <name>.jpg with <name>_seg.png beside it, at any depth of images/, at full
                size; index_ade20k.pkl is not read

The 847 classes, with the ids that raw files hold, are a table that the user gives: CSV with the header id,trainId,name,
as made from the conversion scripts of MaskFormer or OVSeg.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from clipseg_ros.datasets import IGNORE, DatasetError, expect
from clipseg_ros.datasets.label_folder import LabelFolder, Pair, beside
from clipseg_ros.datasets.labels import read_image, table
from clipseg_ros.datasets.name_files import class_table, object_info

SPLITS = {"training": "train", "validation": "val"}  # folder: second field of a picture's name


def ade150(root: Path, split: str) -> LabelFolder:
    """150 classes, 0 to 149; pixels of other things are ignored. split: training or validation. Raises DatasetError."""
    _check(split)
    names = object_info(root / "objectInfo150.txt")
    pairs = beside(root / "images" / split, root / "annotations" / split)
    return LabelFolder(names, pairs, table({0: IGNORE, **{value: value - 1 for value in range(1, 151)}}))


def ade847(root: Path, split: str, classes: Path) -> LabelFolder:
    """847 classes of the converted form. classes: the user's table. Raises DatasetError."""
    _check(split)
    names = tuple(row.name for row in class_table(classes))
    pairs = beside(root / "images_detectron2" / split, root / "annotations_detectron2" / split, ".tif")
    return LabelFolder(names, pairs, table({**{number: number for number in range(847)}, 65535: IGNORE}))


def ade847_raw(root: Path, split: str, classes: Path) -> LabelFolder:
    """847 classes of the raw form; ids that the user's table lacks are ignored. Raises DatasetError."""
    _check(split)
    rows = class_table(classes)
    images = expect(root / "images", "ADE20K's pictures, <name>.jpg with <name>_seg.png beside it")
    found = (path for path in images.rglob("*_seg.png") if path.name.split("_")[1] == SPLITS[split])
    stems = sorted((path.name.removesuffix("_seg.png"), path) for path in found)
    if not stems:
        raise DatasetError(f"{images}: no label file; expected *_{SPLITS[split]}_*_seg.png at any depth")
    pairs = tuple(Pair(stem, path.with_name(f"{stem}.jpg"), path) for stem, path in stems)
    entries = table({row.value: row.number for row in rows}, IGNORE)
    return LabelFolder(tuple(row.name for row in rows), pairs, entries, read=read_ids)


def read_ids(path: Path) -> np.ndarray:
    """(H, W) int32: the ids in a *_seg.png, R // 10 * 256 + G. Raises DatasetError."""
    colours = read_image(path).astype(np.int32)
    return colours[..., 0] // 10 * 256 + colours[..., 1]


def _check(split: str) -> None:
    if split not in SPLITS:
        raise DatasetError(f"split {split!r}: expected {' or '.join(SPLITS)}")
