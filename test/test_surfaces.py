# SPDX-License-Identifier: Apache-2.0
"""Points of masked pixels, where a thing is, and how thin a cloud gets; by hand and on rendered scenes."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from clipseg_ros import surfaces
from clipseg_ros.datasets import tabletop
from clipseg_ros.masks import largest_component

K = np.array([[100.0, 0.0, 2.0], [0.0, 50.0, 1.0], [0.0, 0.0, 1.0]])
NAN = np.nan


def test_a_pixel_at_the_principal_point_is_straight_ahead() -> None:
    mask = np.ones((3, 5), bool)
    points, pixels = surfaces.surface(mask, np.full((3, 5), 2.0, np.float32), K)
    assert points.dtype == np.float32 and pixels.tolist() == list(range(15))
    np.testing.assert_allclose(points[7], (0.0, 0.0, 2.0))
    np.testing.assert_allclose(points[0], (-0.04, -0.04, 2.0), rtol=1e-6)  # right and down are positive
    np.testing.assert_allclose(points[14], (0.04, 0.04, 2.0), rtol=1e-6)


def test_pixels_without_depth_or_outside_the_mask_are_left_out() -> None:
    depth = np.array([[1.0, NAN, 0.0], [-1.0, np.inf, 2.0]], np.float32)
    points, pixels = surfaces.surface(np.array([[1, 1, 1], [1, 1, 0]], bool), depth, K)
    assert pixels.tolist() == [0] and points[0, 2] == 1.0


@pytest.mark.parametrize("depth", [0.0, NAN])
def test_a_mask_without_depth_has_no_place(depth: float) -> None:
    assert surfaces.locate(np.ones((4, 4), bool), np.full((4, 4), depth, np.float32), K) is None
    assert surfaces.locate(np.zeros((4, 4), bool), np.ones((4, 4), np.float32), K) is None


def test_one_pixel_has_a_place_and_no_extent() -> None:
    mask = np.zeros((4, 4), bool)
    mask[1, 2] = True
    centre, extent = surfaces.locate(mask, np.full((4, 4), 2.0, np.float32), K)
    np.testing.assert_allclose(centre, (0.0, 0.0, 2.0))
    np.testing.assert_array_equal(extent, 0.0)


def box_on_a_table() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Depth (240, 320) of a box 20 cm wide and 10 cm high, 5 cm above a table 1 m below the camera; its mask; K."""
    depth = np.full((240, 320), 1.0, np.float32)
    mask = np.zeros((240, 320), bool)
    mask[100:148, 140:236] = True
    depth[mask] = 0.95
    return depth, mask, np.array([[456.0, 0.0, 159.5], [0.0, 456.0, 119.5], [0.0, 0.0, 1.0]])


def test_a_thing_reaches_as_far_as_it_is_large() -> None:
    depth, mask, intrinsics = box_on_a_table()
    centre, extent = surfaces.locate(mask, depth, intrinsics)
    np.testing.assert_allclose(centre, (28 / 456 * 0.95, 4 / 456 * 0.95, 0.95), atol=1e-6)
    np.testing.assert_allclose(extent, (0.2, 0.1, 0.0), atol=0.005)


def test_what_a_mask_takes_of_the_table_does_not_move_the_thing() -> None:
    depth, mask, intrinsics = box_on_a_table()
    wide = mask.copy()
    wide[100:148, 236:260] = True
    centre, extent = surfaces.locate(wide, depth, intrinsics)
    np.testing.assert_allclose(centre, surfaces.locate(mask, depth, intrinsics).centre, atol=1e-6)
    np.testing.assert_allclose(extent, (0.2, 0.1, 0.0), atol=0.005)


def test_a_thing_as_flat_as_the_table_keeps_its_place() -> None:
    depth, mask, intrinsics = box_on_a_table()
    depth[:] = 1.0
    centre, _ = surfaces.locate(mask, depth, intrinsics)
    np.testing.assert_allclose(centre, (28 / 456, 4 / 456, 1.0), atol=1e-6)


