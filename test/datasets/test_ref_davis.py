# SPDX-License-Identifier: Apache-2.0
"""Ref-DAVIS in miniature: one video with two objects, in the published tree and in that of Ref-YouTube-VOS."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from clipseg_ros.datasets import DatasetError
from clipseg_ros.datasets.ref_davis import SETS, RefDavis

TEXTS = ("first look", "whole video", "ein caf\u00e9", "zwei")


def _frames(pictures: Path, masks: Path) -> None:
    """Two frames; object 1 left, 2 right, void below, in a palette whose colours say nothing."""
    ids = np.zeros((6, 10), np.uint8)
    ids[:4, :3], ids[:4, 6:], ids[5] = 1, 2, 255
    pictures.mkdir(parents=True)
    masks.mkdir(parents=True)
    for number, values in enumerate((ids, np.where(ids == 2, 0, ids).astype(np.uint8))):
        Image.new("RGB", (10, 6), (40, 50, 60)).save(pictures / f"{number:05d}.jpg")
        picture = Image.fromarray(values, mode="P")
        picture.putpalette([7] * 768)
        picture.save(masks / f"{number:05d}.png")


@pytest.fixture(name="published")
def _published(tmp_path: Path) -> Path:
    for kind in ("JPEGImages", "Annotations_unsupervised"):
        (tmp_path / "DAVIS" / kind).mkdir(parents=True)
    _frames(*(tmp_path / "DAVIS" / kind / "480p" / "dogs-scale" for kind in ("JPEGImages", "Annotations_unsupervised")))
    lists = tmp_path / "DAVIS" / "ImageSets" / "2017"
    lists.mkdir(parents=True)
    (lists / "val.txt").write_text("dogs-scale\n")
    (tmp_path / "davis_text_annotations").mkdir()
    for (name, encoding), text in zip(SETS, TEXTS):
        written = f'dog-scale 2 "{text} 2"\ndog-scale 1 "{text} 1" \n\nbear 1 "a bear"\n'
        (tmp_path / "davis_text_annotations" / name).write_text(written, encoding.replace("-sig", ""))
    return tmp_path


@pytest.fixture(name="converted")
def _converted(tmp_path: Path) -> Path:
    _frames(tmp_path / "valid" / "JPEGImages" / "dogs-scale", tmp_path / "valid" / "Annotations" / "dogs-scale")
    return _meta(tmp_path)


def _meta(root: Path, **changed: object) -> Path:
    expressions = {str(4 * number + each): {"exp": f"{text} {number + 1}", "obj_id": str(number + 1)}
                   for number in range(2) for each, text in enumerate(TEXTS)}
    video = {"expressions": expressions, "frames": ["00000", "00001"]} | changed
    (root / "meta_expressions" / "valid").mkdir(parents=True, exist_ok=True)
    content = json.dumps({"videos": {"dogs-scale": video}})
    (root / "meta_expressions" / "valid" / "meta_expressions.json").write_text(content)
    return root


@pytest.fixture(name="root", params=["published", "converted"])
def _root(request: pytest.FixtureRequest) -> Path:
    return request.getfixturevalue(request.param)


@pytest.mark.parametrize("number", range(4))
def test_both_trees_ask_every_object_of_a_set_in_the_order_of_ids(root, number):
    first, second = RefDavis(root, "val", number)
    assert [prompt.text for prompt in first.prompts] == [f"{TEXTS[number]} 1", f"{TEXTS[number]} 2"]
    assert (first.name, second.name, first.classes) == ("dogs-scale/00000", "dogs-scale/00001", (1, 2))


def test_masks_are_the_values_and_void_is_background(root):
    first, second = RefDavis(root)
    assert (first.image.shape, first.target.shape, first.target.dtype) == ((6, 10, 3), (2, 6, 10), bool)
    expected = np.zeros((2, 6, 10), bool)
    expected[0, :4, :3] = expected[1, :4, 6:] = True
    np.testing.assert_array_equal(first.target, expected)
    expected[1] = False
    np.testing.assert_array_equal(second.target, expected)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("dog-scale", "line 1: 'dog-scale'; expected video, object"),
        ('dog-scale x "dog"', "expected video, object"),
        ('dog-scale 1 "a"\ndog-scale 1 "b"', r"objects \[1, 1\]"),
        ('dog-scale 0 "a"', r"objects \[0\]"),
        ('dog-scale 255 "a"', r"objects \[255\]"),
        ('dog-scale 1 " "', "an expression is empty"),
        ('bear 1 "a"', "no expressions for video 'dogs-scale'"),
    ],
)
def test_damaged_expressions_are_named(published, text, message):
    (published / "davis_text_annotations" / SETS[0][0]).write_text(text)
    with pytest.raises(DatasetError, match=message) as error:
        RefDavis(published)
    assert SETS[0][0] in str(error.value)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"frames": [0, 1]}, "frames are .* expected names"),
        ({"expressions": {"0": {"exp": "dog", "obj_id": None}}}, "expression 0: obj_id is 'None'"),
        ({"expressions": {"0": {"exp": "dog", "obj_id": "one"}}}, "object 'one'; expected numbers"),
        ({"expressions": {"zero": {"exp": "dog", "obj_id": 1}}}, "expression 'zero'"),
        ({"expressions": {"1": {"exp": "dog", "obj_id": 1}}}, r"objects \[\]"),
        ({"expressions": []}, "expressions is '\\[\\]'; expected dict"),
    ],
)
def test_damaged_json_is_named(converted, changed, message):
    with pytest.raises(DatasetError, match=message):
        RefDavis(_meta(converted, **changed))


def test_an_object_id_may_be_a_number(converted):
    root = _meta(converted, expressions={"0": {"exp": "dog", "obj_id": 2}})
    assert RefDavis(root)[0].classes == (2,)


def test_frames_stay_under_their_folder(converted):
    with pytest.raises(DatasetError, match="without '..'"):
        RefDavis(_meta(converted, frames=["../../secret"]))[0]


def test_masks_are_of_eight_bits_and_of_the_size_of_the_picture(published):
    mask = published / "DAVIS" / "Annotations_unsupervised" / "480p" / "dogs-scale" / "00000.png"
    Image.fromarray(np.zeros((6, 10), np.uint16)).save(mask)
    with pytest.raises(DatasetError, match="00000.png: .* expected a palette picture"):
        RefDavis(published)[0]
    Image.new("P", (9, 6)).save(mask)
    with pytest.raises(DatasetError, match="expected one size"):
        RefDavis(published)[0]


def test_missing_things_are_named(published):
    for choice, message in ((("test",), "'test'.*train, val"), (("val", 4), "4 of Ref-DAVIS: expected 0 to 3")):
        with pytest.raises(DatasetError, match=message):
            RefDavis(published, *choice)
    with pytest.raises(DatasetError, match="train.txt: not there"):
        RefDavis(published, "train")
    (published / "davis_text_annotations" / SETS[1][0]).write_bytes(b"\xff")
    with pytest.raises(DatasetError, match="not in utf-8"):
        RefDavis(published, "val", 1)
    (published / "davis_text_annotations" / SETS[0][0]).unlink()
    with pytest.raises(DatasetError, match="Davis17_annot1.txt: not there"):
        RefDavis(published)
