# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math

import numpy as np
import pytest

from clipseg_ros.evaluation.metrics import Counts, add, counts, iou, share_above

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