def test_what_a_mask_takes_of_the_far_wall_does_not_move_the_thing() -> None:
    depth, mask, intrinsics = box_on_a_table()
    rng = np.random.default_rng(0)
    depth[~mask] = rng.uniform(2.0, 5.0, np.count_nonzero(~mask))  # no plane
    wide = mask.copy()
    wide[92:100, 140:236] = True
    centre, _ = surfaces.locate(wide, depth, intrinsics)
    np.testing.assert_allclose(centre, (28 / 456 * 0.95, 4 / 456 * 0.95, 0.95), atol=1e-6)


def spoilt(mask: np.ndarray, how: str, strength: int) -> np.ndarray:
    """A mask as models get them wrong: too small, too large, or beside the thing."""
    if strength == 0:
        return mask
    pixels, disc = mask.astype(np.uint8), cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * strength + 1,) * 2)
    if how == "eroded":
        return cv2.erode(pixels, disc) > 0
    if how == "dilated":
        return cv2.dilate(pixels, disc) > 0
    step = {"up": (0, -1), "down": (0, 1), "left": (-1, 0), "right": (1, 0)}[how]
    move = np.float32([[1, 0, strength * step[0]], [0, 1, strength * step[1]]])
    return cv2.warpAffine(pixels, move, pixels.shape[::-1], flags=cv2.INTER_NEAREST) > 0


def iou(first: np.ndarray, second: np.ndarray) -> float:
    return (first & second).sum() / (first | second).sum()


@pytest.fixture(scope="module")
def views() -> list[tabletop.View]:
    pytest.importorskip("embreex", reason="rendering needs the extra [scenes]")
    return [tabletop.render(tabletop.compose(seed), 240, 320) for seed in range(90_000_000, 90_000_006)]


@pytest.mark.parametrize("how", ["eroded", "dilated", "up", "down", "left", "right"])
def test_masks_of_iou_0_8_put_a_rendered_thing_within_2_cm(views: list[tabletop.View], how: str) -> None:
    errors, plain = [], []
    for view in views:
        for id_ in np.unique(view.labels[view.labels > 0]):
            thing = largest_component(view.labels == id_, 1)
            if np.count_nonzero(thing) < 200:
                continue
            truth = surfaces.surface(thing, view.depth, view.intrinsics).points.mean(axis=0)
            masks = [spoilt(thing, how, strength) for strength in range(12)]
            mask = [mask for mask in masks if iou(mask, thing) > 0.8][-1]
            target = surfaces.locate(mask, view.depth, view.intrinsics)
            errors.append(np.linalg.norm(target.centre - truth))
            mean = surfaces.surface(mask, view.depth, view.intrinsics).points.mean(axis=0)
            plain.append(np.linalg.norm(mean - truth))
    assert len(errors) >= 20 and np.median(errors) < 0.01
    assert max(errors) < 0.02, np.sort(errors)[-3:]
    assert how == "eroded" or max(plain) > 0.03  # the mean of all that the mask holds would not do


def test_a_cube_keeps_one_point_of_each_label() -> None:
    points = np.array([[0.001, 0, 1], [0.009, 0, 1], [0.009, 0, 1], [0.011, 0, 1], [-0.001, 0, 1]], np.float32)
    assert surfaces.thinned(points, np.array([1, 1, 2, 1, 1], np.uint8), 0.01).tolist() == [0, 2, 3, 4]
    assert surfaces.thinned(points, np.array([1, 1, 2, 1, 1], np.uint8), 1.5).tolist() == [0, 2, 4]
    assert surfaces.thinned(np.empty((0, 3), np.float32), np.empty(0, np.uint8), 0.01).tolist() == []


def test_far_points_do_not_fall_into_near_cubes() -> None:
    rng = np.random.default_rng(0)
    points = rng.uniform(-60.0, 60.0, (2000, 3)).astype(np.float32)
    labels = rng.integers(1, 255, 2000).astype(np.uint8)
    cells = {(*cell, label) for cell, label in zip(np.floor(points / np.float32(0.001)).astype(int).tolist(), labels)}
    assert len(surfaces.thinned(points, labels, 0.001)) == len({tuple(map(str, cell)) for cell in cells})
