# SPDX-License-Identifier: Apache-2.0
"""OVSeg's losses: proposals matched with true masks as in MaskFormer, and pictures of masks matched with their words
(Liang et al., CVPR 2023; Cheng et al., NeurIPS 2021)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import distributed
from torch.nn import functional as F
from transformers.models.maskformer.modeling_maskformer import MaskFormerHungarianMatcher, MaskFormerLoss

from clipseg_ros.models.maskformer import Proposed, class_logits

CLASS_WEIGHT, FOCAL_WEIGHT, DICE_WEIGHT = 1.0, 20.0, 1.0
"""Of the loss and of what is minimised by the matching."""
NO_OBJECT_WEIGHT = 0.1
LARGEST_SCALE = math.log(100.0)  # of CLIP's logit_scale


@dataclass(frozen=True, eq=False)
class Truth:
    """What one picture shows: masks (N, H, W) float32 of 0 and 1 at the input's size, labels (N,) int64."""

    masks: torch.Tensor
    labels: torch.Tensor


class Parts(NamedTuple):
    """Loss of one decoder layer, not weighted."""

    entropy: torch.Tensor
    focal: torch.Tensor
    dice: torch.Tensor

    def weighted(self) -> torch.Tensor:
        """What is minimised."""
        return CLASS_WEIGHT * self.entropy + FOCAL_WEIGHT * self.focal + DICE_WEIGHT * self.dice


def proposal_losses(
    found: Proposed, texts: torch.Tensor, no_object: torch.Tensor, truths: Sequence[Truth]
) -> list[Parts]:
    """The losses of every decoder layer, the last one first, then the first to the last but one.

    texts: (K, E) unit vectors of the classes; no_object: (1, E). Each layer is matched with the truths by itself: the
    assignment of least cost, by the class's probability, focal loss and Dice at the masks' own size. Matched proposals
    learn class and mask, at the truth's size; of the others the class is no_object's, which counts a tenth. Focal
    (alpha 0.25, gamma 2) and Dice are summed over the matched masks of the batch and divided by their number, at
    least 1.
    """
    weights = {"loss_cross_entropy": CLASS_WEIGHT, "loss_mask": FOCAL_WEIGHT, "loss_dice": DICE_WEIGHT}
    matcher = MaskFormerHungarianMatcher(CLASS_WEIGHT, FOCAL_WEIGHT, DICE_WEIGHT)
    loss = MaskFormerLoss(len(texts), matcher, weights, NO_OBJECT_WEIGHT).to(texts.device)
    masks, labels = [truth.masks for truth in truths], [truth.labels for truth in truths]
    parts = []
    # In half precision a sum over the pixels of a mask would be infinite.
    with torch.autocast(texts.device.type, enabled=False):
        for layer in (found.last, *found.aux):
            logits = class_logits(layer.vectors.float(), texts.float(), no_object.float())
            one = loss(layer.mask_logits.float(), logits, masks, labels)
            parts.append(Parts(one["loss_cross_entropy"], one["loss_mask"], one["loss_dice"]))
    return parts


def contrastive(images: torch.Tensor, texts: torch.Tensor, logit_scale: torch.Tensor) -> torch.Tensor:
    """CLIP's loss: image i of the batch belongs to text i, among all texts, and text i to image i, among all images.

    images, texts: (B, E) unit vectors, those of all processes together under torchrun. logit_scale: CLIP's parameter,
    the logarithm of the factor. The mean of the two cross-entropies.
    """
    images, texts = _of_all(images.float()), _of_all(texts.float())
    logits = logit_scale.float().exp() * images @ texts.T
    right = torch.arange(len(logits), device=logits.device)
    return (F.cross_entropy(logits, right) + F.cross_entropy(logits.T, right)) / 2.0


@torch.no_grad()
def clamp_scale(logit_scale: torch.Tensor) -> None:
    """Keep the factor between 1 and 100, as CLIP's training does after every step."""
    logit_scale.clamp_(0.0, LARGEST_SCALE)


def _of_all(vectors: torch.Tensor) -> torch.Tensor:
    """Rows of all processes, with the gradient of this one's; gradients are averaged later, hence the factor."""
    if not distributed.is_initialized():
        return vectors
    ranks, rank = distributed.get_world_size(), distributed.get_rank()
    rows = [torch.empty_like(vectors) for _ in range(ranks)]
    distributed.all_gather(rows, vectors.detach())
    rows[rank] = ranks * vectors - (ranks - 1) * vectors.detach()
    return torch.cat(rows)
