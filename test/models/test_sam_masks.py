# SPDX-License-Identifier: Apache-2.0
"""Masks matched with segments: the authors' results, and the guard against segments of the whole image."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from clipseg_ros.models.sam_masks import MatchRule, intersections_over_smaller, matched_masks, merged_mask

GOLDEN = Path(__file__).parents[1] / "golden" / "car" / "masks" / "sam_merge.npz"
WHOLE_IMAGE = 5  # index of a segment in the golden arrays


@pytest.fixture(scope="module")
def arrays() -> dict[str, np.ndarray]:
    with np.load(GOLDEN) as content:
        return {key: array > 0 if array.dtype == np.uint8 else array for key, array in content.items()}


def authors_rule(arrays: dict[str, np.ndarray], name: str) -> MatchRule:
    iom, min_pred, iou = arrays[f"params_{name}"].tolist()
    return MatchRule(iom, min_pred, None if iou < 0.0 else iou, guard=0.0)


def square(rows: slice, columns: slice) -> np.ndarray:
    mask = np.zeros((20, 20), bool)
    mask[rows, columns] = True
    return mask


@pytest.mark.parametrize("name", ["paper", "voc", "demo"])
def test_matching_is_the_authors(arrays: dict[str, np.ndarray], name: str) -> None:
    rule, masks, segments = authors_rule(arrays, name), arrays["crf_masks"], arrays["sam_masks"]
    overlap = intersections_over_smaller(masks, segments, rule.min_pred)
    np.testing.assert_allclose(overlap, np.nan_to_num(arrays[f"iom_{name}"]), atol=1e-6)
    np.testing.assert_array_equal(matched_masks(masks, segments, rule), arrays[f"out_{name}"])
    without = matched_masks(masks, segments[arrays["sam_sel_nofull"]], rule)
    np.testing.assert_array_equal(without, arrays[f"out_nofull_{name}"])


def test_the_guard_leaves_out_the_whole_image(arrays: dict[str, np.ndarray]) -> None:
    masks, segments = arrays["crf_masks"], arrays["sam_masks"]
    assert segments[WHOLE_IMAGE].all()
    found = matched_masks(masks, segments, MatchRule(0.7, 0.0, 0.7, guard=0.5))
    np.testing.assert_array_equal(found, arrays["out_nofull_paper"])
    assert (found[0] != masks[0]).any()


@pytest.mark.parametrize("suffix", ["", "2"])
def test_merging_sentences_is_the_authors(arrays: dict[str, np.ndarray], suffix: str) -> None:
    merged = merged_mask(arrays["crf_masks"], arrays[f"merge_scores{suffix}"])
    np.testing.assert_array_equal(merged, arrays[f"merge_out{suffix}"])


def test_a_merged_mask_needs_half_of_the_scores() -> None:
    masks = np.stack([square(slice(0, 10), slice(0, 20)), square(slice(0, 5), slice(0, 20))])
    np.testing.assert_array_equal(merged_mask(masks, np.array([0.4, 0.6])), masks[1])
    np.testing.assert_array_equal(merged_mask(masks, np.array([0.6, 0.4])), masks[0])


def test_a_merged_mask_that_is_too_small_becomes_the_union() -> None:
    masks = np.stack([square(slice(0, 2), slice(0, 2)), square(slice(0, 10), slice(0, 20))])
    np.testing.assert_array_equal(merged_mask(masks, np.array([0.9, 0.1])), masks[1])
    np.testing.assert_array_equal(merged_mask(masks, np.zeros(2)), masks[1])
    assert not merged_mask(masks[:0], np.zeros(0)).any()


def test_a_segment_that_is_a_small_part_counts_only_above_min_pred() -> None:
    mask, part = square(slice(0, 10), slice(0, 10))[None], square(slice(0, 2), slice(0, 2))[None]
    assert intersections_over_smaller(mask, part)[0, 0] == 1.0
    assert intersections_over_smaller(mask, part, min_pred=0.05)[0, 0] == pytest.approx(0.04)


@pytest.mark.parametrize("rule", [MatchRule(), MatchRule(iou=None), MatchRule(iou=None, guard=0.0)])
def test_without_masks_pixels_or_segments_nothing_changes(rule: MatchRule) -> None:
    nothing, one = np.zeros((1, 20, 20), bool), square(slice(0, 4), slice(0, 4))[None]
    assert not matched_masks(nothing, one, rule).any()
    np.testing.assert_array_equal(matched_masks(one, one[:0], rule), one)
    assert matched_masks(one[:0], one, rule).shape == (0, 20, 20)


def test_the_given_masks_are_not_written_to() -> None:
    mask, segment = square(slice(0, 10), slice(0, 10))[None], square(slice(0, 10), slice(0, 11))[None]
    assert matched_masks(mask, segment, MatchRule())[0, 5, 10]
    assert not mask[0, 5, 10]


def test_segments_of_another_size_are_refused() -> None:
    with pytest.raises(ValueError, match=r"segments of shape \(20, 21\): expected the masks', \(20, 20\)"):
        matched_masks(np.ones((1, 20, 20), bool), np.ones((1, 20, 21), bool), MatchRule())


def test_a_rule_out_of_range_is_refused() -> None:
    with pytest.raises(ValueError, match="sam iou 1.2: expected 0 to 1"):
        MatchRule(iou=1.2)
