# SPDX-License-Identifier: Apache-2.0
"""Referring expressions: the sentences of an object joined as CLIP as RNN joins them, or each alone."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from clipseg_ros.datasets import Sample
from clipseg_ros.evaluation.referring_protocol import Referring
from clipseg_ros.segmentation import Prompt, Verdict

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
    sure_of_both = {**kept, "confidence": np.full(2, 0.5, np.float32)}
    assert Referring().score([(SAMPLE, sure_of_both)], ()).rows[0].values["mIoU"] == pytest.approx(40 / 46)
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
