# SPDX-License-Identifier: Apache-2.0
"""Masks that may be something, for OVSeg: from its own network or from SAM; which of them CLIP need not look at."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import torch
from torch.nn import functional as F

from clipseg_ros.models.maskformer import (
    IMAGENET_MEAN, IMAGENET_STD, STRIDE, ProposalNetwork, Proposals, class_logits,
)
from clipseg_ros.models.ovseg_scores import mask_probabilities
from clipseg_ros.models.sam import Sam
from clipseg_ros.models.weights import InputFormat

COARSE = 4  # pixels between the masks' own cells
FORM = InputFormat(0, IMAGENET_MEAN, IMAGENET_STD)


class Candidates(Protocol):
    """The masks of one picture (H, W): Q of them, in [0, 1]."""

    def coarse(self) -> torch.Tensor:
        """(Q, H / 4, W / 4) float32, where 4 divides both sides."""

    def full(self, rows: torch.Tensor) -> torch.Tensor:
        """(n, H, W) float32 of the masks `rows` (n,)."""


class NetworkCandidates:
    """Those of the weights' own network; vectors (Q, E): what each is, in CLIP's space."""

    def __init__(self, proposals: Proposals, padded: tuple[int, int], size: tuple[int, int]) -> None:
        self.vectors, self._logits = proposals.vectors[0], proposals.mask_logits[0].float()
        self._padded, self._size = padded, size

    def coarse(self) -> torch.Tensor:
        """See Candidates."""
        height, width = (-(-side // COARSE) for side in self._size)
        return self._logits[:, :height, :width].sigmoid()

    def full(self, rows: torch.Tensor) -> torch.Tensor:
        """See Candidates."""
        return mask_probabilities(self._logits[rows], self._padded, self._size)


class SegmentCandidates:
    """Segments (Q, H, W) bool, the best first, of which nothing else is known."""

    def __init__(self, segments: torch.Tensor) -> None:
        self.vectors, self._masks = None, segments

    def coarse(self) -> torch.Tensor:
        """See Candidates."""
        if not len(self._masks):
            return self._masks[:, ::COARSE, ::COARSE].float()
        return F.avg_pool2d(self._masks[:, None].float(), COARSE, ceil_mode=True)[:, 0]

    def full(self, rows: torch.Tensor) -> torch.Tensor:
        """See Candidates."""
        return self._masks[rows].float()


def propose(network: ProposalNetwork, picture: np.ndarray) -> NetworkCandidates:
    """Of picture (H, W, 3) uint8 RGB, padded on the right and below to whole strides."""
    size = picture.shape[:2]
    padded = tuple(-(-side // STRIDE) * STRIDE for side in size)
    pixels = torch.zeros(1, 3, *padded)
    pixels[..., : size[0], : size[1]] = FORM.normalise(picture)
    return NetworkCandidates(network(pixels.to(network.no_object.device)).last, padded, size)


def segments(sam: Sam, picture: np.ndarray, device: str) -> SegmentCandidates:
    """Of picture (H, W, 3) uint8 RGB: every segment that SAM sees in it."""
    return SegmentCandidates(torch.from_numpy(sam.segments(picture)).to(device))


def emptiness(vectors: torch.Tensor, names: torch.Tensor, no_object: torch.Tensor) -> torch.Tensor:
    """(Q,) float32: probability that vectors (Q, E) are of no object, among the classes of training (K, E)."""
    return class_logits(vectors, names, no_object).softmax(dim=-1)[:, -1]


def pruned(
    masks: torch.Tensor, empty: torch.Tensor, threshold: float, min_area: float, no_object: float, nms_iou: float,
    top_k: int,
) -> torch.Tensor:
    """(n,) int64, ascending: the rows of masks (Q, h, w) in [0, 1] that are worth a look.

    empty: (Q,), probability of no object. A mask counts where it is above `threshold`; dropped are those that cover no
    cell or less than the share min_area, those emptier than no_object, of two of a larger IoU than nms_iou the worse,
    and all but the top_k best, unless that is 0. Better is what has a larger (1 - empty) times its mean inside.
    """
    hard = masks > threshold
    cells = hard.sum(dim=(1, 2))
    there = (cells > 0) & (cells >= min_area * masks.shape[1] * masks.shape[2]) & (empty <= no_object)
    inside = (masks * hard).sum(dim=(1, 2)) / cells.clamp(min=1)
    quality = torch.where(there, (1.0 - empty) * inside, -1.0)
    order = quality.argsort(descending=True, stable=True)[: int(there.sum())]
    if nms_iou < 1.0:
        order = order[_distinct(hard[order], nms_iou)]
    return (order[:top_k] if top_k else order).sort().values


def _distinct(masks: torch.Tensor, most: float) -> torch.Tensor:
    """(n,) int64: rows of masks (M, h, w) bool, the best first, whose IoU with none kept before is above `most`."""
    flat = masks.flatten(1).float()
    common = flat @ flat.T
    sizes = common.diagonal()
    overlaps = (common > most * (sizes[:, None] + sizes[None] - common)).cpu().numpy()
    kept: list[int] = []
    for row in range(len(overlaps)):
        if not overlaps[row, kept].any():
            kept.append(row)
    return torch.tensor(kept, dtype=torch.int64, device=masks.device)
