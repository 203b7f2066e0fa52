# SPDX-License-Identifier: Apache-2.0
"""The benchmark of rendered scenes, run with engines whose result is known."""

from __future__ import annotations

import numpy as np
import pytest

from clipseg_ros.datasets import tabletop
from clipseg_ros.evaluation import tabletop as benchmark
from clipseg_ros.masks import LogitMaps
from clipseg_ros.segmentation import Segmentation

SEEDS = range(20_000_000, 20_000_003)


class Oracle:
    """Scores `right` on the pixels of a prompt and `wrong` elsewhere."""

    def __init__(self, right: float, wrong: float) -> None:
        self.truth = {view.image.tobytes(): view.labels for view in map(self._view, SEEDS)}
        self.logits = np.log([wrong / (1 - wrong), right / (1 - right)]).astype(np.float32)

    def segment(self, image, prompts):
        labels = self.truth[image.tobytes()]
        targets = np.stack([np.isin(labels, list(tabletop.classes_of(prompt.text))) for prompt in prompts])
        return Segmentation(tuple(prompts), LogitMaps(self.logits[targets.astype(int)], labels.shape), 0.5)

    @staticmethod
    def _view(seed):
        return tabletop.render(tabletop.compose(seed), benchmark.HEIGHT, benchmark.WIDTH)


def test_a_perfect_engine_scores_one_and_raises_no_false_alarm():
    scores = benchmark.measure(Oracle(0.9, 0.1), SEEDS)
    index = benchmark.index_of(0.5)
    assert {value for value in scores.iou(index).values() if value == value} == {1.0}
    assert scores.false_positive_rate(index) == 0.0 and scores.absent == 2 * len(SEEDS)


def test_an_engine_that_marks_everything_is_caught():
    scores = benchmark.measure(Oracle(0.9, 0.8), SEEDS)
    index = benchmark.index_of(0.5)
    assert scores.false_positive_rate(index) == 1.0 and max(scores.iou(index).values()) < 0.5


def test_the_best_threshold_lies_between_right_and_wrong_scores():
    scores = benchmark.measure(Oracle(0.7, 0.32), SEEDS)
    assert 0.32 < benchmark.best_threshold(scores) <= 0.7


def test_without_an_acceptable_threshold_the_one_with_fewest_false_alarms_wins():
    scores = benchmark.Scores(absent=10)
    scores.marked[:] = 9
    scores.marked[7] = 5
    for counts in scores.counts.values():
        counts[:] = (5, 5, 5)
    assert benchmark.best_threshold(scores) == benchmark.THRESHOLDS[7]


def test_what_is_asked_is_visible_but_for_the_last_two():
    labels = Oracle._view(SEEDS[0]).labels
    asked = benchmark.ask(labels, np.random.default_rng(0))
    pixels = [np.isin(labels, list(phrase.classes)).sum() for _, phrase in asked]
    assert [group for group, _ in asked][-2:] == ["absent", "absent"] and pixels[-2:] == [0, 0]
    assert len(asked) > 3 and min(pixels[:-2]) >= 100


def test_a_group_never_asked_has_no_score():
    assert np.isnan(benchmark.Scores().iou(0)["part"])
    assert np.isnan(benchmark.Scores().false_positive_rate(0))


@pytest.mark.parametrize("threshold", [0.1, 0.5, 0.99])
def test_the_index_of_a_threshold_is_its_own(threshold):
    assert benchmark.THRESHOLDS[benchmark.index_of(threshold)] == threshold
