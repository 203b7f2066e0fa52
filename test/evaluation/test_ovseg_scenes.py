# SPDX-License-Identifier: Apache-2.0
"""OVSeg's halves on rendered scenes, with a network and a CLIP that know everything or nothing."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from clipseg_ros.datasets import IGNORE, tabletop
from clipseg_ros.evaluation.ovseg_scenes import NAMES, UNSEEN, _boxes, labels_of, measure, superpixels
from clipseg_ros.evaluation.tabletop import TESTS

SEEDS = TESTS[:2]


def nothing(image: np.ndarray) -> np.ndarray:
    return np.zeros((3, *image.shape[:2]), bool)


@cache
def labels_by_image() -> dict[bytes, np.ndarray]:
    """The labels of each scene by its pixels."""
    views = (tabletop.render(tabletop.compose(seed), 240, 320) for seed in SEEDS)
    return {view.image.tobytes(): labels_of(view.labels) for view in views}


def knowing(image: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """The right class of true masks, by the scene that the image is."""
    labels = labels_by_image()[image.tobytes()]
    shares = [[(labels[mask] == number).mean() for number in range(len(NAMES))] for mask in masks]
    return np.reshape(shares, (len(masks), len(NAMES)))


def test_who_knows_everything_is_right_and_no_mask_finds_nothing() -> None:
    rows = {name: tally.values() for name, tally in measure(nothing, knowing, SEEDS).items()}
    assert rows["true masks"]["named"] == 1.0 and rows["true masks"]["mIoU"] > 0.9
    assert rows["perturbed true masks"]["named"] == 1.0
    assert 0.4 < rows["perturbed true masks, true classes"]["mIoU"] < 0.95
    assert 0.0 < rows["superpixels, true classes"]["mIoU"] < 0.9
    assert rows["proposals"]["mIoU"] == rows["proposals, true classes"]["mIoU"] == 0.0


def test_names_are_colours_and_kinds_and_sixteen_pairs_are_unseen() -> None:
    assert NAMES[0] == "red mug" and len(NAMES) == 136 and len(UNSEEN) == 16
    assert {NAMES[number] for number in UNSEEN} >= {"orange bus", "green bottle"}
    assert labels_of(np.array([[0, 1, 136]], np.uint8)).tolist() == [[IGNORE, 0, 135]]


def test_superpixels_cover_the_picture_once_and_keep_to_colours() -> None:
    image = np.zeros((240, 320, 3), np.uint8)
    image[60:180, 90:210] = (255, 255, 0)
    found = superpixels(image)
    assert found.shape == (40, 240, 320) and (found.sum(axis=0) == 1).all()
    shares = np.array([image[mask, 0].mean() / 255.0 if mask.any() else 0.0 for mask in found])
    mixed = found[(shares > 0.05) & (shares < 0.95)]  # along edges, since 320 is no multiple of 3
    assert mixed.sum() < 0.02 * image[..., 0].size and (shares > 0.95).sum() > 3


def test_boxes_are_filled_and_tight() -> None:
    masks = np.zeros((1, 5, 6), bool)
    masks[0, 1, 2] = masks[0, 3, 4] = True
    assert _boxes(masks)[0].sum() == 9 and _boxes(masks)[0, 1:4, 2:5].all()


@pytest.mark.parametrize("count", [0, 1])
def test_scenes_are_those_that_are_asked(count: int) -> None:
    rows = measure(nothing, knowing, TESTS[:count])
    assert len(rows) == (8 if count else 0)
