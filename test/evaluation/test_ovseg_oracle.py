# SPDX-License-Identifier: Apache-2.0
"""The oracle analysis by hand: true masks, what a mask covers most, what is painted, masks that are a little off."""

from __future__ import annotations

import numpy as np

from clipseg_ros.datasets import IGNORE
from clipseg_ros.evaluation.ovseg_oracle import oracle_scores, painted, perturbed, true_masks

LABELS = np.array([[0, 0, 2, 2], [0, IGNORE, IGNORE, 2]], np.int32)


def test_every_class_there_has_a_mask() -> None:
    masks, classes = true_masks(LABELS)
    assert classes.tolist() == [0, 2] and masks.dtype == bool
    assert masks.tolist() == [(LABELS == 0).tolist(), (LABELS == 2).tolist()]
    nothing, none = true_masks(np.full((2, 2), IGNORE))
    assert nothing.shape == (0, 2, 2) and len(none) == 0


def test_each_class_there_names_the_mask_that_fits_it_best() -> None:
    masks = np.zeros((4, 2, 4), bool)
    masks[0], masks[1, :, 2:], masks[2, 0, 1:3], masks[3, 1, 1:3] = True, True, True, True
    scores = oracle_scores(masks, LABELS, 3)
    assert scores[:, 0].tolist() == [0.5, 0.0, 0.0, 0.0] and not scores[:, 1].any()
    assert scores[:, 2].tolist() == [0.0, 1.0, 0.0, 0.0]  # pixels without class are not counted
    assert not oracle_scores(masks[3:], LABELS, 3).any() and oracle_scores(masks[:0], LABELS, 3).shape == (0, 3)


def test_pixels_take_the_best_sum_and_those_without_a_mask_none() -> None:
    scores = np.array([[0.6, 0.4], [0.3, 0.7], [0.3, 0.7]])
    masks = np.array([[[1, 1, 0, 0]], [[0, 1, 1, 0]], [[0, 1, 0, 0]]], bool)
    assert painted(scores, masks).tolist() == [[0, 1, 1, IGNORE]]
    assert painted(np.zeros((0, 2)), np.zeros((0, 1, 4), bool)).tolist() == [[IGNORE] * 4]
    assert painted(np.zeros((1, 0)), np.ones((1, 1, 4), bool)).tolist() == [[IGNORE] * 4]


def test_perturbed_masks_are_a_little_off_and_never_empty() -> None:
    mask = np.zeros((100, 120), bool)
    mask[30:70, 40:90] = True
    rng, ious = np.random.default_rng(0), []
    for _ in range(50):
        found = perturbed(mask, rng)
        ious.append((found & mask).sum() / (found | mask).sum())
    assert 0.4 < min(ious) and max(ious) < 1.0 and 0.6 < np.mean(ious) < 0.9
    dot = np.zeros((5, 5), bool)
    dot[2, 2] = True
    assert all(perturbed(dot, rng).any() for _ in range(50))
