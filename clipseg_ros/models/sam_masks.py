# SPDX-License-Identifier: Apache-2.0
"""Masks replaced by the segments of SAM that they stand for, and masks of sentences merged (CLIP as RNN, appendix)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

MERGED_SCORE = 0.5  # share of the sentences' scores that a pixel needs
MERGED_LEAST = 0.05  # share of the image that the merged mask covers at least, or every sentence counts


@dataclass(frozen=True)
class MatchRule:
    """Which segments make up a mask; with the defaults as the paper, and guarded against the whole image.

    iom: a segment matches above this intersection over the smaller of both. min_pred: a segment inside the mask counts
    only where it covers this share of the mask. iou: the union of the matches replaces the mask above this
    intersection over union; None replaces it always, as the authors' demo does. guard: segments of which less than
    this share lies in the mask are left out. At 0, as in the paper, a segment of the whole image matches every
    mask, whose union then fails the test, so that the mask stays as it was. Raises ValueError.
    """

    iom: float = 0.7
    min_pred: float = 0.0
    iou: float | None = 0.7
    guard: float = 0.5

    def __post_init__(self) -> None:
        for name in ("iom", "min_pred", "iou", "guard"):
            value = getattr(self, name)
            if value is not None and not 0.0 <= value <= 1.0:
                raise ValueError(f"sam {name} {value}: expected 0 to 1")


def intersections_over_smaller(masks: np.ndarray, segments: np.ndarray, min_pred: float = 0.0) -> np.ndarray:
    """(C, S) float64: intersection of mask (C, H, W) and segment (S, H, W), both bool, over the smaller; 0 if empty.

    min_pred as of MatchRule.
    """
    of_mask, of_segment = _shares(masks, segments)
    return np.maximum(np.where(of_mask < min_pred, 0.0, of_segment), of_mask)


def matched_masks(masks: np.ndarray, segments: np.ndarray, rule: MatchRule) -> np.ndarray:
    """(C, H, W) bool: masks (C, H, W) replaced by unions of segments (S, H, W), all bool, where rule says so.

    The best segment matches where none is good enough. Empty masks stay empty. Raises ValueError where sizes differ.
    """
    if masks.shape[1:] != segments.shape[1:]:
        raise ValueError(f"segments of shape {segments.shape[1:]}: expected the masks', {masks.shape[1:]}")
    overlap = intersections_over_smaller(masks, segments, rule.min_pred)
    allowed = _shares(masks, segments)[1] >= rule.guard
    result = masks.copy()
    for index, mask in enumerate(masks):
        candidates = np.flatnonzero(allowed[index])
        if mask.any() and len(candidates):
            values = overlap[index, candidates]
            matches = values > rule.iom
            chosen = candidates[matches] if matches.any() else candidates[[values.argmax()]]
            union = segments[chosen].any(axis=0)
            if rule.iou is None or _iou(union, mask) > rule.iou:
                result[index] = union
    return result


def merged_mask(masks: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """(H, W) bool: the one object that C sentences mean, of their masks (C, H, W) bool and scores (C,) of at least 0.

    A pixel belongs to it where sentences of half the scores say so; their union, where that would cover 5 % of the
    image or less, or no sentence has a score.
    """
    total = float(scores.sum())
    if total > 0.0:
        weight = np.tensordot(scores.astype(np.float64) / total, masks.astype(np.float64), axes=1)
        merged = weight >= MERGED_SCORE
        if merged.mean() > MERGED_LEAST:
            return merged
    return masks.any(axis=0)


def _shares(masks: np.ndarray, segments: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(C, S) float64 each: the shares of mask and of segment that lie in the other; 0 of what is empty."""
    pixels = masks.shape[1] * masks.shape[2]
    ours, theirs = (maps.reshape(-1, pixels).astype(np.float32) for maps in (masks, segments))
    common = (ours @ theirs.T).astype(np.float64)
    sizes = ours.sum(axis=1, dtype=np.float64)[:, None], theirs.sum(axis=1, dtype=np.float64)[None]
    of_mask, of_segment = (common / np.maximum(size, 1.0) for size in sizes)
    return of_mask, of_segment


def _iou(one: np.ndarray, other: np.ndarray) -> float:
    return np.count_nonzero(one & other) / np.count_nonzero(one | other)
