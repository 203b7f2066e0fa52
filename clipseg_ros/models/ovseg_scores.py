# SPDX-License-Identifier: Apache-2.0
"""OVSeg's arithmetic after its networks: two opinions about each mask, mixed, and the masks summed into maps.

p is the proposal network's opinion, q that of the CLIP which sees the cut-outs. Q proposals, M of them with a cut-out,
K texts. Where the paper and the authors' code differ this is the code.
"""

from __future__ import annotations

import torch
from torch.nn import functional as F

from clipseg_ros.models.mask_classifier import text_probabilities
from clipseg_ros.models.maskformer import TEMPERATURE, class_logits


def mask_probabilities(logits: torch.Tensor, padded: tuple[int, int], size: tuple[int, int]) -> torch.Tensor:
    """(Q, H, W) float32: sigmoid of logits (Q, h, w), resized to the `padded` input and cut to the picture's `size`."""
    full = F.interpolate(logits[:, None].float(), padded, mode="bilinear", align_corners=False)[:, 0]
    return full[:, : size[0], : size[1]].sigmoid()


def vector_probabilities(vectors: torch.Tensor, texts: torch.Tensor, no_object: torch.Tensor) -> torch.Tensor:
    """p (Q, K) float32: softmax over texts (K, E) and no_object (1, E), whose column is left out, of vectors (Q, E)."""
    return class_logits(vectors, texts, no_object).softmax(dim=-1)[:, :-1]


def region_probabilities(features: torch.Tensor, texts: torch.Tensor) -> torch.Tensor:
    """q (M, K) float32: softmax over the texts (K, E) alone, of unit features (M, E)."""
    return text_probabilities(features, texts[None], TEMPERATURE)[0]


def fused(p: torch.Tensor, q: torch.Tensor, seen: torch.Tensor, clip_weight: float) -> torch.Tensor:
    """(Q, K): p^(1 - w) q^w of p (Q, K) and of q (M, K), the opinions about the proposals `seen` (M,) int64.

    A proposal without cut-out has q = 1. clip_weight 0 is not the formula, and neither is 1: both mean q alone, and
    rows of 0 for proposals without cut-out.
    """
    alone = clip_weight in (0.0, 1.0)
    every = (torch.zeros_like(p) if alone else torch.ones_like(p)).index_copy(0, seen, q.to(p.dtype))
    return every if alone else p ** (1.0 - clip_weight) * every**clip_weight


def kept_proposals(scores: torch.Tensor, asked: int, keep_ratio: float = 1.0) -> torch.Tensor:
    """(Q,) bool: the proposals that are the best for some of the first `asked` texts, of scores (Q, K).

    keep_ratio: below 1 those too whose score is above that share of the best; ties go to the earlier proposal at 1.
    """
    kept = torch.zeros(len(scores), dtype=torch.bool, device=scores.device)
    if not len(scores):
        return kept
    columns = scores[:, :asked]
    kept[columns.argmax(dim=0)] = True
    if keep_ratio < 1.0:
        kept |= (columns > keep_ratio * columns.amax(dim=0)).any(dim=1)
    return kept


def summed(scores: torch.Tensor, masks: torch.Tensor) -> torch.Tensor:
    """(K, H, W): the sum over proposals of score (Q, K) times mask (Q, H, W), of probabilities or of 0 and 1."""
    return torch.einsum("qk,qhw->khw", scores.to(masks.dtype), masks)
