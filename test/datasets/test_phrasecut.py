# SPDX-License-Identifier: Apache-2.0
"""PhraseCut from its own files, in miniature."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from clipseg_ros.datasets import DatasetError
from clipseg_ros.datasets.phrasecut import PhraseCut

SQUARE = [[1.0, 1.0], [3.9, 1.0], [3.9, 3.9], [1.0, 3.9]]  # pixels 1 to 3
LOW = [[6, 5], [8, 5], [8, 6], [6, 6]]


def _task(name: str, image_id: int, phrase: str, *instances: list) -> dict:
    return {"task_id": name, "image_id": image_id, "phrase": phrase, "Polygons": list(instances), "ann_ids": [1],
            "instance_boxes": [[1, 1, 3, 3]], "phrase_structure": {"name": "x", "attributes": [], "type": "name"}}


def _write(root: Path, name: str, content: object) -> Path:
    (root / name).write_text(json.dumps(content))
    return root


@pytest.fixture(name="root")
def _root(tmp_path: Path) -> Path:
    """Pictures of 12 x 8: 7 colour, 8 grey, 9 larger than listed; two tasks on 7."""
    (tmp_path / "images").mkdir()
    Image.new("RGB", (12, 8), (200, 10, 20)).save(tmp_path / "images" / "7.jpg")
    Image.new("L", (12, 8), 90).save(tmp_path / "images" / "8.jpg")
    Image.new("RGB", (13, 8)).save(tmp_path / "images" / "9.jpg")
    size = {"width": 12, "height": 8, "split": "test", "url": "", "coco_id": None}
    _write(tmp_path, "image_data_split.json", [{"image_id": key} | size for key in (7, 8, 9)])
    _write(tmp_path, "refer_test.json", [
        _task("7__0", 7, "red mugs", [SQUARE], [LOW, [[0, 0], [11, 7]]]),
        _task("9__0", 9, "too wide", [SQUARE]),
        _task("8__0", 8, "grey wall", [SQUARE]),
    ])
    _write(tmp_path, "refer_val.json", [_task("7__0", 7, "one", [SQUARE]), _task("8__0", 8, "both", [SQUARE])])
    return _write(tmp_path, "refer_miniv.json", [_task("8__0", 8, "both", [SQUARE]), _task("8__1", 8, "mini", [LOW])])


def test_target_is_the_union_of_all_instances_without_the_lines_of_two_points(root):
    sample = PhraseCut(root, "test")[0]
    expected = np.zeros((1, 8, 12), bool)
    expected[0, 1:4, 1:4] = expected[0, 5:7, 6:9] = True
    np.testing.assert_array_equal(sample.target, expected)
    assert [prompt.text for prompt in sample.prompts] == ["red mugs"]
    assert (sample.name, sample.image.shape, sample.image.dtype) == ("7__0", (8, 12, 3), np.uint8)


def test_a_picture_of_another_size_is_left_out_and_counted(root):
    test = PhraseCut(root, "test")
    assert test.phrases == ("red mugs", "grey wall")
    assert test.image_ids == (7, 8)
    assert test.wrong_size == (9,)
    assert len(test) == 2
    with pytest.raises(IndexError):
        test[2]


def test_a_grey_picture_becomes_rgb(root):
    image = PhraseCut(root, "test")[1].image
    assert image.shape == (8, 12, 3)
    assert np.ptp(image, axis=2).max() == 0


def test_val_is_val_and_miniv_and_counts_nothing_twice(root):
    assert PhraseCut(root, "val").phrases == ("one", "both", "mini")
    assert PhraseCut(root, "miniv").phrases == ("both", "mini")


def test_only_wanted_phrases_are_kept(root):
    whole = PhraseCut(root, "val")
    part = whole.only(lambda phrase: phrase != "both")
    assert (part.phrases, len(part), part[1].name) == (("one", "mini"), 2, "8__1")
    assert len(whole) == 3


def test_the_list_of_pictures_may_have_the_name_of_the_readme(root):
    (root / "image_data_split.json").rename(root / "image_data_split3000.json")
    assert len(PhraseCut(root, "test")) == 2
    (root / "image_data_split3000.json").unlink()
    with pytest.raises(DatasetError, match="image_data_split.json: not there; .* image_data_split3000.json"):
        PhraseCut(root, "test")


def test_pictures_are_read_on_access_alone(root):
    test = PhraseCut(root, "test")
    whole = (root / "images" / "7.jpg").read_bytes()
    (root / "images" / "7.jpg").write_bytes(whole[:300])
    with pytest.raises(DatasetError, match="7.jpg"):
        test[0]
    assert test[1].prompts[0].text == "grey wall"


@pytest.mark.parametrize(
    ("task", "message"),
    [
        (5, "entry 0: a int"),
        (_task("7__0", 7, " ", [SQUARE]), "phrase is empty"),
        (_task("7__0", 77, "mug", [SQUARE]), "picture 77 is not in the list"),
        (_task("7__0", "7", "mug", [SQUARE]), "image_id is '7'; expected int"),
        (_task("7__0", True, "mug", [SQUARE]), "image_id is 'True'; expected int"),
        (_task("7__0", 7, "mug", 5), "expected a list of polygons for each instance"),
        (_task("7__0", 7, "mug", [5]), "pairs of numbers"),
        (_task("7__0", 7, "mug", [[[1, 2], [3]]]), "pairs of numbers"),
        (_task("7__0", 7, "mug") | {"Polygons": None}, "Polygons is 'None'; expected list"),
        ({"task_id": "7__0", "image_id": 7, "phrase": "mug"}, "Polygons is 'None'"),  # refer_input_*.json
    ],
)
def test_a_damaged_task_is_named(root, task, message):
    with pytest.raises(DatasetError, match=message) as error:
        PhraseCut(_write(root, "refer_test.json", [task]), "test")
    assert "refer_test.json" in str(error.value)


def test_missing_and_damaged_files_are_named(root):
    with pytest.raises(DatasetError, match="'testA'.*train, val, test, miniv"):
        PhraseCut(root, "testA")
    with pytest.raises(DatasetError, match="refer_train.json: not there"):
        PhraseCut(root, "train")
    with pytest.raises(DatasetError, match="refer_test.json: a dict; expected a list"):
        PhraseCut(_write(root, "refer_test.json", {}), "test")
    (root / "refer_test.json").write_text("[{")
    with pytest.raises(DatasetError, match="refer_test.json: no JSON"):
        PhraseCut(root, "test")
    (root / "images" / "8.jpg").write_bytes(b"no picture")
    with pytest.raises(DatasetError, match="8.jpg: no readable picture"):
        PhraseCut(root, "val")
    (root / "images" / "8.jpg").unlink()
    with pytest.raises(DatasetError, match="8.jpg: not there"):
        PhraseCut(root, "val")
