# SPDX-License-Identifier: Apache-2.0
"""Supports for phrases: of the same phrase, of another image, the same at every call."""

from __future__ import annotations

import numpy as np
import pytest

from clipseg_ros.datasets import Sample
from clipseg_ros.evaluation.phrase_supports import SupportedPhrases
from clipseg_ros.segmentation import Prompt


class Few:
    """Samples whose image is filled with their number; the fifth has an empty target."""

    phrases = ("cup", "cup", "cup", "lamp", "vase", "vase")
    image_ids = (1, 1, 2, 3, 5, 4)

    def __len__(self) -> int:
        return len(self.phrases)

    def __getitem__(self, index: int) -> Sample:
        target = np.full((1, 4, 4), index != 4)
        return Sample(np.full((4, 4, 3), index, np.uint8), (Prompt(self.phrases[index]),), target, str(index))


@pytest.fixture
def supported() -> SupportedPhrases:
    return SupportedPhrases(Few())


def supporting(sample: Sample) -> int | None:
    """The number of the sample that supports it."""
    support = sample.prompts[0].support
    return None if support is None else int(support.image[0, 0, 0])


def test_a_support_has_the_phrase_and_another_image(supported: SupportedPhrases) -> None:
    assert [supporting(supported[index]) for index in range(2)] == [2, 2]
    assert supporting(supported[2]) in (0, 1) and supported[2].prompts[0].text == "cup"


def test_a_phrase_of_one_image_has_none_and_an_empty_target_is_none(supported: SupportedPhrases) -> None:
    assert supporting(supported[3]) is None and supporting(supported[5]) is None
    assert supporting(supported[4]) == 5 and len(supported) == 6


def test_the_draw_is_the_same_at_every_call(supported: SupportedPhrases) -> None:
    assert supporting(supported[2]) == supporting(SupportedPhrases(Few())[2])
    assert {supporting(SupportedPhrases(Few(), seed)[2]) for seed in range(20)} == {0, 1}
