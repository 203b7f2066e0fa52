# SPDX-License-Identifier: Apache-2.0
"""Region similarity J and contour accuracy F of video objects, as DAVIS defines them.

Perazzi et al., "A Benchmark Dataset and Evaluation Methodology for Video Object Segmentation", CVPR 2016, section 4.
Other than the rest of this room's metrics, both are means over frames: a frame where an object is neither visible nor
marked counts 1, as there.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np

from clipseg_ros.evaluation.metrics import check_pair, counts, iou, mean

TOLERANCE = 0.008  # of the image's diagonal


class RegionContour(NamedTuple):
    """J and F, each in [0, 1]."""

    j: float
    f: float

    @property
    def j_and_f(self) -> float:
        """J&F: the mean of both."""
        return (self.j + self.f) / 2


def region_j(mask: np.ndarray, target: np.ndarray) -> float:
    """IoU of mask and target, both (H, W) bool; 1 where both are empty. Raises ValueError for anything else."""
    observed = counts(mask, target)
    return iou(*observed) if any(observed) else 1.0


def contour_f(mask: np.ndarray, target: np.ndarray, tolerance: float = TOLERANCE) -> float:
    """F of the contours of mask and target, both (H, W) bool: 2 P R / (P + R).

    P is the share of the mask's contour within `tolerance` (of the diagonal, rounded up to whole pixels) of the
    target's contour, R the reverse. Where neither has a contour F is 1, where one has none it is 0.
    Raises ValueError for anything but two bool arrays of one size.
    """
    check_pair(mask, target)
    found, wanted = contour(mask), contour(target)
    reach = math.ceil(tolerance * math.hypot(*mask.shape))
    precision = _share_within(found, wanted, reach)
    recall = _share_within(wanted, found, reach)
    total = precision + recall
    return 2 * precision * recall / total if total else 0.0


def contour(mask: np.ndarray) -> np.ndarray:
    """(H, W) bool: pixels that differ from the neighbour to the right, below, or right below, inside the image.

    The contour is one pixel wide and lies left of and above the step; a mask that covers the whole image has none.
    """
    padded = np.pad(mask, ((0, 1), (0, 1)), mode="edge")
    here = padded[:-1, :-1]
    edge = (here != padded[:-1, 1:]) | (here != padded[1:, :-1])
    edge[:-1, :-1] |= mask[:-1, :-1] != mask[1:, 1:]
    return edge


def _share_within(points: np.ndarray, line: np.ndarray, reach: int) -> float:
    if not points.any():
        return 1.0
    return np.count_nonzero(points & dilated(line, reach)) / np.count_nonzero(points)


def dilated(mask: np.ndarray, reach: int) -> np.ndarray:
    """(H, W) bool: pixels within `reach` pixels of the mask, by the distance of their centres."""
    offsets = np.arange(-reach, reach + 1)
    disk = np.hypot(*np.meshgrid(offsets, offsets)) <= reach
    return cv2.dilate(mask.astype(np.uint8), disk.astype(np.uint8)).astype(bool)


def object_score(masks: Sequence[np.ndarray], targets: Sequence[np.ndarray]) -> RegionContour:
    """J and F of one object, each the mean over its frames, (H, W) bool; nan without frames.

    Raises ValueError where masks and targets differ in number.
    """
    if len(masks) != len(targets):
        raise ValueError(f"{len(masks)} masks for {len(targets)} targets: expected one of each for every frame")
    pairs = list(zip(masks, targets))
    return RegionContour(mean(region_j(*pair) for pair in pairs), mean(contour_f(*pair) for pair in pairs))


def objects_score(objects: Sequence[RegionContour]) -> RegionContour:
    """J and F of a data set: the mean over its objects, however long their videos are; nan without objects."""
    return RegionContour(mean(score.j for score in objects), mean(score.f for score in objects))
