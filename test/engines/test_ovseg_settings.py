# SPDX-License-Identifier: Apache-2.0
"""OVSeg's options: what select and speed set, and what is refused."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest

from clipseg_ros.engines.ovseg_settings import TEMPLATES, OvsegSettings, settings

REFERENCE = {"speed": "reference"}


def test_the_default_is_fast_and_selects_the_best() -> None:
    made = settings({})
    assert made == OvsegSettings() and made.prunes
    assert (made.select, made.clip_weight, made.mask_threshold, made.side) == ("best", 0.0, 0.35, 480)


def test_the_reference_speed_drops_nothing_before_clip() -> None:
    made = settings(REFERENCE)
    assert not made.prunes and made.fusion_stride == 1 and made.side == 640
    for name, value in {"min_area": 0.1, "no_object": 0.9, "nms_iou": 0.8, "top_k": 3}.items():
        assert settings({**REFERENCE, name: value}).prunes


def test_a_way_of_selecting_brings_the_authors_numbers_unless_told_otherwise() -> None:
    made = settings({"select": "all"})
    assert (made.clip_weight, made.mask_threshold) == (0.7, 0.4)
    assert settings({"select": "all", "clip_weight": 0.45}).clip_weight == 0.45


def test_sam_brings_clip_alone() -> None:
    made = settings({"proposer": "sam", "sam_weights": "here", "select": "all"})
    assert made.clip_weight == 0.0 and made.mask_threshold == 0.4


def test_values_come_as_a_node_writes_them() -> None:
    made = settings({"templates": "photo", "nms_iou": 1, "keep_ratio": 1})
    assert made.templates == TEMPLATES["photo"] == ("a photo of {}",) and made.nms_iou == 1.0
    assert settings({"templates": ["a {}", "{}"]}).templates == ("a {}", "{}")
    assert settings({"templates": "the {}"}).templates == ("the {}",)


def test_the_authors_sentences_are_14() -> None:
    assert len(set(TEMPLATES["vild"])) == 14 and sum(text.endswith(".") for text in TEMPLATES["vild"]) == 10


def test_the_document_lists_every_option_with_its_default() -> None:
    text = (Path(__file__).parents[2] / "docs" / "ovseg.md").read_text()
    for entry in fields(OvsegSettings):
        default = "vild" if entry.name == "templates" else entry.default
        assert f"\n| {entry.name} | {default} | {entry.metadata['meaning']} |\n" in text


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sidee": 3}, "option 'sidee' of engine ovseg: expected one of speed, select, proposer"),
        ({"speed": "slow"}, "speed 'slow': expected one of fast, reference"),
        ({"speed": 3}, "speed 3: expected one of fast, reference"),
        ({"select": "some"}, "select 'some': expected one of best, all"),
        ({"select": 3}, "select 3: expected a text"),
        ({"proposer": "slic"}, "proposer 'slic': expected one of maskformer, sam"),
        ({"proposer": "sam"}, "sam_weights '': give them with proposer=sam, and with no other"),
        ({"sam_weights": "here"}, "sam_weights 'here': give them with proposer=sam"),
        ({"proposer": "sam", "sam_weights": "x", "clip_weight": 0.5}, "clip_weight 0.5: proposer=sam has no opinion"),
        ({"clip_weight": 1.5}, "clip_weight 1.5: expected 0.0 to 1.0"),
        ({"clip_weight": "much"}, "clip_weight 'much': expected a number"),
        ({"top_k": 2.5}, "top_k 2.5: expected a whole number"),
        ({"side": 8}, "side 8: expected 32 to 4096"),
        ({"fusion_stride": 2}, "fusion_stride 2: expected 1 or 4"),
        ({"helper": " "}, "helper '': expected a word"),
        ({"templates": []}, "template '': expected vild, photo, plain, or sentences"),
        ({"templates": ["a {}", "b"]}, "template 'b': expected vild"),
        ({"templates": 3}, "templates 3: expected texts"),
    ],
)
def test_options_that_make_no_sense_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        settings(options)
