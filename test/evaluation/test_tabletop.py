# SPDX-License-Identifier: Apache-2.0
"""The benchmark of rendered scenes, run with engines whose result is known."""

from __future__ import annotations

import numpy as np
import pytest

from clipseg_ros.datasets import tabletop
from clipseg_ros.evaluation import tabletop as benchmark
from clipseg_ros.masks import LogitMaps
from clipseg_ros.segmentation import Segmentation

SEEDS = range(20_000_002, 20_000_005)  # one of them shows what an earlier one showed


class Oracle:
    """Scores `right` on the pixels of a prompt and `wrong` elsewhere."""

    def __init__(self, right: float, wrong: float) -> None:
        self.truth = {view.image.tobytes(): view.labels for view in map(self._view, SEEDS)}
        self.logits = np.log([wrong / (1 - wrong), right / (1 - right)]).astype(np.float32)

    def segment(self, image, prompts):
        labels = self.truth[image.tobytes()]
        targets = np.stack([np.isin(labels, list(self.classes(prompt))) for prompt in prompts])
        return Segmentation(tuple(prompts), LogitMaps(self.logits[targets.astype(int)], labels.shape), 0.5)

    def classes(self, prompt):
        if prompt.text:
            return tabletop.classes_of(prompt.text)
        return set(self.truth[prompt.support.image.tobytes()][prompt.support.mask].tolist())

    @staticmethod
    def _view(seed):
        return tabletop.render(tabletop.compose(seed), benchmark.HEIGHT, benchmark.WIDTH)


def test_a_perfect_engine_scores_one_and_raises_no_false_alarm():
    scores = benchmark.measure(Oracle(0.9, 0.1), SEEDS)
    index = benchmark.index_of(0.5)
    assert {value for value in scores.iou(index).values() if value == value} == {1.0}
    assert {round(value, 6) for value in scores.ap().values() if value == value} == {1.0}
    assert scores.iou(index)["support"] == 1.0
    assert scores.false_positive_rate(index) == 0.0 and scores.absent == 2 * len(SEEDS)


def test_an_engine_that_marks_everything_is_caught():
    scores = benchmark.measure(Oracle(0.9, 0.8), SEEDS)
    index = benchmark.index_of(0.5)
    assert scores.false_positive_rate(index) == 1.0 and max(scores.iou(index).values()) < 0.5


def test_what_is_asked_is_visible_but_for_the_last_two():
    labels = Oracle._view(SEEDS[0]).labels
    asked = benchmark.ask(labels, np.random.default_rng(0))
    pixels = [np.isin(labels, list(question.classes)).sum() for question in asked]
    assert [question.group for question in asked][-2:] == ["absent", "absent"] and pixels[-2:] == [0, 0]
    assert len(asked) > 3 and min(pixels[:-2]) >= 100


def test_a_support_is_of_an_earlier_scene_and_shows_what_is_asked_for():
    earlier = set()
    for view, questions in benchmark.ask_all(SEEDS):
        for question in (one for one in questions if one.group == "support"):
            assert question.prompt.support.image.tobytes() in earlier
            assert (view.labels == next(iter(question.classes))).sum() >= 100
        earlier.add(view.image.tobytes())
    assert not [one for _, questions in benchmark.ask_all(SEEDS, supports=False) for one in questions
                if one.group == "support"]


def counts_of(*pairs):
    labels = np.zeros((60, 80), np.uint8)
    for row, pair in enumerate(pairs):
        labels[20 * row : 20 * row + 18] = tabletop.class_id(*pair)
    return {question.group: question for question in benchmark.ask(labels, np.random.default_rng(0))}


def test_a_pair_that_training_never_saw_is_a_group_of_its_own():
    kind, colour = sorted(tabletop.UNSEEN_PAIRS)[0]
    asked = counts_of((kind, colour))
    assert asked["unseen pair"].prompt.text == f"{colour} {kind}"
    other = next(c for c in tabletop.COLOURS if (kind, c) not in tabletop.UNSEEN_PAIRS)
    assert "unseen pair" not in counts_of((kind, other))


def test_the_unseen_kind_is_asked_only_where_no_other_kind_has_the_affordance():
    assert "unseen kind" in counts_of(("stool", "red"), ("duck", "blue"))
    assert "unseen kind" not in counts_of(("stool", "red"), ("chair", "blue"))


def test_a_group_never_asked_has_no_score():
    assert np.isnan(benchmark.Scores().iou(0)["part"])
    assert np.isnan(benchmark.Scores().false_positive_rate(0))


@pytest.mark.parametrize("threshold", [0.1, 0.5, 0.99])
def test_the_index_of_a_threshold_is_its_own(threshold):
    assert benchmark.THRESHOLDS[benchmark.index_of(threshold)] == threshold
