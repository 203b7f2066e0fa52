# SPDX-License-Identifier: Apache-2.0
"""Geometry there and back, scores and labels of logits, colours."""

import numpy as np
import pytest

from clipseg_ros.masks import (
    PALETTE,
    LogitMaps,
    best_labels,
    best_of,
    components,
    input_size,
    largest_component,
    overlay,
    palette,
    resize_image,
    sigmoid,
)

SIZES = [(480, 640), (640, 480), (720, 1280)]


def corner_boxes(size: tuple[int, int]) -> list[tuple[slice, slice]]:
    """A box of 1/4 by 1/5 of the image in each of its corners."""
    height, width = size[0] // 4, size[1] // 5
    return [
        (rows, columns)
        for rows in (slice(0, height), slice(-height, None))
        for columns in (slice(0, width), slice(-width, None))
    ]


def iou(first: np.ndarray, second: np.ndarray) -> float:
    return (first & second).sum() / (first | second).sum()


@pytest.mark.parametrize("corner", range(4))
@pytest.mark.parametrize("keep_aspect", [False, True])
@pytest.mark.parametrize("size", SIZES)
def test_a_shape_at_a_corner_comes_back_to_its_place(size: tuple[int, int], keep_aspect: bool, corner: int) -> None:
    image = np.zeros((*size, 3), np.uint8)
    image[corner_boxes(size)[corner]] = 255
    seen = resize_image(image, input_size(size, 352, 16, keep_aspect))
    logits = (seen[None, :, :, 0].astype(np.float32) - 127.5) / 10
    assert iou(LogitMaps(logits, size).labels(np.array([0.5])) == 1, image[..., 0] == 255) > 0.98


@pytest.mark.parametrize("size", [(3, 5), (600, 800), (100, 800)])
def test_resizing_keeps_the_mean_place_of_what_is_seen(size: tuple[int, int]) -> None:
    rows = np.linspace(0, 255, 400).astype(np.uint8)[:, None, None]
    image = np.broadcast_to(rows, (400, 400, 3)).copy()
    resized = resize_image(image, size)
    assert resized.shape == (*size, 3) and resized.dtype == np.uint8
    assert abs(resized.mean() - image.mean()) < 1.0
    assert (np.diff(resized[:, 0, 0].astype(int)) >= 0).all()


@pytest.mark.parametrize(
    ("size", "keep_aspect", "expected"),
    [
        ((480, 640), False, (352, 352)),
        ((480, 640), True, (304, 400)),
        ((640, 480), True, (400, 304)),
        ((720, 1280), True, (256, 464)),
        ((352, 352), True, (352, 352)),
        ((10, 10_000), True, (16, 11136)),
    ],
)
def test_input_sizes(size: tuple[int, int], keep_aspect: bool, expected: tuple[int, int]) -> None:
    assert input_size(size, 352, 16, keep_aspect) == expected


def test_the_sigmoid_does_not_overflow() -> None:
    values = sigmoid(np.array([-np.inf, -1e4, 0.0, 1.0, 1e4], np.float32))
    assert values.dtype == np.float32
    np.testing.assert_allclose(values, [0.0, 0.0, 0.5, 0.73105858, 1.0], rtol=1e-6)


@pytest.fixture(scope="module")
def maps() -> LogitMaps:
    return LogitMaps(np.random.default_rng(0).normal(0, 2, (4, 7, 9)).astype(np.float32), (30, 50))


THRESHOLDS = np.array([0.5, 0.9, 0.2, 0.7], np.float32)


def test_one_prompt_keeps_its_axis(maps: LogitMaps) -> None:
    one = LogitMaps(maps.logits[:1], maps.size)
    assert one.scores().shape == (1, 30, 50) and one.masks(THRESHOLDS[:1]).shape == (1, 30, 50)
    assert one.present(THRESHOLDS[:1]).shape == (1,)
    np.testing.assert_array_equal(one.score(), one.scores()[0])
    np.testing.assert_array_equal(one.scores()[0], maps.scores()[0])


def test_scores_are_the_sigmoid_of_the_resized_logits() -> None:
    scores = LogitMaps(np.array([[[-2.0, 2.0]]], np.float32), (1, 4)).scores()
    assert scores.dtype == np.float32
    np.testing.assert_allclose(scores, sigmoid(np.array([[[-2.0, -1.0, 1.0, 2.0]]])), rtol=1e-6)


def test_score_is_the_maximum_over_the_prompts(maps: LogitMaps) -> None:
    np.testing.assert_allclose(maps.score(), maps.scores().max(axis=0), rtol=1e-6)


def test_masks_are_the_scores_at_or_above_each_threshold(maps: LogitMaps) -> None:
    expected = maps.scores() >= THRESHOLDS[:, None, None]
    assert (maps.masks(THRESHOLDS) == expected).all() and 0 < expected[1].sum() < expected[2].sum()


def test_a_plane_of_nan_wins_nowhere_and_hides_nothing() -> None:
    planes = np.full((3, 2, 2), 1.0, np.float32)
    planes[0, 0, 0] = np.nan
    planes[2] = 2.0
    labels = best_labels(enumerate(planes), np.zeros(3, np.float32), (2, 2))
    np.testing.assert_array_equal(labels, np.full((2, 2), 3))


def test_labels_are_the_best_prompt_among_those_that_reach_their_threshold(maps: LogitMaps) -> None:
    scores = maps.scores()
    reaching = np.where(scores >= THRESHOLDS[:, None, None], scores, -1.0)
    expected = np.where(reaching.max(axis=0) > 0, reaching.argmax(axis=0) + 1, 0)
    labels = maps.labels(THRESHOLDS)
    assert labels.dtype == np.uint8 and set(np.unique(labels)) == {0, 1, 2, 3, 4}
    np.testing.assert_array_equal(labels, expected)


