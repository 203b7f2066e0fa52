# SPDX-License-Identifier: Apache-2.0
"""Binary masks against thresholds: engines whose scores are known, numbers counted by hand."""

from __future__ import annotations

import math
from collections.abc import Sequence
from types import SimpleNamespace

import numpy as np
import pytest

from clipseg_ros.datasets import Sample
from clipseg_ros.evaluation.geometry import Squashed
from clipseg_ros.evaluation.masks_protocol import Asking, Masks
from clipseg_ros.evaluation.results import AUTHORS, Score
from clipseg_ros.segmentation import Prompt, Support

BLANK = np.zeros((4, 8, 3), np.uint8)
SUPPORT = Support(BLANK, np.ones((4, 8), bool))


class Known:
    """Answers with given scores (N, H, W) and remembers what it was asked."""

    def __init__(self, scores: np.ndarray) -> None:
        self.scores, self.asked = scores.astype(np.float32), []

    def segment(self, image: np.ndarray, prompts: Sequence[Prompt]) -> SimpleNamespace:
        self.asked += prompts
        self.size = image.shape[:2]
        return SimpleNamespace(scores=self.scores)


def area(pixels: int) -> np.ndarray:
    """(4, 8) bool with the first `pixels` set."""
    return (np.arange(32) < pixels).reshape(4, 8)


def sample(*pixels: int, classes: tuple[int, ...] = (), ignore: np.ndarray | None = None) -> Sample:
    prompts = tuple(Prompt(f"thing {index}") for index in range(len(pixels)))
    return Sample(BLANK, prompts, np.stack([area(count) for count in pixels]), "s", classes, ignore)


def scored(protocol: Masks, *cases: tuple[Sample, np.ndarray]) -> Score:
    return protocol.score([(one, protocol.predict(Known(scores), one, ())) for one, scores in cases], ())


def rows(score: Score) -> dict[str, dict[str, float]]:
    return {row.name: row.values for row in score.rows}


def test_a_perfect_mask_scores_one_but_not_by_the_authors_count() -> None:
    found = rows(scored(Masks(0.3), (sample(8), np.where(area(8), 0.9, 0.1)[None])))
    assert found[""] == {"t": 0.3, "mIoU": 1.0, "IoU_FG": 1.0, "IoU_BIN": 1.0, "AP": 1.0}
    assert found[AUTHORS]["IoU_FG"] == pytest.approx(8 / 9)
    assert list(found) == ["", AUTHORS]


def test_miou_is_the_mean_over_prompts_and_iou_fg_weighs_pixels() -> None:
    score = scored(Masks(0.5), (sample(4, 16), np.stack([area(8), area(16)]).astype(float)))
    assert rows(score)[""]["mIoU"] == pytest.approx((0.5 + 1.0) / 2)
    assert rows(score)[""]["IoU_FG"] == pytest.approx(20 / 24)
    assert score.samples == 1 and not score.classes


def test_with_classes_counts_of_a_class_are_summed_before_the_mean() -> None:
    cases = [(sample(4, classes=(7,)), 8), (sample(12, classes=(7,)), 12), (sample(10, classes=(2,)), 5)]
    score = scored(Masks(0.5), *((one, area(found)[None].astype(float)) for one, found in cases))
    assert rows(score)[""]["mIoU"] == pytest.approx((16 / 20 + 5 / 10) / 2)
    assert [(row.name, row.values["IoU"]) for row in score.classes] == [("thing 0", 0.5), ("thing 0", 0.8)]
    assert rows(score)[AUTHORS]["mIoU"] == pytest.approx((16 / 21 + 5 / 11) / 2)


def test_ignored_pixels_count_neither_way() -> None:
    score = scored(Masks(0.5), (sample(8, ignore=area(16) & ~area(8)), area(16)[None].astype(float)))
    assert rows(score)[""]["IoU_FG"] == 1.0


