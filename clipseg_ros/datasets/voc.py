# SPDX-License-Identifier: Apache-2.0
"""Pascal VOC 2012 with 21 classes (background is 0) or 20 (background is not counted), and its zero-shot splits.

The folder is VOCdevkit/VOC2012 with JPEGImages/*.jpg, ImageSets/Segmentation/<split>.txt (a stem a line) and label PNGs
in SegmentationClass/; the splits trainaug (10,582 pictures) and aug, made with SBD, have theirs in
SegmentationClassAug/. Values: 0 background, 1 to 20 the names in order, 255 not counted.

    VOC20_UNSEEN    ZegCLIP's zero-shot split: the last five classes, as numbers of voc20; it trains on trainaug
    clipseg_unseen  the CLIPSeg paper's: pairs of class names
"""

from __future__ import annotations

from pathlib import Path

from clipseg_ros.datasets import IGNORE, DatasetError
from clipseg_ros.datasets.class_names import VOC20, VOC21
from clipseg_ros.datasets.label_folder import LabelFolder, Pair, listed
from clipseg_ros.datasets.labels import lines, table

VOID = 255
VOC20_UNSEEN = (15, 16, 17, 18, 19)
PAIRS = (
    ("cow", "motorbike"),
    ("aeroplane", "sofa"),
    ("cat", "tvmonitor"),
    ("train", "bottle"),
    ("chair", "pottedplant"),
)
AUGMENTED = ("trainaug", "aug")
SPLITS = ("train", "val", "trainval", *AUGMENTED)


def voc21(root: Path, split: str, folder: str = "") -> LabelFolder:
    """VOC-21: the background is class 0, then the 20 names. Raises DatasetError.

    folder: of the label files; by default SegmentationClassAug for trainaug and aug, SegmentationClass otherwise.
    """
    return LabelFolder(VOC21, _pairs(root, split, folder), table({**{v: v for v in range(21)}, VOID: IGNORE}))


def voc20(root: Path, split: str, folder: str = "") -> LabelFolder:
    """VOC-20: the 20 names alone; background pixels are ignored. Raises DatasetError. folder: as in voc21.

    OVSeg evaluates val with the labels of SegmentationClassAug.
    """
    numbers = {value: value - 1 for value in range(1, 21)}
    return LabelFolder(VOC20, _pairs(root, split, folder), table({**numbers, 0: IGNORE, VOID: IGNORE}))


def clipseg_unseen(count: int) -> tuple[str, ...]:
    """The names of the CLIPSeg paper's split unseen-`count`: 2, 4, 6, 8 or 10. Raises DatasetError for another."""
    if count not in range(2, 2 * len(PAIRS) + 1, 2):
        raise DatasetError(f"unseen-{count}: expected 2, 4, 6, 8 or 10, as the pairs of classes come")
    return tuple(name for pair in PAIRS[: count // 2] for name in pair)


def _pairs(root: Path, split: str, folder: str) -> tuple[Pair, ...]:
    if split not in SPLITS:
        raise DatasetError(f"split {split!r}: expected one of {', '.join(SPLITS)}")
    stems = lines(root / "ImageSets" / "Segmentation" / f"{split}.txt", "the split's list, a stem a line")
    folder = folder or ("SegmentationClassAug" if split in AUGMENTED else "SegmentationClass")
    return listed(root / "JPEGImages", root / folder, stems)
