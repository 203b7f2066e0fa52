# SPDX-License-Identifier: Apache-2.0
"""Pascal Context: 59 classes, 60 with the background, or all 459.

The folder is VOCdevkit/VOC2010 with JPEGImages/*.jpg. Two numberings of the 59 exist on disk, told apart by folder:

    context60, context59     SegmentationClassContext/*.png of mmsegmentation's converter, listed in
                             ImageSets/SegmentationContext/{train,val}.txt: 0 background, 1 to 59 in alphabetical order
    context59_detectron2     annotations_detectron2/pc59_val/*.png: 0 to 58 in the order of the lines of 59_labels.txt,
                             VOC's names first; 255 all else
    context459               annotations_detectron2/pc459_val/*.tif: id of labels.txt - 1, 65535 not labelled; or the
                             original trainval/*.mat, whose LabelMap holds the ids themselves

The last three read their names from the data set's 59_labels.txt or labels.txt, and the last two their list of
pictures from pascalcontext_val.txt, all in the folder itself.
"""

from __future__ import annotations

from pathlib import Path

from clipseg_ros.datasets import IGNORE, DatasetError
from clipseg_ros.datasets.class_names import CONTEXT59, CONTEXT60
from clipseg_ros.datasets.label_folder import LabelFolder, Pair, listed
from clipseg_ros.datasets.labels import lines, table
from clipseg_ros.datasets.name_files import numbered_names

CONTEXT60_UNSEEN = (1, 7, 8, 15, 20, 25, 32, 34, 49, 55)
"""The ten classes that ZegCLIP holds out, as numbers of context60."""
SPLITS = ("train", "val")
FORMS = {"tif": "annotations_detectron2/pc459_val", "mat": "trainval"}


def context60(root: Path, split: str) -> LabelFolder:
    """60 classes: the background is 0 and counts, then the names in alphabetical order. Raises DatasetError."""
    return LabelFolder(CONTEXT60, _alphabetical(root, split), table({value: value for value in range(60)}))


def context59(root: Path, split: str) -> LabelFolder:
    """59 classes in alphabetical order; background pixels are ignored. Raises DatasetError."""
    numbers = {value: value - 1 for value in range(1, 60)}
    return LabelFolder(CONTEXT59, _alphabetical(root, split), table({0: IGNORE, **numbers}))


def context59_detectron2(root: Path) -> LabelFolder:
    """The validation pictures with 59 classes in the order of 59_labels.txt. Raises DatasetError."""
    names = tuple(numbered_names(root / "59_labels.txt", 59).values())
    entries = table({**{value: value for value in range(59)}, 255: IGNORE})
    return LabelFolder(names, _validation(root, "annotations_detectron2/pc59_val", ".png"), entries)


def context459(root: Path, form: str = "tif") -> LabelFolder:
    """The validation pictures with 459 classes in the order of their ids. form: tif or mat. Raises DatasetError."""
    if form not in FORMS:
        raise DatasetError(f"form {form!r} of Context-459: expected {' or '.join(FORMS)}")
    path = root / "labels.txt"
    names = numbered_names(path, 459)
    if set(names) != set(range(1, 460)):
        raise DatasetError(f"{path}: ids up to {max(names)}; expected 1 to 459")
    first, unlabelled = (0, 65535) if form == "tif" else (1, 0)
    numbers = {number + first: number for number in range(459)}
    pairs = _validation(root, FORMS[form], f".{form}")
    return LabelFolder(tuple(names[i] for i in range(1, 460)), pairs, table({**numbers, unlabelled: IGNORE}))


def _alphabetical(root: Path, split: str) -> tuple[Pair, ...]:
    if split not in SPLITS:
        raise DatasetError(f"split {split!r}: expected one of {', '.join(SPLITS)}")
    stems = lines(root / "ImageSets" / "SegmentationContext" / f"{split}.txt", "the split's list, a stem a line")
    return listed(root / "JPEGImages", root / "SegmentationClassContext", stems)


def _validation(root: Path, folder: str, suffix: str) -> tuple[Pair, ...]:
    stems = lines(root / "pascalcontext_val.txt", "the list of validation pictures, a stem a line")
    return listed(root / "JPEGImages", root / folder, stems, suffix)