def test_without_a_threshold_the_best_one_is_taken_and_said() -> None:
    score = scored(Masks(), (sample(8), np.where(area(8), 0.83, 0.77)[None]))
    assert rows(score)[""] == {"mIoU": 1.0, "IoU_FG": 1.0, "IoU_BIN": 1.0, "AP": 1.0}
    assert "suits the test data best" in score.notes[0]


def test_a_prompt_absent_from_the_image_costs_where_it_is_marked() -> None:
    marked, unmarked = (scored(Masks(0.5), (sample(0), np.full((1, 4, 8), value))) for value in (1.0, 0.0))
    assert rows(marked)[""]["mIoU"] == 0.0
    assert math.isnan(rows(unmarked)[""]["mIoU"]) and math.isnan(rows(unmarked)[AUTHORS]["AP"])


def test_targets_are_told_apart_by_their_size() -> None:
    cases = np.stack([area(4), area(32), area(32)]).astype(float)
    found = rows(scored(Masks(0.5, sizes=(0.2, 0.6)), (sample(4, 16, 32), cases)))
    ranges = {name: values for name, values in found.items() if name.startswith("targets")}
    assert [(v["mIoU"], v["prompts"]) for v in ranges.values()] == [(1.0, 1), (0.5, 1), (1.0, 1)]
    assert list(ranges)[1] == "targets of 20 to 60 % of the image"


def test_the_papers_threshold_for_an_engine_gives_way_to_the_users() -> None:
    masks = Masks(0.3, others=(("vitseg", 0.2),))
    assert [masks.settled(engine, None).threshold for engine in ("clipseg", "vitseg")] == [0.3, 0.2]
    assert masks.settled("vitseg", 0.5).threshold == 0.5
    with pytest.raises(ValueError, match="--threshold 0.25: scores are counted at 0.02, 0.04 .. 0.98"):
        masks.settled("clipseg", 0.25)


def test_scores_survive_being_kept_in_16_bits() -> None:
    score = np.linspace(0, 1, 32).reshape(1, 4, 8)
    kept = Masks().predict(Known(score), sample(3), ())
    assert kept["scores"].dtype == np.uint16
    assert np.abs(kept["scores"] / 65535 - score).max() <= 0.5 / 65535 + 1e-7


def test_the_engine_sees_the_geometry_of_the_benchmark() -> None:
    engine = Known(np.zeros((1, 16, 16)))
    Masks(geometry=Squashed(16)).predict(engine, sample(3), ())
    assert engine.size == (16, 16)


@pytest.mark.parametrize(
    ("use", "expected"),
    [
        ("text", {0: ("a dog.", None), 2: ("a cow.", None)}),
        ("support", {1: ("", SUPPORT), 2: ("", SUPPORT)}),
        ("both", {2: ("a cow.", SUPPORT)}),
    ],
)
def test_prompts_are_asked_as_the_benchmark_says_and_the_others_left_out(use: str, expected: dict) -> None:
    prompts = (Prompt("dog"), Prompt(support=SUPPORT), Prompt("cow", SUPPORT))
    asked = Asking(use, "a {}.").of(prompts)
    assert {index: (prompt.text, prompt.support) for index, prompt in asked.items()} == expected


def test_a_prompt_left_out_is_reported_and_one_with_a_support_is_scored_by_its_own_target() -> None:
    one = Sample(BLANK, (Prompt("dog"), Prompt("cow", SUPPORT)), np.stack([area(1), area(9)]), "s", (4, 6))
    score = scored(Masks(0.5, Asking("support")), (one, area(9)[None].astype(float)))
    assert rows(score)[""]["IoU_FG"] == 1.0
    assert score.notes == ("1 prompts have no support and were left out",)
    assert [row.name for row in score.classes] == ["cow"]


def test_a_data_set_that_cannot_be_asked_so_is_refused() -> None:
    with pytest.raises(ValueError, match="no prompt of 1 samples could be asked by support"):
        scored(Masks(0.5, Asking("support")), (sample(3), np.empty((0, 4, 8))))


def test_an_unknown_use_is_refused() -> None:
    with pytest.raises(ValueError, match="use 'image' of prompts: expected one of text, support, both"):
        Asking("image")
