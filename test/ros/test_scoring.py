# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import pytest

from clipseg_ros.datasets import tabletop
from clipseg_ros.evaluation.metrics import Counts
from clipseg_ros.ros import scoring


def test_a_query_of_several_prompts_means_all_their_classes():
    both = scoring.classes("red mug; something to sit on")
    assert set(both) == tabletop.classes_of("red mug") | tabletop.classes_of("something to sit on")


def test_an_unknown_prompt_has_no_truth():
    with pytest.raises(KeyError, match="zeppelin"):
        scoring.classes("red mug; zeppelin")


def test_target_is_the_union_of_its_classes():
    truth = np.array([[0, 3, 4], [5, 255, 3]], np.uint8)
    np.testing.assert_array_equal(scoring.target(truth, [3, 5]), [[False, True, False], [True, False, True]])
    assert not scoring.target(truth, []).any()


def test_ids_of_the_node_become_positions_in_the_query():
    labels = np.array([[0, 7, 3], [3, 0, 9]], np.uint8)
    np.testing.assert_array_equal(scoring.in_order(labels, [7, 3]), [[0, 1, 2], [2, 0, 0]])


FRAMES = [Counts(tp=80, fp=0, fn=20), Counts(tp=50, fp=5, fn=49), Counts(tp=0, fp=6, fn=0), Counts(tp=0, fp=5, fn=0)]


def test_a_frame_counts_from_a_hundred_visible_pixels_on():
    assert scoring.relevant("object", FRAMES) == [0]


def test_an_absent_query_counts_frames_without_a_pixel_of_its_target():
    assert scoring.relevant("absent", FRAMES) == [2, 3]


def test_the_iou_is_of_added_pixels():
    frames = [Counts(tp=100, fp=0, fn=0), Counts(tp=0, fp=100, fn=200)]
    assert scoring.row("mug", "object", frames, pixels=1000) == {
        "text": "mug", "kind": "object", "frames": 2, "iou": 0.25, "false_positive_rate": None,
    }


def test_a_frame_is_a_false_positive_above_half_a_percent_of_marked_pixels():
    row = scoring.row("red bus", "absent", FRAMES, pixels=1000)
    assert row == {"text": "red bus", "kind": "absent", "frames": 2, "iou": None, "false_positive_rate": 0.5}


@pytest.mark.parametrize("kind", ["object", "absent"])
def test_a_query_without_a_frame_that_counts_has_no_ratio(kind: str):
    row = scoring.row("mug", kind, [Counts(tp=0, fp=0, fn=1)], pixels=1000)
    assert (row["frames"], row["iou"], row["false_positive_rate"]) == (0, None, None)


def test_frames_to_show_are_spread_evenly():
    assert scoring.spread(list(range(10, 22)), 3) == [12, 16, 20]
    assert scoring.spread([4, 9], 3) == [4, 9]
    assert scoring.spread([], 3) == []


def test_latency_is_the_median_and_the_99th_percentile():
    assert scoring.latency([float(value) for value in range(101)]) == {"p50": 50.0, "p99": 99.0}
    assert scoring.latency([]) == {"p50": None, "p99": None}
