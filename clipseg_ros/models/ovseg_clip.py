# SPDX-License-Identifier: Apache-2.0
"""A CLIP that reads cut-outs on a blank ground (OVSeg, section 3.3): learned tokens where a patch shows nothing.

A blank patch is nothing that CLIP saw in training. Its token becomes a learned one before positions are added, and
again after each of the first blocks but the last of `depth`; the class token is never touched.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F
from transformers import CLIPModel
from transformers.models.clipseg.modeling_clipseg import CLIPSegModel

from clipseg_ros.models.blocks import pre_norm_block
from clipseg_ros.models.clip import CLIP

PROMPT_DEVIATION = 0.02


class MaskPrompts(nn.Module):
    """tokens: (depth, N, D), drawn normal: what stands for each of N blank patches at the input and `depth` - 1 times
    between blocks."""

    def __init__(self, depth: int, patches: int, width: int) -> None:
        super().__init__()
        self.tokens = nn.Parameter(torch.randn(depth, patches, width) * PROMPT_DEVIATION)

    def forward(self, patches: torch.Tensor, keep: torch.Tensor, index: int) -> torch.Tensor:
        """(B, N, D): patches (B, N, D) where keep (B, N, 1) is 1, the learned tokens of place `index` where it is 0."""
        return patches * keep + self.tokens[index] * (1.0 - keep)


class MaskedCLIP(nn.Module):
    """Both towers of a CLIP as calls, the vision tower with masks; `network` and `prompts` hold the parameters.

    Nothing is frozen here. prompts: None leaves CLIP's tower as it is, blind to masks.
    """

    def __init__(self, network: CLIPModel | CLIPSegModel, prompts: MaskPrompts | None) -> None:
        super().__init__()
        self.network, self.prompts = network, prompts
        vision = network.config.vision_config
        self.patch_size: int = vision.patch_size
        self.side: int = vision.image_size
        self.longest_text: int = network.config.text_config.max_position_embeddings

    @property
    def dtype(self) -> torch.dtype:
        """Floating-point type of the parameters."""
        return self.network.visual_projection.weight.dtype

    def embed_text(self, ids: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        """(N, E) float32 unit vectors of token ids (N, L) padded on the right to `lengths` (N,)."""
        return CLIP.embed_text(self, ids, lengths)

    def embed_regions(self, pixels: torch.Tensor, masks: torch.Tensor) -> torch.Tensor:
        """(B, E) float32 unit vectors of cut-outs: pixels (B, 3, side, side) normalised, 0 outside the mask; masks
        (B, 1, side, side) bool. Raises ValueError for another side, since the tokens have their places."""
        if pixels.shape[2:] != (self.side, self.side) or masks.shape[2:] != pixels.shape[2:]:
            shapes = f"{tuple(pixels.shape)} and {tuple(masks.shape)}"
            raise ValueError(f"cut-outs and masks of shapes {shapes}: expected sides of {self.side}")
        vision = self.network.vision_model
        keep = self._keep(masks) if self.prompts is not None else None
        tokens = self._embed_pixels(pixels, keep)
        for index, block in enumerate(vision.encoder.layers, start=1):
            tokens = pre_norm_block(block, tokens)
            if keep is not None and index < len(self.prompts.tokens):
                tokens = torch.cat([tokens[:, :1], self.prompts(tokens[:, 1:], keep, index)], dim=1)
        vectors = self.network.visual_projection(vision.post_layernorm(tokens[:, 0]))
        return F.normalize(vectors.float(), dim=-1)

    def _keep(self, masks: torch.Tensor) -> torch.Tensor:
        """(B, N, 1): 1 for a patch with some pixel of the mask."""
        return F.max_pool2d(masks.to(self.dtype), self.patch_size).flatten(2).mT

    def _embed_pixels(self, pixels: torch.Tensor, keep: torch.Tensor | None) -> torch.Tensor:
        """(B, 1 + N, D) tokens before the first block."""
        embeddings = self.network.vision_model.embeddings
        patches = embeddings.patch_embedding(pixels.to(self.dtype)).flatten(2).mT
        if keep is not None:
            patches = self.prompts(patches, keep, 0)
        tokens = torch.cat([embeddings.class_embedding.expand(len(patches), 1, -1), patches], dim=1)
        return self.network.vision_model.pre_layrnorm(tokens + embeddings.position_embedding.weight)
