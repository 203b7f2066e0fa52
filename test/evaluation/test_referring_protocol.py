# SPDX-License-Identifier: Apache-2.0
"""Referring expressions: the sentences of an object joined as CLIP as RNN joins them, or each alone."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from clipseg_ros.datasets import Sample
from clipseg_ros.evaluation.referring_protocol import Referring, join
from clipseg_ros.segmentation import Prompt, Verdict

GOLDEN = Path(__file__).parents[1] / "golden" / "car" / "joined_masks.npz"
MASKS = np.zeros((2, 10, 11), bool)
MASKS[0, :, :4] = True
MASKS[1, :2, 2:7] = True
SAMPLE = Sample(
    np.zeros((10, 11, 3), np.uint8), (Prompt("left one"), Prompt("the one")), np.repeat(MASKS[:1], 2, axis=0), "s"
)


def engine(*verdicts: Verdict) -> SimpleNamespace:
    """Finds MASKS with the scores 0.9 and 0.6."""
    scores = MASKS * np.array([0.9, 0.6])[:, None, None]
    found = SimpleNamespace(masks=lambda: MASKS, scores=scores, verdicts=verdicts)
    return SimpleNamespace(segment=lambda image, prompts: found)


@pytest.mark.parametrize("number", ["", "2"])
def test_masks_are_joined_as_the_authors_join_them(number: str) -> None:
    with np.load(GOLDEN) as golden:
        found = join(golden["crf_masks"] > 0, golden[f"merge_scores{number}"])
        np.testing.assert_array_equal(found, golden[f"merge_out{number}"] > 0)


def test_the_more_confident_half_decides_and_what_is_too_small_gives_way_to_the_union() -> None:
    np.testing.assert_array_equal(join(MASKS, np.array([0.7, 0.3])), MASKS[0])
    both = MASKS.any(axis=0)
    np.testing.assert_array_equal(join(MASKS, np.array([0.5, 0.5])), both)
    alike = np.stack([MASKS[0], MASKS[1], MASKS[1]])
    np.testing.assert_array_equal(join(alike, np.array([0.2, 0.4, 0.4])), MASKS[1])
    small = np.zeros((3, 10, 10), bool)
    small[0, 0, :5], small[1, 1, :3] = True, True  # 5 % agreed is too small
    np.testing.assert_array_equal(join(small, np.array([0.9, 0.1, 0.0])), small.any(axis=0))


def test_without_confidence_nothing_but_the_union_is_left() -> None:
    np.testing.assert_array_equal(join(MASKS, np.zeros(2)), MASKS.any(axis=0))
    assert not join(np.zeros((1, 4, 4), bool), np.zeros(1)).any()


def test_confidence_is_the_engines_word_and_nothing_for_what_it_dropped() -> None:
    kept = Referring().predict(engine(Verdict(0.7), Verdict(0.3, dropped_at=2)), SAMPLE, ())
    np.testing.assert_array_equal(kept["confidence"], np.array([0.7, 0.0], np.float32))
    kept = Referring().predict(engine(), SAMPLE, ())
    np.testing.assert_array_equal(kept["confidence"], np.array([0.9, 0.6], np.float32))


def test_an_object_counts_once_and_sentences_each() -> None:
    kept = Referring().predict(engine(Verdict(0.7), Verdict(0.3)), SAMPLE, ())
    assert kept["masks"].dtype == np.uint8 and kept["masks"].shape == (2, 10, 2)
    joined = Referring().score([(SAMPLE, kept)], ()).rows[0].values
    assert joined == {"mIoU": 1.0, "oIoU": 1.0, "P@0.5": 1.0, "prompts": 1}
    alone = Referring(joined=False).score([(SAMPLE, kept)], ()).rows[0].values
    assert alone["mIoU"] == pytest.approx((1 + 4 / 46) / 2) and alone["prompts"] == 2
    assert alone["oIoU"] == pytest.approx(44 / 86) and alone["P@0.5"] == 0.5


def test_an_object_that_is_not_found_counts_zero() -> None:
    nothing = {"masks": np.zeros((2, 10, 2), np.uint8), "confidence": np.zeros(2, np.float32)}
    assert Referring().score([(SAMPLE, nothing)], ()).rows[0].values["mIoU"] == 0.0


def test_the_engine_decides_on_its_masks() -> None:
    assert Referring().settled("car", None) == Referring() and Referring().pins() == Referring(False).pins()
    with pytest.raises(ValueError, match="--threshold 0.5: the engine decides on its masks"):
        Referring().settled("car", 0.5)
