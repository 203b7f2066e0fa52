# SPDX-License-Identifier: Apache-2.0
"""From the proposals that are left to scores: dense CRF, segments of SAM, stuff below things."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from clipseg_ros import crf
from clipseg_ros.crf import DenseCrf
from clipseg_ros.engines.car_settings import CarSettings
from clipseg_ros.engines.planes import resized
from clipseg_ros.models.sam_masks import MatchRule, matched_masks

CRF_MEAN_BGR = np.array((104.008, 116.669, 122.675), np.float32)


def even_score(settings: CarSettings) -> float:
    """The score at which a pixel is as likely of the best prompt as of the background.

    0.5 of what the CRF gives; of proposals the y at which y = (1 - y) ** background_exponent.
    """
    low, high = 0.0, 1.0
    for _ in range(40):
        middle = (low + high) / 2.0
        below = middle < (1.0 - middle) ** settings.background_exponent
        low, high = (middle, high) if below else (low, middle)
    return 0.5 if settings.crf else high


def finished(
    image: np.ndarray, groups: Sequence[np.ndarray], settings: CarSettings, device: str = "cpu"
) -> np.ndarray:
    """(K, H, W) or (K, h, w) float32: scores of image (H, W, 3) from proposals (C, h, w) a group, things before stuff.

    A pixel that a thing claims is no stuff. device: of the CRF. Raises CrfMissing.
    """
    size, parts = image.shape[:2], [group for group in groups if len(group)]
    if settings.crf:
        parts = [sharpened(image, _full_size(group, size), settings, device) for group in parts]
    if len(parts) == 2:
        things, stuff = (_full_size(group, size) for group in parts)
        parts = [things, np.where(things.max(axis=0) >= even_score(settings), np.float32(0.0), stuff)]
    return np.concatenate(parts) if parts else np.zeros((0, 1, 1), np.float32)


def _full_size(planes: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    return np.stack([resized(plane, size) for plane in planes])


def sharpened(
    image: np.ndarray, proposals: np.ndarray, settings: CarSettings, device: str = "cpu"
) -> np.ndarray:
    """(K, H, W) float32: how likely each proposal (K, H, W) is against the background, by the dense CRF of the image.

    Where proposals exclude each other, the label of highest probability is the best score of at least 0.5, else the
    background. In referring mode each is alone with its own background. Raises CrfMissing.
    """
    numbers = DenseCrf(
        settings.crf_iterations, settings.crf_smooth_deviation, settings.crf_smooth_weight,
        settings.crf_edge_deviation, settings.crf_edge_colour, settings.crf_edge_weight, settings.crf_scale, device,
    )
    seen = _wrapped(image) if settings.crf_wraps else image
    if settings.mode == "referring":
        return crf.separate_marginals(seen, proposals, numbers, settings.background_exponent)
    marginals = crf.joint_marginals(seen, proposals, numbers, settings.background_exponent)
    return marginals[1:] / np.maximum(marginals[1:] + marginals[:1], np.float32(1e-12))


def _wrapped(image: np.ndarray) -> np.ndarray:
    """(H, W, 3) uint8: BGR less its mean, modulo 256, the CRF's image in the authors' code."""
    return (image[..., ::-1].astype(np.float32) - CRF_MEAN_BGR).astype(np.int32).astype(np.uint8)


def of_segments(
    scores: np.ndarray, confidences: np.ndarray, segments: np.ndarray, settings: CarSettings
) -> np.ndarray:
    """(K, H, W) float32: the masks of scores (K, h, w) or (K, H, W), made of SAM's segments (S, H, W) bool.

    Inside a mask its score is 0.5 and more by the prompt's confidence (K,), so that the surest lies on top; else 0.
    """
    rule = MatchRule(settings.sam_iom, settings.sam_min_pred, settings.sam_iou, settings.sam_guard)
    scores = _full_size(scores, segments.shape[1:])
    masks = scores >= even_score(settings)
    if settings.mode == "semantic":
        masks &= scores == scores.max(axis=0)
    return matched_masks(masks, segments, rule) * (0.5 + 0.5 * confidences[:, None, None]).astype(np.float32)
