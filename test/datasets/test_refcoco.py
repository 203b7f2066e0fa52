# SPDX-License-Identifier: Apache-2.0
"""RefCOCO in miniature: a pickle of plain data, COCO annotations, pictures."""

from __future__ import annotations

import json
import os
import pickle
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from clipseg_ros.datasets import DatasetError
from clipseg_ros.datasets.refcoco import RefCoco

FOLDER = "images/mscoco/images/train2014"
BOX = [1, 1, 4, 1, 4, 3, 1, 3]  # rows 1 to 2, columns 1 to 3
PARTS = [BOX, [3, 1, 6, 1, 6, 3, 3, 3]]  # overlap in column 3


def _ref(number: int, split: str, *texts: str) -> dict:
    sentences = [{"raw": text, "sent": text.lower(), "sent_id": 10 * number + i, "tokens": text.lower().split()}
                 for i, text in enumerate(texts)]
    return {"ref_id": number, "ann_id": 100 + number, "category_id": 1, "image_id": 7, "split": split,
            "file_name": f"COCO_train2014_000000000007_{number}.jpg", "sentences": sentences,
            "sent_ids": [sentence["sent_id"] for sentence in sentences]}


REFS = [
    _ref(1, "val", "Red cup ", "left one"), _ref(2, "testA", "man"), _ref(3, "testB", "tray"), _ref(4, "train", "x"),
]


def _write(root: Path, refs: object = REFS, **changed: object) -> Path:
    picture = {"id": 7, "file_name": "COCO_train2014_000000000007.jpg", "height": 6, "width": 8} | changed
    rle = {"size": [6, 8], "counts": [7, 3, 38]}
    segmentations = {101: PARTS, 102: rle, 103: rle | {"counts": "73V1"}, 104: [BOX]}
    annotations = [{"id": key, "image_id": 7, "category_id": 1, "segmentation": value, "iscrowd": 0}
                   for key, value in segmentations.items()]
    (root / "refcoco").mkdir(exist_ok=True)
    (root / FOLDER).mkdir(exist_ok=True, parents=True)
    (root / "refcoco" / "refs(unc).p").write_bytes(pickle.dumps(refs, protocol=2))
    (root / "refcoco" / "instances.json").write_text(json.dumps({"images": [picture], "annotations": annotations}))
    Image.new("RGB", (8, 6), (9, 90, 200)).save(root / FOLDER / "COCO_train2014_000000000007.jpg")
    return root


def _names(dataset: RefCoco) -> list[str]:
    return [dataset[index].name for index in range(len(dataset))]


def test_a_sentence_is_a_sample(tmp_path):
    val = RefCoco(_write(tmp_path), "refcoco", "unc", "val")
    assert _names(val) == ["1_10", "1_11"]
    assert [sample.prompts[0].text for sample in (val[0], val[1])] == ["Red cup", "left one"]
    assert (val[0].image.shape, val[0].target.shape, val[0].target.dtype) == ((6, 8, 3), (1, 6, 8), bool)
    with pytest.raises(IndexError):
        val[2]


def test_or_an_object_is_with_all_its_sentences(tmp_path):
    sample, = RefCoco(_write(tmp_path), "refcoco", "unc", "val", unit="ref")
    assert (sample.name, [prompt.text for prompt in sample.prompts]) == ("1", ["Red cup", "left one"])
    assert sample.target.shape == (2, 6, 8)
    np.testing.assert_array_equal(*sample.target)


def test_polygons_are_united_or_lose_what_two_cover(tmp_path):
    _write(tmp_path)
    expected = np.zeros((6, 8), bool)
    expected[1:3, 1:6] = True
    np.testing.assert_array_equal(RefCoco(tmp_path, "refcoco", "unc", "val")[0].target[0], expected)
    expected[:, 3] = False
    once = RefCoco(tmp_path, "refcoco", "unc", "val", mask="covered_once")
    np.testing.assert_array_equal(once[0].target[0], expected)


