# SPDX-License-Identifier: Apache-2.0
"""LVIS in miniature: what is there, what is absent, what nobody looked for; and the traits of the appendix."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from clipseg_ros.datasets import DatasetError
from clipseg_ros.datasets.lvis import Lvis, LvisNames, LvisPairs
from clipseg_ros.datasets.lvis_traits import TEXTS, TRAITS, LvisTraits

NAMES = {1: ["sofa", "couch"], 2: ["bus_(vehicle)"], 3: ["horse"], 4: ["person"]}
LEFT, RIGHT, DOT = [0, 0, 4, 0, 4, 8, 0, 8], [8, 0, 12, 0, 12, 8, 8, 8], [6, 6, 7, 6, 7, 7, 6, 7]


def _content(split: str) -> dict:
    images = {
        "val": [
            {"id": 10, "coco_url": "http://x.org/train2017/10.jpg", "neg_category_ids": [3],
             "not_exhaustive_category_ids": [4]},
            {"id": 11, "coco_url": "http://x.org/val2017/11.jpg", "neg_category_ids": [],
             "not_exhaustive_category_ids": []},
        ],
        "train": [{"id": 12, "coco_url": "http://x.org/train2017/12.jpg", "neg_category_ids": [2],
                   "not_exhaustive_category_ids": [2]}],
    }[split]
    marked = {
        "val": [(10, 1, LEFT), (10, 1, RIGHT), (10, 2, DOT), (10, 4, DOT), (11, 3, LEFT)],
        "train": [],
    }[split]
    annotations = [
        {"id": number, "image_id": image, "category_id": category, "segmentation": [polygon], "bbox": [0, 0, 1, 1],
         "area": 1.0 if polygon is DOT else 32.0}
        for number, (image, category, polygon) in enumerate(marked)
    ]
    categories = [{"id": key, "synonyms": names, "frequency": "f", "synset": "x.n.01", "name": names[0]}
                  for key, names in NAMES.items()]
    return {"images": [image | {"height": 8, "width": 12} for image in images], "annotations": annotations,
            "categories": categories}


@pytest.fixture(name="root")
def _root(tmp_path: Path) -> Path:
    for split in ("train", "val"):
        (tmp_path / f"lvis_v1_{split}.json").write_text(json.dumps(_content(split)))
    for name in ("train2017/10", "val2017/11", "train2017/12"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.new("RGB", (12, 8), (int(name[-2:]), 0, 0)).save(tmp_path / f"{name}.jpg")
    return tmp_path


def _columns(*spans: tuple[int, int]) -> np.ndarray:
    mask = np.zeros((8, 12), bool)
    for start, end in spans:
        mask[:, start:end] = True
    return mask


def test_names_are_asked_where_they_are_and_where_they_are_known_to_be_absent(root):
    sample, other = LvisNames(Lvis(root))
    assert [prompt.text for prompt in sample.prompts] == ["sofa", "bus (vehicle)", "horse"]
    assert (sample.name, sample.classes, sample.image.shape) == ("10", (1, 2, 3), (8, 12, 3))
    np.testing.assert_array_equal(sample.target[0], _columns((0, 4), (8, 12)))
    assert [int(mask.sum()) for mask in sample.target] == [64, 1, 0]
    assert other.classes == (3,)


def test_a_category_with_unmarked_instances_is_not_asked_for(root):
    assert [sample.classes for sample in LvisNames(Lvis(root), absent=False)] == [(1, 2), (3,)]
    assert len(LvisNames(Lvis(root, ("train",)))) == 0


def test_train_and_val_are_put_together(root):
    lvis = Lvis(root, ("train", "val"))
    assert sorted(lvis.pictures) == [10, 11, 12]
    assert (lvis.categories[1].synonyms, lvis.categories[1].frequency) == (("sofa", "couch"), "f")
    assert (lvis.find("bus (vehicle)"), lvis.find("couch")) == (2, None)


def test_a_pair_has_its_category_first_and_at_least_three_names(root):
    sample, = LvisPairs(Lvis(root), count=1)
    assert (sample.name, sample.classes) == ("10_1", (1, 2, 4))
    assert [prompt.text for prompt in sample.prompts] == ["sofa", "bus (vehicle)", "person"]
    np.testing.assert_array_equal(sample.target[0], _columns((0, 4), (8, 12)))


def test_pairs_are_drawn_by_their_seed(root):
    lvis = Lvis(root)
    drawn = [tuple(sample.name for sample in LvisPairs(lvis, 3, seed, least_share=0.0)) for seed in (0, 0, 1, 2, 3)]
    assert drawn[0] == drawn[1]
    assert len(set(drawn)) > 1
    assert {tuple(sorted(names)) for names in drawn} == {("10_1", "10_2", "10_4")}
    for count in (0, 2):
        with pytest.raises(DatasetError, match=f"{count} pairs: expected 1 to 1"):
            LvisPairs(lvis, count)


def test_a_trait_is_asked_of_every_picture_that_has_some_of_it(root):
    lvis = Lvis(root)
    legs, sit = LvisTraits(lvis, "has legs"), LvisTraits(lvis, "sit on")
    assert [sample.name for sample in legs] == ["has legs/10", "has legs/11"]
    np.testing.assert_array_equal(legs[0].target[0], _columns((0, 4), (8, 12)) | lvis.mask(10, [4]))
    assert (len(sit), sit[0].prompts[0].text, sit[0].prompts[0].label) == (1, "something to sit on", "sit on")
    assert sit.missing == tuple(dict.fromkeys(name for name in TRAITS["affordances"]["sit on"] if name != "sofa"))


def test_a_trait_that_nothing_has_is_refused(root):
    with pytest.raises(DatasetError, match="'can fly': LVIS has none of eagle"):
        LvisTraits(Lvis(root), "can fly")
    with pytest.raises(DatasetError, match="trait 'blue': expected one of sit on"):
        LvisTraits(Lvis(root), "blue")


def test_every_trait_has_a_text():
    assert [name for group in TRAITS.values() for name in group] == list(TEXTS)


def _changed(root: Path, part: str, key: str, value: object) -> Path:
    content = _content("val")
    content[part][0][key] = value
    (root / "lvis_v1_val.json").write_text(json.dumps(content))
    return root


@pytest.mark.parametrize(
    ("part", "key", "value", "message"),
    [
        ("images", "neg_category_ids", [99], "image 10 speaks of categories that are not listed"),
        ("images", "coco_url", None, "coco_url is 'None'; expected str"),
        ("annotations", "image_id", 99, "image 99, category 1; one is not listed"),
        ("annotations", "category_id", 99, "image 10, category 99; one is not listed"),
        ("annotations", "area", "big", "area is 'big'; expected int or float"),
        ("annotations", "segmentation", [[1, 2, 3]], "pairs of numbers"),
        ("categories", "synonyms", [], "category 1 has no name"),
        ("categories", "synonyms", [""], "category 1 has no name"),
    ],
)
def test_a_damaged_file_is_named(root, part, key, value, message):
    with pytest.raises(DatasetError, match=message) as error:
        Lvis(_changed(root, part, key, value))
    assert "lvis_v1_val.json" in str(error.value)


@pytest.mark.parametrize(
    ("part", "key", "value", "message"),
    [
        ("images", "height", 9, r"expected \(9, 12\)"),
        ("images", "coco_url", "http://x.org/../10.jpg", "without '..'"),
        ("annotations", "segmentation", {"size": [8, 12], "counts": [1]}, "picture 10: run lengths"),
    ],
)
def test_what_is_wrong_with_a_picture_is_named_when_it_is_read(root, part, key, value, message):
    with pytest.raises(DatasetError, match=message):
        LvisNames(Lvis(_changed(root, part, key, value)))[0]


def test_splits_there_are_not(root):
    for splits in ((), ("val", "test")):
        with pytest.raises(DatasetError, match="expected some of train, val"):
            Lvis(root, splits)
    (root / "lvis_v1_val.json").unlink()
    with pytest.raises(DatasetError, match="lvis_v1_val.json: not there"):
        Lvis(root)