def test_ties_go_to_the_earlier_prompt() -> None:
    same = LogitMaps(np.ones((3, 2, 2), np.float32), (4, 4))
    assert (same.labels(np.array([0.9, 0.5, 0.5])) == 2).all()


def test_a_prompt_is_present_when_one_pixel_reaches_its_threshold(maps: LogitMaps) -> None:
    peaks = maps.scores().max(axis=(1, 2))
    assert maps.present(peaks - 1e-5).all()
    assert not maps.present(np.minimum(peaks + 1e-5, 1.0)).any()
    assert (maps.present(THRESHOLDS) == maps.masks(THRESHOLDS).any(axis=(1, 2))).all()


def test_a_threshold_of_one_is_out_of_reach_without_a_warning(maps: LogitMaps) -> None:
    with np.errstate(all="raise"):
        assert not maps.labels(np.ones(4, np.float32)).any()


def test_without_prompts_everything_is_empty_or_zero() -> None:
    none, thresholds = LogitMaps(np.empty((0, 7, 9), np.float32), (3, 5)), np.empty(0, np.float32)
    assert none.scores().shape == (0, 3, 5) and none.masks(thresholds).shape == (0, 3, 5)
    assert none.present(thresholds).shape == (0,)
    assert none.score().shape == (3, 5) and not none.score().any() and none.score().dtype == np.float32
    assert none.labels(thresholds).shape == (3, 5) and not none.labels(thresholds).any()


def test_the_palette_is_black_for_the_background_and_tells_neighbours_apart() -> None:
    assert PALETTE.shape == (256, 3) and PALETTE.dtype == np.uint8 and (PALETTE == palette()).all()
    assert not PALETTE[0].any()
    distances = np.abs(np.diff(PALETTE[1:].astype(int), axis=0)).sum(axis=1)
    assert distances.min() > 100
    assert len({tuple(colour) for colour in PALETTE[:21]}) == 21


@pytest.fixture
def painted() -> tuple[np.ndarray, np.ndarray]:
    labels = np.zeros((9, 9), np.uint8)
    labels[2:7, 2:7] = 3
    return np.full((9, 9, 3), 100, np.uint8), labels


def test_the_overlay_leaves_the_background_alone_and_copies(painted: tuple[np.ndarray, np.ndarray]) -> None:
    image, labels = painted
    result = overlay(image, labels, 0.5)
    assert result.shape == image.shape and result.dtype == np.uint8
    assert (result[labels == 0] == 100).all() and (image == 100).all()


def test_the_overlay_blends_inside_and_outlines_in_full_colour(painted: tuple[np.ndarray, np.ndarray]) -> None:
    image, labels = painted
    result = overlay(image, labels, 0.25)
    np.testing.assert_allclose(result[4, 4], 0.25 * PALETTE[3] + 75, atol=1)
    assert (result[2, 4] == PALETTE[3]).all()
    assert (overlay(image, labels, 0.0)[4, 4] == 100).all()
    assert (overlay(image, labels, 1.0)[labels == 3] == PALETTE[3]).all()


DOTS = np.array([[1, 0, 0, 1, 1], [0, 1, 0, 1, 1], [0, 0, 0, 0, 0], [1, 0, 0, 0, 1]], bool)
RAMP = np.arange(20, dtype=np.float32).reshape(4, 5) / 20


def test_components_have_the_box_area_and_mean_score_of_their_own_pixels() -> None:
    square, diagonal, *single = components(DOTS, RAMP, 1)
    assert square == pytest.approx((np.mean([3, 4, 8, 9]) / 20, 4, 3, 0, 2, 2))
    assert diagonal == pytest.approx((np.mean([0, 6]) / 20, 2, 0, 0, 2, 2))  # corners touch
    assert {part[1:] for part in single} == {(1, 0, 3, 1, 1), (1, 4, 3, 1, 1)}


@pytest.mark.parametrize("min_area, areas", [(1, [4, 2, 1, 1]), (2, [4, 2]), (4, [4]), (5, [])])
def test_components_below_the_least_area_are_left_out(min_area: int, areas: list[int]) -> None:
    assert [part.area for part in components(DOTS, RAMP, min_area)] == areas


@pytest.mark.parametrize("mask", [np.zeros((3, 4), bool), np.zeros((1, 1), bool)])
def test_an_empty_mask_has_no_component(mask: np.ndarray) -> None:
    assert components(mask, np.zeros(mask.shape, np.float32), 1) == []
    assert not largest_component(mask, 0).any()


def test_a_full_mask_is_one_component() -> None:
    full = np.ones((3, 4), bool)
    assert components(full, np.full((3, 4), 0.5, np.float32), 1) == [(0.5, 12, 0, 0, 4, 3)]
    assert largest_component(full, 12).all()


def test_the_largest_component_is_alone_and_large_enough() -> None:
    expected = np.zeros_like(DOTS)
    expected[:2, 3:] = True
    np.testing.assert_array_equal(largest_component(DOTS, 4), expected)
    assert not largest_component(DOTS, 5).any()


def test_the_best_mask_scores_highest_on_its_own_pixels() -> None:
    wide = np.array([[[1, 1, 1, 1]], [[1, 0, 0, 0]], [[0, 0, 0, 0]]], bool)
    scores = np.array([[[0.9, 0.5, 0.5, 0.5]], [[0.7, 0, 0, 0]], [[1, 1, 1, 1]]], np.float32)
    assert best_of(wide, scores) == 1
    assert best_of(wide[[2, 2]], scores[:2]) is None
    assert best_of(wide[[0, 0]], scores[[0, 0]]) == 0