def test_run_lengths_are_masks_too(tmp_path):
    expected = np.zeros((6, 8), bool)
    expected[1:4, 1] = True
    for sample in RefCoco(_write(tmp_path), "refcoco", "unc", "test"):
        np.testing.assert_array_equal(sample.target[0], expected)


def test_test_is_every_test(tmp_path):
    _write(tmp_path)
    assert [_names(RefCoco(tmp_path, "refcoco", "unc", split, unit="ref"))
            for split in ("testA", "testB", "test", "train")] == [["2"], ["3"], ["2", "3"], ["4"]]


def test_pictures_may_lie_elsewhere(tmp_path):
    _write(tmp_path)
    (tmp_path / FOLDER).rename(tmp_path / "coco")
    assert RefCoco(tmp_path, "refcoco", "unc", "val", pictures=tmp_path / "coco")[0].image[0, 0, 2] > 150
    with pytest.raises(DatasetError, match="000007.jpg: not there"):
        RefCoco(tmp_path, "refcoco", "unc", "val")[0]


class _Command:
    def __reduce__(self) -> tuple:
        return os.mkdir, (str(self.path),)


def test_refs_that_call_something_are_refused_before_they_do(tmp_path):
    command = _Command()
    command.path = tmp_path / "made"
    with pytest.raises(DatasetError, match=r"refs\(unc\).p: no readable pickle \(it asks for"):
        RefCoco(_write(tmp_path, [REFS[0] | {"ref_id": command}]), "refcoco", "unc", "val")
    assert not command.path.exists()


@pytest.mark.parametrize(
    ("refs", "message"),
    [
        ({}, "a dict; expected a list of refs"),
        ([5], "ref 0: a int"),
        ([REFS[0] | {"ann_id": "101"}], "ann_id is '101'; expected int"),
        ([REFS[0] | {"sentences": []}], "without sentences"),
        ([REFS[0] | {"sentences": ["cup"]}], "a str"),
        ([_ref(1, "val", " ")], "sentence 10 is empty"),
        ([_ref(9, "val", "cup")], "no annotation 109 of image 7; ref 9"),
        ([REFS[0] | {"image_id": 8}], "no annotation 101 of image 8"),
    ],
)
def test_damaged_refs_are_named(tmp_path, refs, message):
    with pytest.raises(DatasetError, match=message):
        RefCoco(_write(tmp_path, refs), "refcoco", "unc", "val")


def test_a_picture_that_does_not_fit_is_named(tmp_path):
    with pytest.raises(DatasetError, match=r"\(6, 8\) rows and columns; expected \(8, 8\)"):
        RefCoco(_write(tmp_path, height=8), "refcoco", "unc", "val")[0]
    with pytest.raises(DatasetError, match="below .*without '..'"):
        RefCoco(_write(tmp_path, file_name="../secret.jpg"), "refcoco", "unc", "val")[0]


def test_a_damaged_segmentation_is_named(tmp_path):
    path = _write(tmp_path) / "refcoco" / "instances.json"
    path.write_text(path.read_text().replace('"73V1"', '"73V"'))
    with pytest.raises(DatasetError, match="annotation 103: run lengths"):
        RefCoco(tmp_path, "refcoco", "unc", "testB")[0]


@pytest.mark.parametrize(
    "choice", [("refcocoplus", "unc", "val"), ("refcoco", "umd", "val"), ("refcocog", "google", "test")]
)
def test_a_part_there_is_not(tmp_path, choice):
    with pytest.raises(DatasetError, match=r"expected one of refcoco unc: train, val, testA.*refcocog google"):
        RefCoco(tmp_path, *choice)


def test_options_there_are_not(tmp_path):
    with pytest.raises(DatasetError, match="unit 'image'"):
        RefCoco(tmp_path, "refcoco", "unc", "val", unit="image")
    with pytest.raises(DatasetError, match="mask 'sum'"):
        RefCoco(tmp_path, "refcoco", "unc", "val", mask="sum")
    with pytest.raises(DatasetError, match="p: not there"):
        RefCoco(tmp_path, "refcoco", "unc", "val")
