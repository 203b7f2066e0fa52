# SPDX-License-Identifier: Apache-2.0
"""Label maps whose background nobody asks for, counted honestly and as the authors of CLIP as RNN do."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace

import numpy as np
import pytest

from clipseg_ros.datasets import IGNORE, Labelled
from clipseg_ros.evaluation.painted_protocol import MISSES, Painted
from clipseg_ros.evaluation.results import AUTHORS
from clipseg_ros.segmentation import Prompt


class Painter:
    """Paints `labels` (H, W); the score of a prompt is 0.6 where it is painted, 0.4 in the first row, else 0."""

    def __init__(self, labels: Sequence[Sequence[int]]) -> None:
        self.labels, self.asked = np.array(labels, np.uint8), []

    def segment(self, image: np.ndarray, prompts: Sequence[Prompt]) -> SimpleNamespace:
        self.asked = [prompt.text for prompt in prompts]
        scores = np.stack([np.where(self.labels == index + 1, 0.6, 0.0) for index in range(len(prompts))])
        scores[0, 0] = np.maximum(scores[0, 0], 0.4)
        return SimpleNamespace(labels=lambda: self.labels, scores=scores.astype(np.float32))


def sample(labels: Sequence[Sequence[int]]) -> Labelled:
    truth = np.array(labels, np.int32)
    return Labelled(np.zeros((*truth.shape, 3), np.uint8), truth, "s")


def test_what_nobody_claims_is_background() -> None:
    engine, truth, classes = Painter([[0, 0], [1, 2]]), sample([[0, 1], [1, IGNORE]]), ("background", "cat", "dog")
    kept = Painted().predict(engine, truth, classes)
    assert engine.asked == ["cat", "dog"] and set(kept) == {"painted"} and kept["painted"].dtype == np.uint8
    score = Painted().score([(truth, kept)], classes)
    assert [row.name for row in score.rows] == [""] and score.samples == 1
    assert score.rows[0].values["pAcc"] == pytest.approx(2 / 3)
    assert score.rows[0].values["mIoU"] == pytest.approx((1 / 2 + 1 / 2) / 2)  # dog is ignored: neither seen nor marked
    assert [row.values["pixels"] for row in score.classes] == [1, 2, 0]


def test_without_background_a_pixel_takes_its_best_class_and_the_authors_forgive_background() -> None:
    engine, truth, classes = Painter([[0, 0], [1, 2]]), sample([[0, 1], [0, 0]]), ("cat", "dog")
    kept = Painted().predict(engine, truth, classes)
    assert kept["best"].tolist() == [[0, 0], [0, 1]]
    rows = dict(Painted().score([(truth, kept)], classes).rows)
    assert list(rows) == ["", MISSES, AUTHORS]
    assert rows[""]["pAcc"] == pytest.approx(2 / 4) and rows[""]["mIoU"] == pytest.approx((2 / 4 + 0) / 2)
    assert rows[MISSES]["pAcc"] == pytest.approx(1 / 4)
    assert rows[AUTHORS]["pAcc"] == pytest.approx(1 / 2)  # two pixels were painted, one of them right


def test_a_class_may_be_asked_by_another_text() -> None:
    engine = Painter([[0]])
    Painted((("cat", "cat feline"),)).predict(engine, sample([[0]]), ("background", "cat", "dog"))
    assert engine.asked == ["cat feline", "dog"]


def test_a_background_among_the_classes_is_refused() -> None:
    with pytest.raises(ValueError, match="class 1 is the background: expected it to be 0, or none"):
        Painted().score([], ("cat", "background"))


def test_the_engine_paints_by_its_own_threshold() -> None:
    assert Painted().settled("car", None) == Painted()
    with pytest.raises(ValueError, match="--threshold 0.5: the engine paints its own labels"):
        Painted().settled("car", 0.5)
