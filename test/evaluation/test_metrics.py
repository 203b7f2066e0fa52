# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math

import numpy as np
import pytest

from clipseg_ros.evaluation.metrics import (
    Counts,
    add,
    counts,
    iou,
    iou_bin,
    iou_fg,
    miou,
    oiou,
    precision_at,
    sample_miou,
    share_above,
)

MASK = np.array([[1, 1, 0], [0, 0, 0]], bool)
TARGET = np.array([[0, 1, 1], [1, 0, 0]], bool)


def test_counts_tell_found_from_wrong_from_missed():
    assert counts(MASK, TARGET) == Counts(tp=1, fp=1, fn=2)


def test_counts_are_plain_integers_that_json_takes():
    assert {type(value) for value in counts(MASK, TARGET)} == {int}


def test_marked_and_visible_are_the_sizes_of_mask_and_target():
    observed = counts(MASK, TARGET)
    assert (observed.marked, observed.visible) == (2, 3)


def test_iou_is_one_for_equal_masks_and_zero_for_disjoint_ones():
    assert iou(*counts(MASK, MASK)) == 1.0
    assert iou(*counts(MASK, ~MASK)) == 0.0


def test_iou_of_nothing_is_undefined():
    assert math.isnan(iou(0, 0, 0))


def test_counts_are_added_before_they_are_divided():
    observed = [Counts(9, 1, 0), Counts(0, 0, 10)]
    assert add(observed) == Counts(9, 1, 10)
    assert iou(*add([Counts(1, 0, 0), Counts(0, 0, 3)])) == 0.25  # the mean of the two ratios is 0.5
    assert add([]) == Counts(0, 0, 0)


def test_a_value_at_the_limit_is_not_above_it():
    assert share_above([0.005, 0.0051, 0.0, 0.9], 0.005) == 0.5


def test_share_of_no_values_is_undefined():
    assert math.isnan(share_above([], 0.5))


@pytest.mark.parametrize("target", [TARGET[:1], TARGET.astype(np.uint8)])
def test_masks_that_cannot_be_compared_are_refused(target):
    with pytest.raises(ValueError, match="two bool arrays of one size"):
        counts(MASK, target)


def test_pixels_that_are_not_valid_are_dropped():
    valid = np.array([[1, 1, 0], [0, 1, 1]], bool)
    assert counts(MASK, TARGET, valid) == Counts(tp=1, fp=1, fn=0)


def test_valid_of_another_size_is_refused():
    with pytest.raises(ValueError, match=r"expected \(2, 3\) bool, as the mask"):
        counts(MASK, TARGET, np.ones((3, 2), bool))


SAMPLES = [Counts(1, 1, 0), Counts(0, 0, 8), Counts()]  # IoU 0.5, 0, and never seen


def test_iou_fg_is_one_division_over_all_samples():
    assert iou_fg(SAMPLES) == oiou(SAMPLES) == 0.1


def test_iou_bin_counts_the_background_as_a_class():
    assert iou_bin(SAMPLES, pixels=19) == (1 / 10 + 9 / 18) / 2


def test_iou_bin_without_background_is_iou_fg():
    assert iou_bin([Counts(3, 0, 0)], pixels=3) == 1.0


def test_iou_bin_of_nothing_but_background_is_the_background_s():
    assert iou_bin([Counts()], pixels=4) == 1.0
    assert math.isnan(iou_bin([], pixels=0))


def test_fewer_pixels_than_counts_are_refused():
    with pytest.raises(ValueError, match="9 pixels for counts of 10"):
        iou_bin(SAMPLES, pixels=9)


BY_CLASS = [Counts(1, 0, 1), Counts(3, 1, 0), Counts(0, 5, 0), Counts()]  # the third is only marked, the fourth absent


@pytest.mark.parametrize(("absent", "expected"), [("mmseg", 1.25 / 3), ("ovseg", 1.25 / 3), ("detectron2", 1.25 / 2)])
def test_a_class_that_is_only_marked_counts_0_or_is_left_out(absent, expected):
    assert miou(BY_CLASS, absent) == expected


def test_ovseg_s_quotient_is_the_mean_over_observed_classes():
    with_target = [observed for observed in BY_CLASS if observed.visible]
    observed = [each for each in BY_CLASS if each.visible or each.marked]
    assert miou(BY_CLASS, "ovseg") == sum(iou(*each) for each in with_target) / len(observed)


def test_miou_without_a_class_is_undefined():
    assert math.isnan(miou([Counts()]))


def test_an_unknown_rule_for_absent_classes_is_refused():
    with pytest.raises(ValueError, match="'zero'.*expected one of mmseg, ovseg, detectron2"):
        miou(BY_CLASS, "zero")


@pytest.mark.parametrize(("empty", "expected"), [(math.nan, 0.25), (0.0, 0.5 / 3), (1.0, 0.5)])
def test_an_empty_sample_is_left_out_or_counts_as_told(empty, expected):
    assert sample_miou(SAMPLES, empty) == expected


@pytest.mark.parametrize(
    ("limit", "strict", "empty", "expected"),
    [(0.5, False, math.nan, 0.5), (0.5, True, math.nan, 0.0), (0.49, True, math.nan, 0.5), (0.5, False, 0.0, 1 / 3)],
)
def test_precision_at_a_limit_takes_the_limit_in_unless_strict(limit, strict, empty, expected):
    assert precision_at(SAMPLES, limit, strict, empty) == expected


def test_seven_tenths_reach_the_limit_of_0_7():
    assert precision_at([Counts(7, 3, 0)], 0.7) == 1.0


def test_precision_without_samples_is_undefined():
    assert math.isnan(precision_at([Counts()], 0.5))
