# SPDX-License-Identifier: Apache-2.0
"""Polygons and run lengths. The COCO masks and strings were made by pycocotools 2.0 and are written out here."""

from __future__ import annotations

import numpy as np
import pytest

from clipseg_ros.datasets import DatasetError
from clipseg_ros.datasets.polygons import (
    coco_parts, coco_polygon, covered_once, decode_rle, outlined, points, run_lengths, union,
)

SIZE = (6, 8)


def rows(mask: np.ndarray) -> list[str]:
    return ["".join("#" if value else "." for value in row) for row in mask]


def test_phrasecut_draws_the_outline_and_cuts_corners_to_whole_pixels():
    mask = outlined([np.array([[1.9, 1.9], [4.9, 1.9], [4.9, 3.9], [1.9, 3.9]])], SIZE)
    assert rows(mask) == ["........", ".####...", ".####...", ".####...", "........", "........"]


def test_fewer_than_three_corners_draw_nothing():
    assert not outlined([np.array([[1.0, 1.0], [6.0, 4.0]]), np.zeros((0, 2))], SIZE).any()
    assert coco_parts([[1.0, 1.0, 6.0, 4.0]], SIZE) == []


def test_polygons_are_united_where_they_overlap():
    corners = np.array([[1, 1], [3, 1], [3, 3], [1, 3]])
    mask = outlined([corners, corners + 1], SIZE)
    assert rows(mask) == ["........", ".###....", ".####...", ".####...", "..###...", "........"]


def test_coco_covers_a_pixel_when_its_middle_is_inside():
    assert rows(coco_polygon(points([1, 1, 4, 1, 4, 3, 1, 3]), SIZE)) == [
        "........", ".###....", ".###....", "........", "........", "........",
    ]


# pycocotools: frPyObjects([[...]], 12, 16) of the polygon, encoded; then decoded here
POLYGONS = {
    "leaves_the_image": ([-3.0, 2.5, 9.3, -2.0, 18.0, 6.6, 7.2, 14.0], "1571O2M2O1OX21fM2O1N2NM"),
    "crosses_itself": ([1.2, 1.7, 14.6, 10.9, 13.4, 0.8, 2.1, 11.3], ">3:5JO2N2N1O=0C1O2O1N1017I1"),
    "concave": ([2.0, 1.0, 13.5, 1.0, 8.0, 4.5, 13.5, 10.0, 2.0, 10.0], "i0930000000000JN22NO11N11ON31MO40o0"),
}


@pytest.mark.parametrize("name", POLYGONS)
def test_coco_polygon_is_what_pycocotools_draws(name):
    values, encoded = POLYGONS[name]
    expected = decode_rle(run_lengths(encoded), (12, 16))
    assert rows(coco_polygon(points(values), (12, 16))) == rows(expected)


def test_compressed_lengths_are_differences_from_the_fourth_on():
    assert run_lengths("n05X1MkNj1Q3") == [30, 5, 40, 2, 3, 60, 100]


def test_runs_go_down_the_columns():
    assert rows(decode_rle([7, 3, 38], SIZE)) == [
        "........", ".#......", ".#......", ".#......", "........", "........",
    ]


def test_rle_may_be_compressed_or_not():
    (plain,) = coco_parts({"size": [6, 8], "counts": [7, 3, 38]}, SIZE)
    (packed,) = coco_parts({"size": [6, 8], "counts": "73V1"}, SIZE)
    np.testing.assert_array_equal(plain, packed)


def test_overlapping_parts_are_kept_or_fall_out():
    parts = coco_parts([[1, 1, 5, 1, 5, 4, 1, 4], [3, 2, 7, 2, 7, 5, 3, 5]], SIZE)
    assert rows(union(parts, SIZE)) == ["........", ".####...", ".######.", ".######.", "...####.", "........"]
    assert rows(covered_once(parts, SIZE)) == ["........", ".####...", ".##..##.", ".##..##.", "...####.", "........"]


@pytest.mark.parametrize(
    ("segmentation", "message"),
    [
        ("none", "expected a list of polygons"),
        ([["a", "b"]], "expected pairs of numbers"),
        ([[1.0, 2.0, 3.0]], "expected pairs of numbers"),
        ([[1.0, 2.0, float("nan"), 3.0, 5.0, 5.0]], "expected numbers within"),
        ([[1e9, 2.0, 3.0, 4.0, 5.0, 6.0]], "expected numbers within"),
        ({"size": [6, 9], "counts": [54]}, "size"),
        ({"size": [6, 8]}, "expected counts"),
        ({"size": [6, 8], "counts": [40]}, "add up to 6x8"),
        ({"size": [6, 8], "counts": [49, -1]}, "whole numbers"),
        ({"size": [6, 8], "counts": [24.0, 24]}, "whole numbers"),
        ({"size": [6, 8], "counts": "!!"}, "no character"),
        ({"size": [6, 8], "counts": "7P"}, "end within a number"),
    ],
)
def test_a_damaged_segmentation_is_named(segmentation, message):
    with pytest.raises(DatasetError, match=message):
        coco_parts(segmentation, SIZE)
