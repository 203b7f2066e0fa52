# SPDX-License-Identifier: Apache-2.0
"""OVSeg's oracle analysis (Figure 1c of the paper): which half of a two-stage method holds it back.

Oracle masks: the true masks of a picture, named by the CLIP. Oracle classifier: the network's masks, each named by the
class that it covers most. What is neither is the method itself.
"""

from __future__ import annotations

import cv2
import numpy as np

from clipseg_ros.datasets import IGNORE

SHIFT, SCALE, TURN, EDGE = 0.08, (0.85, 1.2), 10.0, 0.06


def true_masks(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Masks (N, H, W) bool, one for each class in labels (H, W), and their classes (N,); IGNORE has none."""
    present = np.unique(labels)
    present = present[present != IGNORE]
    return labels == present[:, None, None], present


def most_covered(masks: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """(Q,) the class of labels (H, W) that each of masks (Q, H, W) bool has most pixels of, IGNORE where it has none
    of any class; ties go to the lower class."""
    counted = labels != IGNORE
    count = int(labels.max(initial=0)) + 1
    found = np.full(len(masks), IGNORE)
    for index, mask in enumerate(masks):
        pixels = np.bincount(labels[mask & counted], minlength=count)
        if pixels.any():
            found[index] = pixels.argmax()
    return found


def one_hot(classes: np.ndarray, count: int) -> np.ndarray:
    """(Q, count) float32: 1 for the class of each proposal; a row of zeros for IGNORE."""
    return (classes[:, None] == np.arange(count)).astype(np.float32)


def painted(scores: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """(H, W) int32: every pixel's class of highest sum of score (Q, K) times mask (Q, H, W), IGNORE where no mask with
    any score is; ties go to the lower class."""
    summed = np.einsum("qk,qhw->khw", scores.astype(np.float32), masks.astype(np.float32))
    if not len(summed):
        return np.full(masks.shape[1:], IGNORE, np.int32)
    return np.where(summed.max(axis=0) > 0, summed.argmax(axis=0), IGNORE).astype(np.int32)


def perturbed(mask: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(H, W) bool: a mask as a network might propose it: moved, stretched and turned a little, its edge moved in or
    out; the mask itself where nothing would be left of it."""
    (top, bottom), (left, right) = ((int(x.min()), int(x.max()) + 1) for x in np.nonzero(mask))
    height, width = bottom - top, right - left
    centre = ((left + right) / 2.0, (top + bottom) / 2.0)
    move = cv2.getRotationMatrix2D(centre, rng.uniform(-TURN, TURN), rng.uniform(*SCALE))
    move[:, 2] += rng.uniform(-SHIFT, SHIFT, 2) * (width, height)
    found = cv2.warpAffine(mask.astype(np.uint8), move, mask.shape[::-1], flags=cv2.INTER_NEAREST)
    reach = int(rng.integers(0, max(1, round(EDGE * min(height, width))) + 1))
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
    found = (cv2.erode if rng.random() < 0.5 else cv2.dilate)(found, kernel) > 0
    return found if found.any() else mask
