# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math

import numpy as np
import pytest

from clipseg_ros.evaluation.confusion import Confusion, confusion, hiou
from clipseg_ros.evaluation.metrics import Counts

TRUTH = np.array([[0, 0, 0, 1], [1, 2, 2, 255]], np.uint8)
LABELS = np.array([[0, 1, 0, 1], [0, 2, 255, 2]], np.uint8)
# class 0: 2 found, 1 marked wrongly, 1 missed; class 1: 1, 1, 1; class 2: 1, 0, 1; class 3 is absent
OBSERVED = confusion(LABELS, TRUTH, classes=4)


def test_matrix_has_truth_in_rows_and_none_of_them_in_the_last_column():
    assert OBSERVED.matrix.tolist() == [[2, 1, 0, 0, 0], [1, 1, 0, 0, 0], [0, 0, 1, 0, 1], [0, 0, 0, 0, 0]]


def test_an_ignored_pixel_is_no_class_and_no_miss():
    assert OBSERVED.per_class() == [Counts(2, 1, 1), Counts(1, 1, 1), Counts(1, 0, 1), Counts()]


def test_miou_leaves_out_the_absent_class():
    assert OBSERVED.miou() == pytest.approx((2 / 4 + 1 / 3 + 1 / 2) / 3)


def test_miou_over_some_classes():
    assert OBSERVED.miou([0, 2]) == 0.5
    assert math.isnan(OBSERVED.miou([3]))


def test_a_class_that_is_only_predicted_is_told_apart_by_the_rule():
    observed = confusion(np.array([[0, 3]]), np.array([[0, 0]]), classes=4)
    assert (observed.miou(), observed.miou(absent="detectron2")) == (0.25, 0.5)


def test_pixel_accuracy_weighs_pixels_and_mean_accuracy_classes():
    assert OBSERVED.pacc() == 4 / 7
    assert OBSERVED.macc() == pytest.approx((2 / 3 + 1 / 2 + 1 / 2) / 3)


def test_nothing_counted_is_undefined():
    nothing = Confusion.empty(3)
    assert all(math.isnan(value) for value in (nothing.pacc(), nothing.macc(), nothing.miou()))


def test_images_are_added_before_they_are_divided():
    total = OBSERVED + confusion(TRUTH, TRUTH, classes=4) + Confusion.empty(4)
    assert total.pacc() == 11 / 14
    assert total.miou([2]) == 3 / 4


def test_seen_classes_are_those_that_are_not_unseen():
    seen, unseen, harmonic = OBSERVED.zero_shot(unseen={2})
    assert seen == OBSERVED.miou([0, 1])
    assert (unseen, harmonic) == (0.5, hiou(seen, 0.5))


@pytest.mark.parametrize(
    ("seen", "unseen", "expected"), [(0.5, 0.5, 0.5), (0.3, 0.6, 0.4), (1.0, 0.0, 0.0), (0.0, 0.0, 0.0)]
)
def test_hiou_is_the_harmonic_mean(seen, unseen, expected):
    assert hiou(seen, unseen) == pytest.approx(expected)


def test_hiou_is_undefined_where_one_half_was_never_seen():
    assert math.isnan(hiou(0.5, math.nan))


def test_foreground_only_forgives_what_is_marked_on_background_and_nothing_else():
    observed = OBSERVED.foreground_only()
    assert observed.per_class() == [Counts(1, 0, 1), Counts(1, 0, 1), Counts()]
    assert observed.miou() == 0.5


def test_foreground_only_is_what_ignoring_class_zero_of_the_truth_gives():
    relabelled = np.where((TRUTH == 0) | (TRUTH == 255), 255, TRUTH - 1)
    labels = np.where((LABELS == 0) | (LABELS == 255), 255, LABELS - 1)
    by_hand = confusion(labels, relabelled, classes=3)
    assert OBSERVED.foreground_only().matrix.tolist() == by_hand.matrix.tolist()


def test_without_class_zero_forgives_a_class_labelled_background_too():
    assert OBSERVED.without_class_zero().per_class() == [Counts(1, 0, 0), Counts(1, 0, 1), Counts()]


def test_847_classes_in_16_bits_have_an_ignore_of_their_own():
    truth = np.array([[846, 65535, 255]], np.uint16)
    assert confusion(truth, truth, classes=847, ignore=65535).pacc() == 1.0


@pytest.mark.parametrize(
    ("labels", "truth", "message"),
    [
        (LABELS[:1], TRUTH, "two integer arrays of one size"),
        (LABELS.astype(float), TRUTH, "two integer arrays of one size"),
        (np.full_like(LABELS, 4), TRUTH, r"label 4 with 4 classes: expected 0 .. 3 or 255"),
        (LABELS, np.full_like(TRUTH, 9), r"truth 9 with 4 classes: expected 0 .. 3 or 255"),
        (LABELS.astype(int) - 1, TRUTH, "label -1 with 4 classes"),
    ],
)
def test_labels_outside_of_the_class_list_are_refused(labels, truth, message):
    with pytest.raises(ValueError, match=message):
        confusion(labels, truth, classes=4)


def test_an_ignore_that_is_a_class_is_refused():
    with pytest.raises(ValueError, match="ignore 255 is one of 459 classes"):
        confusion(LABELS, TRUTH, classes=459)


@pytest.mark.parametrize("matrix", [np.zeros((3, 3), int), np.zeros((3, 4)), np.full((3, 4), -1), np.zeros(4, int)])
def test_a_matrix_without_a_column_for_none_of_them_is_refused(matrix):
    with pytest.raises(ValueError, match=r"expected \(C, C \+ 1\) integers"):
        Confusion(matrix)


def test_matrices_of_different_class_lists_are_not_added():
    with pytest.raises(ValueError, match="4 classes and 3"):
        OBSERVED + Confusion.empty(3)
