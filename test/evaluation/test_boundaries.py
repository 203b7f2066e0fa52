# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math

import numpy as np
import pytest

from clipseg_ros.evaluation.boundaries import (
    RegionContour,
    contour,
    contour_f,
    dilated,
    object_score,
    objects_score,
    region_j,
)

NOTHING = np.zeros((6, 8), bool)
BLOCK = np.zeros((6, 8), bool)
BLOCK[2:4, 3:6] = True


def moved(pixels: int, size: tuple[int, int] = (60, 80)) -> np.ndarray:
    """A 20x20 square in a frame of this size, moved to the right."""
    mask = np.zeros(size, bool)
    mask[20:40, 20 + pixels : 40 + pixels] = True
    return mask


def test_contour_is_one_pixel_wide_and_lies_left_of_and_above_the_step():
    drawn = ["".join(".#"[int(pixel)] for pixel in row) for row in contour(BLOCK)]
    assert drawn == ["........", "..####..", "..#..#..", "..####..", "........", "........"]


def test_a_mask_of_the_whole_image_has_no_contour():
    assert not contour(~NOTHING).any()


def test_a_mask_at_the_lower_right_edge_has_no_contour_outside():
    corner = np.zeros((3, 3), bool)
    corner[2, 2] = True
    assert contour(corner).astype(int).tolist() == [[0, 0, 0], [0, 1, 1], [0, 1, 0]]


@pytest.mark.parametrize("reach", [0, 1, 2, 3, 5])
def test_dilated_takes_in_every_centre_within_reach(reach):
    point = np.zeros((11, 13), bool)
    point[4, 6] = True
    rows, columns = np.indices(point.shape)
    assert np.array_equal(dilated(point, reach), (rows - 4) ** 2 + (columns - 6) ** 2 <= reach**2)


def test_a_contour_within_the_tolerance_is_right():
    # the diagonal of 60x80 is 100 pixels: 0.008 of it, rounded up, is 1
    assert contour_f(moved(1), moved(0)) == 1.0


def test_a_contour_beyond_the_tolerance_is_right_where_it_still_runs_along():
    # moved by 2: the two upright sides are off, the level ones stay but for their ends
    assert 0.4 < contour_f(moved(2), moved(0)) < 0.7
    assert contour_f(moved(2), moved(0), tolerance=0.02) == 1.0


def test_tolerance_grows_with_the_image():
    assert contour_f(moved(4, (480, 854)), moved(0, (480, 854))) == 1.0


def test_f_is_the_harmonic_mean_of_precision_and_recall():
    target = moved(0)
    mask = target.copy()
    mask[50:54, 60:64] = True  # adds a contour of 16 pixels to one of 80
    precision = np.count_nonzero(contour(target)) / np.count_nonzero(contour(mask))
    assert contour_f(mask, target) == pytest.approx(2 * precision / (precision + 1))


@pytest.mark.parametrize(
    ("mask", "target", "expected"), [(NOTHING, NOTHING, 1), (BLOCK, NOTHING, 0), (NOTHING, BLOCK, 0)]
)
def test_an_object_out_of_sight_is_right_when_nothing_is_marked(mask, target, expected):
    assert region_j(mask, target) == contour_f(mask, target) == expected


def test_a_mask_far_away_has_neither_region_nor_contour():
    far = np.roll(moved(0), 38, axis=1)
    assert region_j(far, moved(0)) == contour_f(far, moved(0)) == 0.0


def test_j_and_f_is_the_mean_of_both():
    assert RegionContour(j=0.5, f=1.0).j_and_f == 0.75


def test_frames_are_averaged_before_objects():
    long = object_score([BLOCK, BLOCK, NOTHING], [BLOCK, BLOCK, BLOCK])
    short = object_score([BLOCK], [BLOCK])
    assert long == (2 / 3, 2 / 3)
    assert objects_score([long, short]) == pytest.approx((5 / 6, 5 / 6))


def test_no_frames_and_no_objects_are_undefined():
    assert all(math.isnan(value) for value in (*object_score([], []), *objects_score([])))


def test_a_missing_frame_is_refused():
    with pytest.raises(ValueError, match="1 masks for 2 targets"):
        object_score([BLOCK], [BLOCK, BLOCK])


@pytest.mark.parametrize("metric", [region_j, contour_f])
def test_masks_that_cannot_be_compared_are_refused(metric):
    with pytest.raises(ValueError, match="two bool arrays of one size"):
        metric(BLOCK, BLOCK.astype(np.uint8))
