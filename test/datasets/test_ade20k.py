# SPDX-License-Identifier: Apache-2.0
"""ADE20K in miniature: 150 classes, and 847 converted and raw."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from clipseg_ros.datasets import IGNORE, DatasetError
from clipseg_ros.datasets.ade20k import ade150, ade847, ade847_raw, read_ids

STEM = "ADE_val_00000001"


def _save(path: Path, values: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values).save(path)


@pytest.fixture(name="classes")
def _classes(tmp_path: Path) -> Path:
    rows = [f'{3 * number + 1},{number},"name {number}, synonym"' for number in range(847)]
    (tmp_path / "classes.csv").write_text("\n".join(["id,trainId,name", *rows]))
    return tmp_path / "classes.csv"


@pytest.fixture(name="challenge")
def _challenge(tmp_path: Path) -> Path:
    _save(tmp_path / f"images/validation/{STEM}.jpg", np.zeros((1, 3, 3), np.uint8))
    _save(tmp_path / f"annotations/validation/{STEM}.png", np.array([[0, 1, 150]], np.uint8))
    rows = [f"{i}\t0.1\t1\t1\tname {i}, synonym" for i in range(1, 151)]
    (tmp_path / "objectInfo150.txt").write_text("\n".join(["Idx\tRatio\tTrain\tVal\tName", *rows]))
    return tmp_path


def test_other_things_are_ignored_with_150_classes(challenge):
    dataset = ade150(challenge, "validation")
    assert dataset[0].labels.tolist() == [[IGNORE, 0, 149]]
    assert (len(dataset), dataset.classes[0], dataset.classes[149]) == (1, "name 1", "name 150")


def test_value_above_150_is_refused(challenge):
    _save(challenge / f"annotations/validation/{STEM}.png", np.array([[0, 151, 255]], np.uint8))
    with pytest.raises(DatasetError, match="value 255; expected 0 to 150"):
        ade150(challenge, "validation")[0]


def test_converted_847_classes_keep_their_numbers(tmp_path, classes):
    _save(tmp_path / f"images_detectron2/validation/{STEM}.jpg", np.zeros((1, 3, 3), np.uint8))
    _save(tmp_path / f"annotations_detectron2/validation/{STEM}.tif", np.array([[0, 846, 65535]], np.uint16))
    dataset = ade847(tmp_path, "validation", classes)
    assert dataset[0].labels.tolist() == [[0, 846, IGNORE]]
    assert (len(dataset.classes), dataset.classes[846]) == (847, "name 846")


def _raw(root: Path, stem: str, ids: list[int]) -> None:
    colours = np.array([[(number // 256 * 10 + 3, number % 256, 77) for number in ids]], np.uint8)
    folder = root / "images/ADE/some/scene"
    _save(folder / f"{stem}_seg.png", colours)
    _save(folder / f"{stem}.jpg", np.zeros((1, len(ids), 3), np.uint8))
    _save(folder / stem / f"instance_000_{stem}.png", colours)


def test_raw_ids_become_numbers_and_unknown_ones_are_ignored(tmp_path, classes):
    _raw(tmp_path, STEM, [1, 3 * 846 + 1, 2, 0])
    _raw(tmp_path, "ADE_train_00000001", [1])
    dataset = ade847_raw(tmp_path, "validation", classes)
    assert [dataset[i].name for i in range(len(dataset))] == [STEM]
    assert dataset[0].labels.tolist() == [[0, 846, IGNORE, IGNORE]]
    assert ade847_raw(tmp_path, "training", classes)[0].name == "ADE_train_00000001"


def test_ids_are_red_and_green_and_blue_means_nothing(tmp_path):
    _save(tmp_path / "a_seg.png", np.array([[[119, 162, 0], [120, 0, 255], [9, 7, 9]]], np.uint8))
    assert read_ids(tmp_path / "a_seg.png").tolist() == [[11 * 256 + 162, 12 * 256, 7]]


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda root, _: ade150(root, "val"), "split 'val': expected training or validation"),
        (lambda root, _: ade150(root, "training"), "images/training: not there; expected a folder of pictures"),
        (lambda root, table: ade847(root, "training", table), "images_detectron2/training: not there"),
        (lambda root, table: ade847_raw(root / "no", "training", table), "no/images: not there; expected ADE20K's"),
        (lambda root, table: ade847_raw(root, "training", table), r"images: no label file; expected \*_train_\*_seg"),
    ],
)
def test_wrong_splits_and_missing_folders_say_what_is_expected(challenge, classes, call, words):
    with pytest.raises(DatasetError, match=words):
        call(challenge, classes)


def test_missing_names_are_asked_for(challenge):
    (challenge / "objectInfo150.txt").unlink()
    with pytest.raises(DatasetError, match=r"objectInfo150\.txt: not there; expected a table"):
        ade150(challenge, "validation")
