# SPDX-License-Identifier: Apache-2.0
"""The lists of class names."""

from __future__ import annotations

import pytest

from clipseg_ros.datasets import class_names
from clipseg_ros.datasets.class_names import COCO80, COCO_OBJECT81, COCO_STUFF171, CONTEXT59, CONTEXT60, VOC20, VOC21

LENGTHS = {
    "VOC20": 20, "VOC21": 21, "COCO80": 80, "COCO_OBJECT81": 81, "COCO_STUFF171": 171, "CONTEXT59": 59,
    "CONTEXT60": 60,
}


@pytest.mark.parametrize(("name", "length"), LENGTHS.items())
def test_list_has_its_length_and_no_name_twice(name, length):
    names = getattr(class_names, name)
    assert len(names) == len(set(names)) == length


def test_voc_and_context_names_are_alphabetical():
    assert list(VOC20) == sorted(VOC20)
    assert list(CONTEXT59) == sorted(CONTEXT59)


def test_lists_with_a_background_have_it_first():
    for names, bare in ((VOC21, VOC20), (COCO_OBJECT81, COCO80), (CONTEXT60, CONTEXT59)):
        assert names == ("background", *bare)


def test_context_holds_voc_but_calls_the_dining_table_a_table():
    assert set(VOC20) - set(CONTEXT59) == {"diningtable"}
    assert "table" in CONTEXT59


def test_stuff_begins_after_the_things_and_is_alphabetical():
    assert COCO_STUFF171[:80] == COCO80
    assert list(COCO_STUFF171[80:]) == sorted(COCO_STUFF171[80:])


def test_known_numbers_have_their_names():
    assert (COCO80[0], COCO80[39], COCO80[79]) == ("person", "bottle", "toothbrush")
    assert (VOC21[0], VOC21[15], VOC21[20]) == ("background", "person", "tvmonitor")
    assert (COCO_STUFF171[80], COCO_STUFF171[170], CONTEXT60[59]) == ("banner", "wood", "wood")
