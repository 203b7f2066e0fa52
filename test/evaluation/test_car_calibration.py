# SPDX-License-Identifier: Apache-2.0
"""Thresholds chosen for engine car: by hand on few answers, and from an engine's verdicts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from clipseg_ros import engines
from clipseg_ros.datasets.tabletop import View
from clipseg_ros.evaluation.car_calibration import UNDECIDED, Answer, answers, best_threshold, calibrate
from clipseg_ros.evaluation.metrics import Counts
from clipseg_ros.evaluation.mixed_queries import Call
from clipseg_ros.segmentation import Prompt

CAR = Path(__file__).parents[1] / "golden" / "car" / "model_proposal"
OPTIONS = {"preset": "robot", "templates": "{}", "visual_prompts": "black", "cam": "patches"}


def present(confidence: float, hit: int, wrong: int = 0) -> Answer:
    return Answer(confidence, Counts(hit, wrong, 10 - hit), Counts(0, 0, 10))


def call(*texts: str, there: bool = True) -> Call:
    image = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)
    labels = np.zeros((48, 64), np.uint8)
    labels[10:30, 10:30] = 7
    view = View(image, np.ones((48, 64), np.float32), labels, np.eye(3), np.eye(4))
    classes = frozenset([7]) if there else frozenset()
    return Call(view, tuple(map(Prompt, texts)), (classes,) * len(texts), (False,) * len(texts))


def test_the_threshold_drops_what_it_must_and_then_gives_the_highest_iou() -> None:
    found = [present(0.9, 10), present(0.3, 8), present(0.2, 0, wrong=40)]
    found += [Answer(confidence) for confidence in (0.0, 0.0, 0.111, 0.25, 0.5)]
    assert best_threshold(found, 0.4) == (0.25, pytest.approx(18 / 30), pytest.approx(2 / 3), 0.8)
    assert best_threshold(found, 0.9) == (0.5, pytest.approx(10 / 30), pytest.approx(1 / 3), 1.0)


def test_a_threshold_has_two_digits_and_still_drops_what_it_was_made_of() -> None:
    threshold, _, kept, dropped = best_threshold([present(0.9, 10), Answer(0.0012345)], 1.0)
    assert (threshold, kept, dropped) == (0.0013, 1.0, 1.0)


@pytest.mark.parametrize("found", [[Answer(0.1)], [present(0.5, 5)]])
def test_a_threshold_needs_queries_of_both_kinds(found: list[Answer]) -> None:
    with pytest.raises(ValueError, match="expected some of both"):
        best_threshold(found, 0.9)


def test_answers_are_the_verdicts_and_masks_of_single_queries() -> None:
    engine = engines.create("car", str(CAR), "cpu", **OPTIONS, **UNDECIDED)
    shown, missing = answers(engine, [call("cat"), call("dog", there=False)])
    result = engine.segment(call("cat").view.image, [Prompt("cat")])
    assert shown.confidence == result.verdicts[0].confidence > 0.0
    assert shown.kept is not None and shown.dropped == Counts(0, 0, 400)
    assert shown.kept.tp + shown.kept.fn == 400 and shown.kept.tp + shown.kept.fp == result.labels().sum()
    assert missing.confidence > 0.0 and missing.kept is None
    with pytest.raises(ValueError, match="a call of 2 queries: expected one"):
        answers(engine, [call("cat", "dog")])


def test_what_is_swept_gets_a_choice_each() -> None:
    asked = [call("cat"), call("dog", there=False)]
    swept = [{"patch_threshold": value} for value in (-1.0, 1.0)]
    some, none = calibrate(str(CAR), "cpu", OPTIONS, swept, asked, 0.9)
    assert some.options == (("patch_threshold", -1.0),) and some.dropped == none.dropped == 1.0
    assert (none.threshold, none.iou, none.kept) == (0.0, 0.0, 0.0) and some.threshold > 0.0
