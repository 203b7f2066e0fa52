# SPDX-License-Identifier: Apache-2.0
"""What an answer shows of three prompts that overlap, on a grid as small as its model's."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from std_msgs.msg import Header

from clipseg_ros.masks import LogitMaps
from clipseg_ros.queries import Entry, Query
from clipseg_ros.ros.answer import Answer
from clipseg_ros.ros.companions import Belongings
from clipseg_ros.ros.parameters import Parameters
from clipseg_ros.segmentation import Frame, Prompt, Segmentation

PROMPTS = (Prompt("something to drink from"), Prompt("red mug", label="mug"), Prompt("purple dog"))
IDS = (3, 200, 7)
SCORES = np.array(
    [
        [[0.9, 0.8, 0.7, 0.1], [0.8, 0.8, 0.1, 0.6]],
        [[0.2, 0.95, 0.1, 0.1], [0.2, 0.9, 0.1, 0.1]],  # inside the first
        [[0.4, 0.4, 0.4, 0.4], [0.4, 0.4, 0.4, 0.4]],
    ],
    np.float32,
)


def answer(prompts: tuple[Prompt, ...] = PROMPTS, scores: np.ndarray = SCORES, **settings: object) -> Answer:
    logits = (np.log(scores) - np.log1p(-scores)).astype(np.float32)
    result = Segmentation(prompts, LogitMaps(logits, scores.shape[1:]), 0.5)
    entries = tuple(Entry(id_, Query(prompt)) for id_, prompt in zip(IDS, prompts))
    image = np.full((*scores.shape[1:], 3), 100, np.uint8)
    given = Parameters(**{"min_area": 1, "overlay_opacity": 0.25, **settings})
    return Answer(Frame(image), result, entries, given, Belongings(Header(), ()))


def test_labels_are_the_ids_of_the_prompts() -> None:
    assert answer().labels.tolist() == [[3, 200, 3, 0], [3, 200, 0, 3]]
    assert answer().mask.tolist() == [[255, 255, 255, 0], [255, 255, 0, 255]]


def test_prompts_that_overlap_keep_their_own_pixels_in_their_own_order() -> None:
    stack = answer().stack
    assert stack.dtype == np.uint8 and stack.shape == (6, 4)
    assert stack[:2].tolist() == [[255, 255, 255, 0], [255, 255, 0, 255]]
    assert stack[2:4].tolist() == [[0, 255, 0, 0], [0, 255, 0, 0]]
    assert not stack[4:].any()


def test_channels_are_the_scores_in_the_order_of_the_prompts() -> None:
    channels = answer().channels
    assert channels.dtype == np.float32 and channels.flags.c_contiguous
    np.testing.assert_allclose(channels, SCORES.transpose(1, 2, 0), atol=1e-6)


@pytest.mark.parametrize("scale, size", [(0.5, (1, 2)), (0.05, (1, 1)), (0.75, (2, 3))])
def test_scaled_channels_are_averages_of_the_scores(scale: float, size: tuple[int, int]) -> None:
    channels = answer(scores_scale=scale).channels
    assert channels.shape == (*size, 3)
    np.testing.assert_allclose(channels.mean((0, 1)), SCORES.mean((1, 2)), atol=1e-6)


def test_one_prompt_keeps_its_axis() -> None:
    one = answer(PROMPTS[:1], SCORES[:1])
    assert one.stack.shape == (2, 4) and one.channels.shape == (2, 4, 1)


def test_confidence_is_the_score_of_the_label() -> None:
    scores = np.array([[0.9, 0.95, 0.7, 0.0], [0.8, 0.9, 0.0, 0.6]])
    assert answer().confidence.dtype == np.uint8
    np.testing.assert_allclose(answer().confidence, 255 * scores, atol=0.51)


def test_confidence_is_that_of_the_label_where_another_prompt_scores_higher_below_its_threshold() -> None:
    strict = (PROMPTS[0], replace(PROMPTS[1], threshold=0.99), PROMPTS[2])
    labels, confidence = answer(strict).labels, answer(strict).confidence
    assert labels.tolist() == [[3, 3, 3, 0], [3, 3, 0, 3]]
    np.testing.assert_allclose(confidence, 255 * np.where(labels > 0, SCORES[0], 0.0), atol=0.51)


def test_detections_are_the_components_of_each_prompt() -> None:
    found = [(entry.id, part.area, round(part.score, 3)) for entry, part in answer().detections]
    assert found == [(3, 6, 0.767), (200, 2, 0.925)]  # corners touch
    assert [entry.id for entry, _ in answer(min_area=3).detections] == [3]


def test_the_target_is_the_largest_component_of_the_best_prompt() -> None:
    assert answer().target.tolist() == [[False, True, False, False], [False, True, False, False]]
    assert not answer(min_area=3).target.any()
    assert not answer(PROMPTS[2:], SCORES[2:]).target.any()


def test_the_overlay_takes_the_opacity() -> None:
    faint, full = answer(overlay_opacity=0.0).overlay, answer(overlay_opacity=1.0).overlay
    assert (faint[0, 3] == 100).all() and (full[0, 3] == 100).all() and (full[0, 0] != 100).any()
