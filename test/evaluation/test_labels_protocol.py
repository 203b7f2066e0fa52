# SPDX-License-Identifier: Apache-2.0
"""Label maps: the class of the highest score, counted against the truth."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace

import numpy as np
import pytest

from clipseg_ros.datasets import IGNORE, Labelled
from clipseg_ros.evaluation.geometry import Squashed
from clipseg_ros.evaluation.labels_protocol import Labels
from clipseg_ros.segmentation import Prompt

CLASSES = ("background", "cat", "dog")
TRUTH = np.array([[0, 1], [2, IGNORE]], np.int32)
SAMPLE = Labelled(np.zeros((2, 2, 3), np.uint8), TRUTH, "s")


class Known:
    """Scores (3, 2, 2) of the classes, whatever the image."""

    def __init__(self, *scores: Sequence[Sequence[float]]) -> None:
        self.scores, self.asked = np.array(scores, np.float32), []

    def segment(self, image: np.ndarray, prompts: Sequence[Prompt]) -> SimpleNamespace:
        self.asked = [prompt.text for prompt in prompts]
        return SimpleNamespace(scores=self.scores)


ENGINE = Known([[0.3, 0.3], [0.3, 0.3]], [[0.1, 0.8], [0.2, 0.2]], [[0.1, 0.1], [0.8, 0.8]])


def test_a_pixel_takes_the_highest_score_and_ignored_ones_do_not_count() -> None:
    kept = Labels().predict(ENGINE, SAMPLE, CLASSES)
    assert kept["labels"].tolist() == [[0, 1], [2, 2]] and kept["labels"].dtype == np.uint16
    row = Labels().score([(SAMPLE, kept)], CLASSES).rows[0]
    assert row == ("", {"mIoU": 1.0, "pAcc": 1.0, "mAcc": 1.0})


def test_a_factor_moves_pixels_to_its_class() -> None:
    labels = Labels(factors=(("background", 3.0),))
    kept = labels.predict(ENGINE, SAMPLE, CLASSES)
    assert kept["labels"].tolist() == [[0, 0], [0, 0]]
    score = labels.score([(SAMPLE, kept)], CLASSES)
    assert score.rows[0].values["pAcc"] == pytest.approx(1 / 3)
    assert [row.values["IoU"] for row in score.classes] == pytest.approx([1 / 3, 0, 0])


def test_unseen_classes_have_their_own_mean() -> None:
    labels = Labels(unseen=("dog",))
    wrong = {"labels": np.array([[0, 0], [2, 2]], np.uint16)}
    score = labels.score([(SAMPLE, wrong)], CLASSES)
    values = score.rows[0].values
    assert (values["mIoU(S)"], values["mIoU(U)"]) == (pytest.approx(0.25), 1.0)
    assert values["hIoU"] == pytest.approx(0.4) and list(values)[:2] == ["mIoU(S)", "mIoU(U)"]
    assert [row.values["unseen"] for row in score.classes] == [False, False, True]


def test_names_are_asked_in_the_template_and_may_be_replaced() -> None:
    Labels(template="a {}.", texts=(("dog", "hound"),)).predict(ENGINE, SAMPLE, CLASSES)
    assert ENGINE.asked == ["a background.", "a cat.", "a hound."]


def test_truth_is_compared_at_the_size_of_the_benchmark() -> None:
    large = Labelled(np.zeros((8, 8, 3), np.uint8), TRUTH.repeat(4, axis=0).repeat(4, axis=1), "s")
    labels = Labels(geometry=Squashed(2))
    assert labels.score([(large, labels.predict(ENGINE, large, CLASSES))], CLASSES).rows[0].values["pAcc"] == 1.0


def test_an_unseen_class_that_the_data_set_lacks_is_refused() -> None:
    with pytest.raises(ValueError, match="unseen class 'cow': the data set has background, cat, dog"):
        Labels(unseen=("cow",)).score([], CLASSES)


def test_labels_take_no_threshold() -> None:
    assert Labels().settled("clipseg", None) == Labels()
    with pytest.raises(ValueError, match="--threshold 0.5: a pixel takes the class of highest score"):
        Labels().settled("clipseg", 0.5)
