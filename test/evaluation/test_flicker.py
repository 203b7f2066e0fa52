# SPDX-License-Identifier: Apache-2.0
"""Which surface points are followed, what counts as a change, and that smoothing of a noisy engine is seen."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from clipseg_ros.datasets import tabletop
from clipseg_ros.evaluation import flicker
from clipseg_ros.masks import LogitMaps
from clipseg_ros.segmentation import Prompt, Segmentation

SEED = flicker.VALIDATION[0]
K = np.array([[10.0, 0.0, 4.5], [0.0, 10.0, 2.5], [0.0, 0.0, 1.0]])


def wall(right: float = 0.0, depth: float = 1.0, label: int = 1) -> tabletop.View:
    """6 x 10 pixels of a wall 1 m ahead; the camera stands `right` metres to the right, one pixel each 0.1 m."""
    pose = np.eye(4)
    pose[0, 3] = right
    shape = (6, 10)
    return tabletop.View(np.zeros((*shape, 3), np.uint8), np.full(shape, depth, np.float32),
                         np.full(shape, label, np.uint8), K, pose)


def test_points_move_against_the_camera_and_leave_its_sight() -> None:
    start, end = flicker.stable(wall(), wall(right=0.3))
    assert set(start % 10 - end % 10) == {3} and (start // 10 == end // 10).all()
    assert sorted(set(start % 10)) == [3, 4, 5, 6, 7, 8, 9] and len(start) == 6 * 7


def test_a_point_behind_another_surface_is_not_followed() -> None:
    later = wall()
    later.depth[:, :4] = 0.9
    start, end = flicker.stable(wall(), later)
    assert (start == end).all() and set(start % 10) == {4, 5, 6, 7, 8, 9}


def test_a_point_is_followed_only_where_there_is_a_surface_and_its_class_stays() -> None:
    view, later = wall(), wall()
    view.depth[:3] = np.nan
    later.depth[3] = np.nan
    later.labels[4] = 2
    start, _ = flicker.stable(view, later)
    assert set(start // 10) == {5}


def test_a_camera_that_turned_its_back_sees_nothing_again() -> None:
    view, later = wall(), wall()
    later.pose[:3, :3] = np.diag([-1.0, 1.0, -1.0])
    assert len(flicker.stable(view, later)[0]) == 0


def test_flicker_is_changes_of_stable_points_in_a_second() -> None:
    views = [wall(), wall(), wall()]
    still, changed = np.ones((6, 10), np.uint8), np.ones((6, 10), np.uint8)
    changed[0, :6] = 0
    tally = flicker.Tally()
    assert np.isnan(tally.flicker) and np.isnan(tally.iou)
    question = flicker.Question(Prompt("mug"), frozenset([1]))
    tally.add([still, changed, changed], views, [question], [flicker.stable(*pair) for pair in zip(views, views[1:])])
    assert (tally.changes, tally.points) == (6, 120)
    assert tally.flicker == pytest.approx(0.05 * flicker.RATE)
    assert tally.iou == pytest.approx((60 + 54 + 54) / 180)


def test_prompts_are_visible_and_share_no_visible_class() -> None:
    labels = np.zeros((60, 80), np.uint8)
    pairs = [("mug", "red"), ("chair", "blue"), ("duck", "red")]
    for row, pair in enumerate(pairs):
        labels[20 * row : 20 * row + 18] = tabletop.class_id(*pair)
    visible = {tabletop.class_id(*pair) for pair in pairs}
    groups = set()
    for seed in range(12):
        asked = flicker.ask(labels, np.random.default_rng(seed))
        seen = [question.classes & visible for question in asked]
        assert all(seen) and sum(map(len, seen)) == len(frozenset().union(*seen))
        assert 2 <= len(asked) <= 3
        groups |= {question.prompt.text.split()[0] for question in asked}
    assert {"something", "red"} <= groups
    assert flicker.ask(np.zeros((60, 80), np.uint8), np.random.default_rng(0)) == []


class Nervous:
    """Knows the truth of the views, and calls a fifth of the cells, anew in each picture, the contrary."""

    threshold = 0.5

    def __init__(self, frames: int) -> None:
        self._rng = np.random.default_rng(0)
        scene = tabletop.compose(SEED)
        views = [
            tabletop.render(scene, flicker.HEIGHT, flicker.WIDTH, index * step / flicker.RATE)
            for step in flicker.SPEEDS.values()
            for index in range(frames)
        ]
        self._truth = {view.image.tobytes(): view.labels for view in views}

    def segment(self, image: np.ndarray, prompts: list[Prompt]) -> Segmentation:
        labels = cv2.resize(self._truth[image.tobytes()], (160, 120), interpolation=cv2.INTER_NEAREST)
        target = np.stack([np.isin(labels, list(tabletop.classes_of(prompt.text))) for prompt in prompts])
        wrong = self._rng.uniform(size=target.shape) < 0.2
        return Segmentation(tuple(prompts), LogitMaps(np.where(target ^ wrong, 4.0, -4.0).astype(np.float32),
                                                      image.shape[:2]), 0.5)


def test_smoothing_calms_a_nervous_engine_and_finds_more() -> None:
    tallies = flicker.measure(Nervous(3), [SEED], (0.0, 0.7), frames=3)
    for speed in flicker.SPEEDS:
        plain, calm = tallies[speed, 0.0], tallies[speed, 0.7]
        assert calm.points == plain.points > 100_000
        assert calm.flicker < 0.6 * plain.flicker and calm.iou > 1.5 * plain.iou


def test_nothing_flickers_above_every_threshold() -> None:
    tallies = flicker.measure(Nervous(2), [SEED], (0.0,), threshold=0.999, frames=2)
    assert {(tally.flicker, tally.iou) for tally in tallies.values()} == {(0.0, 0.0)}
