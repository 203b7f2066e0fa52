# SPDX-License-Identifier: Apache-2.0
"""A mask put into CLIP's attention instead of into the image: the first three rows of CLIPSeg's Table 2."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import nn

from clipseg_ros.models.blocks import feed_forward
from clipseg_ros.models.clipseg import CLIPSeg


@dataclass(frozen=True)
class AttentionMask:
    """Who may not look at the background, and where.

    all_tokens: every token, otherwise the class token alone. layers: vision blocks counted from 0, None for all.
    by_zero: as in the authors' code the background's logits become 0 before the softmax, which still lets it in, and
    with all_tokens the class token looks everywhere; otherwise they become minus infinity and let nothing in.
    """

    all_tokens: bool = False
    layers: tuple[int, ...] | None = None
    by_zero: bool = False


ATTENTION_MASKS = {
    "mask_cls_layer_11": AttentionMask(layers=(11,)),
    "mask_cls_all_layers": AttentionMask(),
    "mask_all_all_layers": AttentionMask(all_tokens=True),
}


def covered_patches(mask: np.ndarray, grid: tuple[int, int]) -> torch.Tensor:
    """(1, h * w) bool, row by row: the patches of grid (h, w) in which some pixel of mask (H, W) bool lies.

    The authors' code asks the pixel nearest to the patch's corner instead, so that thin objects vanish.
    """
    share = cv2.resize(mask.astype(np.float32), grid[::-1], interpolation=cv2.INTER_AREA)
    return torch.from_numpy(share > 0.0).reshape(1, -1)


def embed_masked_image(
    model: CLIPSeg, pixels: torch.Tensor, patches: torch.Tensor, masking: AttentionMask
) -> torch.Tensor:
    """(B, E) like CLIPSeg.embed_image of pixels (B, 3, h, w), attending to patches (B, K) bool as `masking` says.

    Raises ValueError where K is not the number of patches of the pixels.
    """
    vision = model.network.clip.vision_model
    tokens = vision.pre_layrnorm(vision.embeddings(pixels.to(model.dtype), interpolate_pos_encoding=True))
    if patches.shape != (len(tokens), tokens.shape[1] - 1):
        expected = f"{len(tokens)} images of {tokens.shape[1] - 1} patches each"
        raise ValueError(f"patches of shape {tuple(patches.shape)}: the pixels hold {expected}")
    hidden = _hidden(patches.to(tokens.device), masking)
    for index, block in enumerate(vision.encoder.layers):
        masked = masking.layers is None or index in masking.layers
        tokens = tokens + _attend(
            block.self_attn, block.layer_norm1(tokens), hidden & masked, 0.0 if masking.by_zero else -torch.inf
        )
        tokens = tokens + feed_forward(block.mlp, block.layer_norm2(tokens))
    return model.network.clip.visual_projection(vision.post_layernorm(tokens[:, 0]))


def _hidden(patches: torch.Tensor, masking: AttentionMask) -> torch.Tensor:
    """(B, 1, 1 + K, 1 + K) bool: [query, key] is masked. The class token is never hidden as a key."""
    images, count = patches.shape
    hidden = torch.zeros(images, 1, 1 + count, 1 + count, dtype=torch.bool, device=patches.device)
    hidden[:, 0, :, 1:] = ~patches[:, None]
    if not masking.all_tokens:
        hidden[:, :, 1:] = False
    elif masking.by_zero:
        hidden[:, :, 0] = False
    return hidden


def _attend(attention: nn.Module, tokens: torch.Tensor, hidden: torch.Tensor, masked_logit: float) -> torch.Tensor:
    query, key, value = (
        linear(tokens).unflatten(-1, (attention.num_heads, -1)).transpose(1, 2)
        for linear in (attention.q_proj, attention.k_proj, attention.v_proj)
    )
    logits = query @ key.mT * query.shape[-1] ** -0.5
    mixed = logits.masked_fill(hidden, masked_logit).softmax(dim=-1) @ value
    return attention.out_proj(mixed.transpose(1, 2).flatten(2))
