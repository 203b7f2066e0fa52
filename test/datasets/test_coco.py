# SPDX-License-Identifier: Apache-2.0
"""COCO-Stuff and COCO Object in miniature."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from clipseg_ros.datasets import IGNORE, DatasetError
from clipseg_ros.datasets.class_names import COCO_OBJECT81, COCO_STUFF171
from clipseg_ros.datasets.coco import COCO_STUFF_UNSEEN, RAW_VALUES, coco_object, coco_stuff

IDS = ("000000000139", "000000000285")


def _write(root: Path, suffix: str, values: list[int], split: str = "val") -> Path:
    for folder in (root / "images" / f"{split}2017", root / "annotations" / f"{split}2017"):
        folder.mkdir(parents=True, exist_ok=True)
    for stem in IDS:
        Image.new("RGB", (len(values), 1)).save(root / "images" / f"{split}2017" / f"{stem}.jpg")
        labels = Image.fromarray(np.array([values], np.uint8))
        labels.save(root / "annotations" / f"{split}2017" / f"{stem}{suffix}")
    return root


def test_raw_values_skip_the_unused_ids(tmp_path):
    dataset = coco_stuff(_write(tmp_path, ".png", [0, 10, 12, 89, 91, 181, 255]), "val", "raw")
    assert [dataset[i].name for i in range(len(dataset))] == list(IDS)
    assert dataset[0].labels.tolist() == [[0, 10, 11, 79, 80, 170, IGNORE]]
    names = [dataset.classes[number] for number in dataset[0].labels[0, :-1]]
    assert names == ["person", "fire hydrant", "stop sign", "toothbrush", "banner", "wood"]
    assert len(RAW_VALUES) == len(COCO_STUFF171) == 171


@pytest.mark.parametrize("suffix", ["_labelTrainIds.png", ".png"])
def test_train_ids_are_read_with_and_without_their_suffix(tmp_path, suffix):
    dataset = coco_stuff(_write(tmp_path, suffix, [0, 11, 170, 255], "train"), "train", "train_ids")
    assert dataset[1].labels.tolist() == [[0, 11, 170, IGNORE]]


def test_suffixed_train_ids_are_preferred_to_raw_files_beside_them(tmp_path):
    _write(_write(tmp_path, ".png", [181]), "_labelTrainIds.png", [170])
    assert coco_stuff(tmp_path, "val", "train_ids")[0].labels.tolist() == [[170]]
    assert coco_stuff(tmp_path, "val", "raw")[0].labels.tolist() == [[170]]


def test_raw_files_taken_for_train_ids_are_found_out(tmp_path):
    dataset = coco_stuff(_write(tmp_path, ".png", [0, 171]), "val", "train_ids")
    with pytest.raises(DatasetError, match=r"139\.png: value 171 \(which only raw files hold: set form to raw\)"):
        dataset[0]


def test_train_ids_taken_for_raw_files_are_found_out(tmp_path):
    dataset = coco_stuff(_write(tmp_path, ".png", [0, 11]), "val", "raw")
    with pytest.raises(DatasetError, match=r"value 11 \(which no raw file holds: set form to train_ids"):
        dataset[0]


def test_things_count_from_1_in_coco_object_and_all_else_is_background(tmp_path):
    dataset = coco_object(_write(tmp_path, ".png", [0, 12, 89, 91, 181, 255]), "val", "raw")
    assert dataset[0].labels.tolist() == [[1, 12, 80, 0, 0, 0]]
    assert [dataset.classes[i] for i in (0, 1, 80)] == ["background", "person", "toothbrush"]


def test_converted_coco_object_has_no_ignored_value(tmp_path):
    root = _write(tmp_path, "_instanceTrainIds.png", [0, 1, 80])
    assert coco_object(root, "val")[0].labels.tolist() == [[0, 1, 80]]
    dataset = coco_object(_write(tmp_path, "_instanceTrainIds.png", [255]), "val")
    with pytest.raises(DatasetError, match=r"value 255 \(which is no thing of COCO\); expected 0 to 80"):
        dataset[0]
    assert dataset.classes == COCO_OBJECT81


def test_raw_coco_object_refuses_unused_values(tmp_path):
    with pytest.raises(DatasetError, match=r"value 90 \(which no raw file holds\)"):
        coco_object(_write(tmp_path, ".png", [90]), "val", "raw")[0]


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda root: coco_stuff(root, "val", "object"), "form 'object' of COCO-Stuff: expected raw or train_ids"),
        (lambda root: coco_object(root, "val", "train_ids"), "form 'train_ids' of COCO Object: expected object or raw"),
        (lambda root: coco_stuff(root, "test", "raw"), "split 'test': expected one of train, val"),
        (lambda root: coco_stuff(root, "train", "raw"), "images/train2017: not there; expected a folder of pictures"),
        (lambda root: coco_object(root, "val"), r"2 label files are missing, .* 000000000139_instanceTrainIds\.png"),
    ],
)
def test_wrong_settings_and_missing_folders_say_what_is_expected(tmp_path, call, words):
    with pytest.raises(DatasetError, match=words):
        call(_write(tmp_path, ".png", [0]))


def test_zegclip_holds_out_fifteen_classes():
    assert [COCO_STUFF171[i] for i in COCO_STUFF_UNSEEN] == [
        "cow", "giraffe", "suitcase", "frisbee", "skateboard", "carrot", "scissors", "cardboard", "clouds", "grass",
        "playingfield", "river", "road", "tree", "wall-concrete",
    ]
