# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math

import numpy as np
import pytest

from clipseg_ros.evaluation.curves import (
    THRESHOLDS,
    average_precision,
    best,
    ious,
    ious_bin,
    precisions,
    recalls,
    sweep,
)
from clipseg_ros.evaluation.metrics import Counts, counts, iou, iou_bin

SCORES = np.array([[0.1, 0.4, 0.4], [0.7, 0.9, 0.2]], np.float32)
TARGET = np.array([[0, 1, 0], [0, 1, 1]], bool)
LEVELS = np.array([0.2, 0.4, 0.7, 0.95])


def test_counts_of_a_sweep_are_those_of_each_mask():
    table = sweep(SCORES, TARGET)
    for (tp, fp, fn, tn), threshold in zip(table.tolist(), THRESHOLDS.astype(np.float32)):
        assert (tp, fp, fn) == counts(SCORES >= threshold, TARGET)
        assert tn == 6 - tp - fp - fn


@pytest.mark.parametrize(
    ("strict", "expected"),
    [
        (False, [[3, 2, 0, 1], [2, 2, 1, 1], [1, 1, 2, 2], [0, 0, 3, 3]]),
        (True, [[2, 2, 1, 1], [1, 1, 2, 2], [1, 0, 2, 3], [0, 0, 3, 3]]),
    ],
)
def test_a_score_on_a_threshold_is_marked_unless_strict(strict, expected):
    assert sweep(SCORES, TARGET, LEVELS, strict=strict).tolist() == expected


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_score_of_0_7_is_at_0_7_in_either_precision(dtype):
    assert sweep(np.full((1, 1), 0.7, dtype), np.ones((1, 1), bool), np.array([0.7])).tolist() == [[1, 0, 0, 0]]


def test_pixels_that_are_not_valid_are_in_no_count():
    valid = np.array([[1, 1, 0], [0, 1, 1]], bool)
    assert sweep(SCORES, TARGET, LEVELS[:1], valid).tolist() == [[3, 0, 0, 1]]


def test_ratios_at_each_threshold():
    table = sweep(SCORES, TARGET, LEVELS)
    assert ious(table).tolist() == [3 / 5, 2 / 5, 1 / 4, 0]
    assert recalls(table).tolist() == [1, 2 / 3, 1 / 3, 0]
    assert precisions(table)[:3].tolist() == [3 / 5, 1 / 2, 1 / 2]
    assert math.isnan(precisions(table)[3])  # nothing is marked


def test_ious_are_those_of_single_masks():
    table = sweep(SCORES, TARGET, LEVELS)
    for row, single, both in zip(table.tolist(), ious(table), ious_bin(table)):
        assert single == iou(*row[:3])
        assert both == pytest.approx(iou_bin([Counts(*row[:3])], pixels=6))


def test_tables_of_classes_keep_their_axis():
    table = np.stack([sweep(SCORES, TARGET), sweep(SCORES, ~TARGET)])
    assert ious(table).shape == ious_bin(table).shape == (2, 49)


def test_iou_bin_without_any_background_is_iou_fg():
    assert ious_bin(np.array([[4, 0, 0, 0], [0, 0, 0, 4], [0, 0, 0, 0]])).tolist()[:2] == [1.0, 1.0]
    assert math.isnan(ious_bin(np.array([[0, 0, 0, 0]]))[0])


def test_ap_adds_each_threshold_s_precision_over_the_recall_that_it_gains():
    # from the top: recall 1/3 at precision 1/2, 2/3 at 1/2, 1 at 3/5
    assert average_precision(sweep(SCORES, TARGET, LEVELS)) == pytest.approx((1 / 2 + 1 / 2 + 3 / 5) / 3)


def test_ap_reaches_recall_1_by_marking_everything():
    scores = np.array([[0.9, 0.0, 0.0, 0.0]], np.float32)
    target = np.array([[1, 1, 0, 0]], bool)
    assert average_precision(sweep(scores, target)) == (1 + 2 / 4) / 2


@pytest.mark.parametrize("sharpness", [1.0, 0.6, 0.51])
def test_ap_of_perfect_scores_is_1_however_sharp(sharpness):
    scores = np.where(TARGET, sharpness, 1 - sharpness)
    assert average_precision(sweep(scores, TARGET)) == 1.0


@pytest.mark.parametrize("score", [0.0, 0.5, 1.0])
def test_ap_of_a_constant_is_the_target_s_share(score):
    target = np.array([[1, 0, 0, 0]], bool)
    assert average_precision(sweep(np.full((1, 4), score), target)) == 0.25


def test_ap_without_target_is_undefined():
    assert math.isnan(average_precision(sweep(SCORES, np.zeros_like(TARGET))))


def test_best_is_the_lowest_of_equal_thresholds():
    assert best(np.array([np.nan, 0.2, 0.5, 0.5]), LEVELS) == (0.5, 0.7)
    assert all(math.isnan(value) for value in best(np.full(49, np.nan)))


@pytest.mark.parametrize(
    ("scores", "target", "thresholds", "message"),
    [
        (SCORES[:1], TARGET, LEVELS, "a bool target of one size"),
        (SCORES, TARGET.astype(int), LEVELS, "a bool target of one size"),
        (SCORES.astype(np.float16), TARGET, LEVELS, "expected float32 or float64 scores"),
        (SCORES * 9, TARGET, LEVELS, "apply a sigmoid to logits"),
        (SCORES * np.float32("nan"), TARGET, LEVELS, "scores from nan to nan"),
        (SCORES, TARGET, LEVELS[::-1], "each above the one before"),
        (SCORES, TARGET, LEVELS[:0], "at least one"),
    ],
)
def test_what_cannot_be_swept_is_refused(scores, target, thresholds, message):
    with pytest.raises(ValueError, match=message):
        sweep(scores, target, thresholds)


def test_valid_of_another_size_is_refused():
    with pytest.raises(ValueError, match="as the mask"):
        sweep(SCORES, TARGET, LEVELS, np.ones((1, 1), bool))
