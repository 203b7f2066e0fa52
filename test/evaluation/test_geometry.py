# SPDX-License-Identifier: Apache-2.0
"""Where benchmarks compare: nothing is shifted on wide and on tall images."""

from __future__ import annotations

import numpy as np
import pytest

from clipseg_ros.evaluation.geometry import Padded, Squashed, Whole

SIZES = [(96, 160), (160, 96), (64, 64), (700, 500)]


def image_and_target(size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    target = np.zeros(size, bool)
    target[size[0] // 2 : size[0] * 3 // 4, size[1] // 8 : size[1] // 2] = True
    return np.repeat(target[..., None], 3, axis=2).astype(np.uint8) * 255, target


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("geometry", [Whole(), Squashed(64), Padded(64)], ids=lambda one: type(one).__name__)
def test_what_is_bright_in_the_shown_image_lies_on_its_truth(geometry, size: tuple[int, int]) -> None:
    image, target = image_and_target(size)
    shown = geometry.image(image)
    scores = geometry.scores((shown[..., 0] / np.float32(255))[None].astype(np.float32), size)[0]
    truth = geometry.truth(target)
    assert scores.shape == truth.shape and truth.dtype == bool
    found = scores > 0.5
    assert (found & truth).sum() / (found | truth).sum() > 0.88


def test_squashing_takes_the_nearest_label_and_invents_none() -> None:
    labels = np.array([[-1, -1, 5, 5]] * 4, np.int32)
    small = Squashed(2).truth(labels)
    assert small.dtype == np.int32 and small.tolist() == [[-1, 5], [-1, 5]]


def test_padding_is_black_below_a_wide_image_and_beside_a_tall_one() -> None:
    shown = Padded(64).image(np.full((50, 100, 3), 200, np.uint8))
    assert shown.shape == (64, 64, 3)
    assert (shown[:32] == 200).all() and not shown[32:].any()
    tall = Padded(64).image(np.full((500, 3, 3), 9, np.uint8))
    assert (tall[:, :1] == 9).all() and not tall[:, 1:].any()


def test_no_prompt_has_no_scores_at_the_images_size() -> None:
    assert Padded(64).scores(np.empty((0, 64, 64), np.float32), (30, 40)).shape == (0, 30, 40)
