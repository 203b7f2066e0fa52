# SPDX-License-Identifier: Apache-2.0
"""Pascal Context in miniature, in all its numberings."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import scipy.io
from PIL import Image

from clipseg_ros.datasets import IGNORE, DatasetError
from clipseg_ros.datasets.class_names import CONTEXT60
from clipseg_ros.datasets.context import (
    CONTEXT60_UNSEEN,
    context59,
    context59_detectron2,
    context60,
    context459,
)

STEM = "2008_000002"


@pytest.fixture(name="root")
def _root(tmp_path: Path) -> Path:
    for folder in (
        "JPEGImages", "SegmentationClassContext", "ImageSets/SegmentationContext", "trainval",
        "annotations_detectron2/pc59_val", "annotations_detectron2/pc459_val",
    ):
        (tmp_path / folder).mkdir(parents=True)
    Image.new("RGB", (4, 1)).save(tmp_path / f"JPEGImages/{STEM}.jpg")
    for name in ("ImageSets/SegmentationContext/val.txt", "pascalcontext_val.txt"):
        (tmp_path / name).write_text(f"{STEM}\n")
    _save(tmp_path / f"SegmentationClassContext/{STEM}.png", [0, 1, 2, 59])
    _save(tmp_path / f"annotations_detectron2/pc59_val/{STEM}.png", [0, 1, 58, 255])
    _save(tmp_path / f"annotations_detectron2/pc459_val/{STEM}.tif", [0, 255, 458, 65535], np.uint16)
    scipy.io.savemat(tmp_path / f"trainval/{STEM}.mat", {"LabelMap": np.array([[1, 256, 459, 0]], np.uint16)})
    (tmp_path / "labels.txt").write_text("".join(f"{i}: name {i}\n" for i in range(1, 460)))
    voc_first = ["aeroplane", "bicycle", *(f"other {i}" for i in range(56)), "wood"]
    (tmp_path / "59_labels.txt").write_text("".join(f"{i}: {name}\n" for i, name in enumerate(voc_first, 1)))
    return tmp_path


def _save(path: Path, values: list[int], dtype: type = np.uint8) -> None:
    Image.fromarray(np.array([values], dtype)).save(path)


def test_background_counts_with_60_classes(root):
    dataset = context60(root, "val")
    assert dataset[0].labels.tolist() == [[0, 1, 2, 59]]
    assert [dataset.classes[i] for i in (0, 1, 2, 59)] == ["background", "aeroplane", "bag", "wood"]


def test_background_is_ignored_with_59_classes(root):
    dataset = context59(root, "val")
    assert dataset[0].labels.tolist() == [[IGNORE, 0, 1, 58]]
    assert [dataset.classes[i] for i in (0, 1, 58)] == ["aeroplane", "bag", "wood"]


def test_detectron2s_numbers_follow_59_labels(root):
    dataset = context59_detectron2(root)
    assert dataset[0].labels.tolist() == [[0, 1, 58, IGNORE]]
    assert [dataset.classes[i] for i in (0, 1, 58)] == ["aeroplane", "bicycle", "wood"]


@pytest.mark.parametrize("form", ["tif", "mat"])
def test_both_forms_of_459_give_the_same_labels(root, form):
    dataset = context459(root, form)
    assert dataset[0].labels.tolist() == [[0, 255, 458, IGNORE]]
    assert (len(dataset.classes), dataset.classes[255], dataset[0].name) == (459, "name 256", STEM)


def test_values_of_the_other_numbering_are_found_out(root):
    _save(root / f"SegmentationClassContext/{STEM}.png", [0, 58, 255, 1])
    with pytest.raises(DatasetError, match="value 255; expected 0 to 59"):
        context60(root, "val")[0]
    _save(root / f"annotations_detectron2/pc59_val/{STEM}.png", [0, 58, 59, 1])
    with pytest.raises(DatasetError, match="value 59; expected 0 to 58, 255"):
        context59_detectron2(root)[0]


def test_ids_other_than_1_to_459_are_refused(root):
    (root / "labels.txt").write_text("".join(f"{i}: name {i}\n" for i in range(2, 461)))
    with pytest.raises(DatasetError, match=r"labels\.txt: ids up to 460; expected 1 to 459"):
        context459(root)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda root: context60(root, "test"), "split 'test': expected one of train, val"),
        (lambda root: context59(root, "train"), r"SegmentationContext/train\.txt: not there; expected the split's"),
        (lambda root: context459(root, "png"), "form 'png' of Context-459: expected tif or mat"),
        (lambda root: context459(root / "no"), r"labels\.txt: not there; expected 459 lines"),
        (lambda root: context59_detectron2(root / "no"), r"59_labels\.txt: not there; expected 59 lines"),
    ],
)
def test_wrong_settings_and_missing_files_say_what_is_expected(root, call, words):
    with pytest.raises(DatasetError, match=words):
        call(root)


def test_missing_list_of_validation_pictures_is_named(root):
    (root / "pascalcontext_val.txt").unlink()
    with pytest.raises(DatasetError, match=r"pascalcontext_val\.txt: not there; expected the list"):
        context59_detectron2(root)


def test_zegclip_holds_out_ten_classes():
    assert [CONTEXT60[i] for i in CONTEXT60_UNSEEN] == [
        "aeroplane", "bird", "boat", "cat", "cow", "fence", "keyboard", "motorbike", "sofa", "tvmonitor",
    ]
