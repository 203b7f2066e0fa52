# SPDX-License-Identifier: Apache-2.0
"""OVSeg's oracle analysis (Figure 1c of the paper): which half of a two-stage method holds it back.

Oracle masks: the true masks of a picture, named by the CLIP. Oracle classifier: for each class in a picture the
network's mask that fits it best, rightly named. What is neither is the method itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from clipseg_ros.datasets import IGNORE, Labelled
from clipseg_ros.evaluation.labels_protocol import Labels
from clipseg_ros.evaluation.ovseg_reader import RegionReader
from clipseg_ros.evaluation.results import Score

SHIFT, SCALE, TURN, EDGE = 0.08, (0.85, 1.2), 10.0, 0.06


def true_masks(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Masks (N, H, W) bool, one for each class in labels (H, W), and their classes (N,); IGNORE has none."""
    present = np.unique(labels)
    present = present[present != IGNORE]
    return labels == present[:, None, None], present


def oracle_scores(masks: np.ndarray, labels: np.ndarray, count: int) -> np.ndarray:
    """(Q, count) float32: of masks (Q, H, W) bool the one of highest IoU with the true mask of each class in labels
    (H, W) has that IoU, all else is 0; pixels without class are not counted."""
    counted = labels != IGNORE
    flat = (masks & counted).reshape(len(masks), labels.size).astype(np.float32)
    scores = np.zeros((len(masks), count), np.float32)
    for truth, number in zip(*true_masks(labels)):
        common = flat @ truth.ravel().astype(np.float32)
        overlaps = common / (flat.sum(axis=1) + truth.sum() - common)
        if len(overlaps) and overlaps.max() > 0:
            scores[overlaps.argmax(), number] = overlaps.max()
    return scores


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


@dataclass(frozen=True)
class Oracle:
    """A protocol of label maps in which one half is right, scored as labels_protocol.Labels is.

    masks: the true masks, named by the CLIP; else the proposals, rightly named.
    """

    masks: bool

    def pins(self) -> str:
        """What predictions depend on."""
        return "true masks" if self.masks else "true classes"

    def settled(self, engine: str, threshold: float | None) -> Oracle:
        """Itself. Raises ValueError for a threshold."""
        Labels().settled(engine, threshold)
        return self

    def predict(self, engine: RegionReader, sample: Labelled, classes: Sequence[str]) -> dict[str, np.ndarray]:
        """labels: (H, W) int32 class numbers, IGNORE where no mask is."""
        if not self.masks:
            masks = engine.propose(sample.image)
            return {"labels": painted(oracle_scores(masks, sample.labels, len(classes)), masks)}
        masks, _ = true_masks(sample.labels)
        best = engine.cosines(sample.image, masks, classes).argmax(axis=1)
        return {"labels": painted((best[:, None] == np.arange(len(classes))).astype(np.float32), masks)}

    def score(self, pairs: Iterable[tuple[Labelled, dict[str, np.ndarray]]], classes: Sequence[str]) -> Score:
        """mIoU, pAcc and mAcc."""
        return Labels().score(pairs, classes)
