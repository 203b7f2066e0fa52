# SPDX-License-Identifier: Apache-2.0
"""ZegCLIP's losses, and the labels that its self-training makes up (Zhou et al., CVPR 2023, and the authors' code).

Labels are (B, H, W) integers: 0 .. C - 1 are the classes in play, UNSEEN marks pixels of classes kept from training,
IGNORED everything without a class; logits are (B, C, h, w) and are resized bilinearly to the labels first.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch.nn import functional as F

UNSEEN, IGNORED = -1, 255
FOCAL_WEIGHT, DICE_WEIGHT = 100.0, 1.0
ALPHA, GAMMA = 0.25, 2.0


class NonExclusive(NamedTuple):
    """The two parts of the non-mutually-exclusive loss, weighted; their sum is what is minimised."""

    focal: torch.Tensor
    dice: torch.Tensor


def non_exclusive(logits: torch.Tensor, labels: torch.Tensor) -> NonExclusive:
    """Every class for itself, as the authors' code has it: 100 focal + dice, y the one-hot labels, p the sigmoids.

    focal (Lin et al., ICCV 2017) = 1/n sum over all B C maps of the mean over pixels of a (1 - q)^2 (-log q), where
    q = p and a = 0.25 if y, else q = 1 - p and a = 0.75; pixels without a class are negatives of every class.
    dice = 1/n sum over the n pairs of a picture and a class in it of 1 - (2 sum p y + 1) / (sum p + sum y + 1).
    n is at least 1. The paper squares dice's sums, has no alpha, and leaves both weights open.
    """
    logits = _resized(logits, labels)
    targets = _targets(logits, labels)
    there = targets.flatten(2).any(dim=2)
    pairs = there.sum().clamp_min(1)
    probabilities = logits.sigmoid()
    entropy = F.binary_cross_entropy_with_logits(logits, targets.to(logits.dtype), reduction="none")
    missed = torch.where(targets, 1.0 - probabilities, probabilities)
    share = torch.where(targets, ALPHA, 1.0 - ALPHA)
    focal = (share * missed**GAMMA * entropy).mean(dim=(2, 3)).sum() / pairs
    overlap, total = (probabilities * targets).sum((2, 3)), probabilities.sum((2, 3)) + targets.sum((2, 3))
    dice = ((1.0 - (2.0 * overlap + 1.0) / (total + 1.0)) * there).sum() / pairs
    return NonExclusive(FOCAL_WEIGHT * focal, DICE_WEIGHT * dice)


def exclusive(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Classes that compete, the paper's baseline: the mean over pixels with a class y of -log softmax(logits)_y.

    0 where no pixel has one.
    """
    logits = _resized(logits, labels)
    inside = (labels >= 0) & (labels < logits.shape[1])
    entropy = F.cross_entropy(logits, labels.where(inside, IGNORED).long(), ignore_index=IGNORED, reduction="sum")
    return entropy / inside.sum().clamp_min(1)


def binary(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """The plain loss of the paper's Table 6: every class for itself, binary cross-entropy without weights.

    1/n sum over all B C maps of the mean over pixels, n as in non_exclusive; the paper does not say how it is averaged.
    """
    logits = _resized(logits, labels)
    targets = _targets(logits, labels)
    entropy = F.binary_cross_entropy_with_logits(logits, targets.to(logits.dtype), reduction="none")
    return entropy.mean(dim=(2, 3)).sum() / targets.flatten(2).any(dim=2).sum().clamp_min(1)


LOSSES: dict[str, Callable[[torch.Tensor, torch.Tensor], torch.Tensor]] = {
    "focal+dice": lambda logits, labels: sum(non_exclusive(logits, labels)),
    "binary": binary,
    "exclusive": exclusive,
}
"""Name -> what is minimised, a scalar of logits and labels."""


@torch.no_grad()
def pseudo_labels(logits: torch.Tensor, labels: torch.Tensor, seen: Sequence[int]) -> torch.Tensor:
    """Labels in which every UNSEEN pixel has the most probable class that is not among `seen`; all others stay."""
    probabilities = _resized(logits, labels).sigmoid()
    probabilities[:, list(seen)] = -1.0
    return torch.where(labels == UNSEEN, probabilities.argmax(dim=1).to(labels.dtype), labels)


def _resized(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    return F.interpolate(logits, size=labels.shape[1:], mode="bilinear", align_corners=False)


def _targets(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """(B, C, H, W) bool: the one-hot labels, nothing where a pixel has no class."""
    return labels[:, None] == torch.arange(logits.shape[1], device=labels.device)[:, None, None]
