# SPDX-License-Identifier: Apache-2.0
"""CLIP (Radford et al., ICML 2021), frozen, over transformers' weights: images of any grid, texts, and its attention.

The table of positions is resized bilinearly, as CLIP-ES and CLIP as RNN do; transformers resizes it bicubically.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F
from transformers import CLIPModel
from transformers.models.clipseg.modeling_clipseg import CLIPSegModel

from clipseg_ros.models import weights as weights_files
from clipseg_ros.models.blocks import attend_openly, attention_maps, feed_forward, pre_norm_block

LAYERS_OF_ATTENTION = 8  # the last ones, whose mean says which patches belong together (CLIP-ES)
CACHED_GRIDS = 8


@dataclass(frozen=True, eq=False)
class Look:
    """What the vision tower made of one image before its last block.

    tokens: (1 + n, D) float32, class token first: the input of the last block. attention: (n, n) float32, patches
    alone: mean of the heads and of the last 8 layers, the last included; None where it was not asked for.
    grid: (h, w), n = h * w.
    """

    tokens: torch.Tensor
    attention: torch.Tensor | None
    grid: tuple[int, int]


class CLIP(nn.Module):
    """Both towers of CLIP as calls; `network` holds the parameters, in transformers' names, and is frozen.

    round_positions: the resized table of positions is rounded to half precision, as the code of CLIP as RNN does.
    """

    def __init__(self, network: CLIPModel | CLIPSegModel, round_positions: bool = False) -> None:
        super().__init__()
        self.network = network.requires_grad_(False)
        vision = network.config.vision_config
        self.patch_size: int = vision.patch_size
        self.side: int = vision.image_size
        self.longest_text: int = network.config.text_config.max_position_embeddings
        self.vector_size: int = network.config.projection_dim
        self.logit_scale = float(network.logit_scale.detach().float().exp())
        self._round_positions = round_positions
        self._positions: OrderedDict[tuple[int, int], torch.Tensor] = OrderedDict()

    @property
    def dtype(self) -> torch.dtype:
        """Floating-point type of the parameters."""
        return self.network.visual_projection.weight.dtype

    @property
    def device(self) -> torch.device:
        """Where the parameters lie."""
        return self.network.visual_projection.weight.device

    def embed_text(self, ids: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        """(N, E) float32 unit vectors of token ids (N, L) padded on the right to `lengths` (N,)."""
        text = self.network.text_model
        tokens = text.embeddings(input_ids=ids)
        for block in text.encoder.layers:
            tokens = pre_norm_block(block, tokens, causal=True)
        ends = text.final_layer_norm(tokens)[torch.arange(len(ids), device=ids.device), lengths - 1]
        return F.normalize(self.network.text_projection(ends).float(), dim=-1)

    def embed_image(self, pixels: torch.Tensor, skip_last_block: bool = False) -> torch.Tensor:
        """(B, E) float32 unit vectors, from the class token, of normalised pixels (B, 3, h, w).

        skip_last_block: the class token is read before the last block, as the code of CLIP as RNN does.
        """
        vision, tokens = self.network.vision_model, self._embed_pixels(pixels)
        for block in vision.encoder.layers[: -1 if skip_last_block else None]:
            tokens = pre_norm_block(block, tokens)
        return F.normalize(self.network.visual_projection(vision.post_layernorm(tokens[:, 0])).float(), dim=-1)

    def look(self, pixels: torch.Tensor, attention: bool = True) -> Look:
        """Normalised pixels (1, 3, h, w) up to the last block, which cam_reader.CamReader runs."""
        layers, tokens = self.network.vision_model.encoder.layers, self._embed_pixels(pixels)
        maps = []
        for index, block in enumerate(layers[:-1]):
            if not attention or index < len(layers) - LAYERS_OF_ATTENTION:
                tokens = pre_norm_block(block, tokens)
                continue
            mixed, weights = attend_openly(block.self_attn, block.layer_norm1(tokens))
            tokens = tokens + mixed
            tokens = tokens + feed_forward(block.mlp, block.layer_norm2(tokens))
            maps.append(weights[0, 1:, 1:])
        grid = (pixels.shape[2] // self.patch_size, pixels.shape[3] // self.patch_size)
        if not attention:
            return Look(tokens[0].float(), None, grid)
        maps.append(attention_maps(layers[-1].self_attn, layers[-1].layer_norm1(tokens))[0, 1:, 1:])
        return Look(tokens[0].float(), sum(maps) / len(maps), grid)

    def _embed_pixels(self, pixels: torch.Tensor) -> torch.Tensor:
        """(B, 1 + n, D) tokens before the first block. Raises ValueError for sides that the patch does not divide."""
        height, width = pixels.shape[2:]
        if height % self.patch_size or width % self.patch_size:
            raise ValueError(f"pixels of {height}x{width}: expected multiples of the patch size {self.patch_size}")
        embeddings = self.network.vision_model.embeddings
        patches = embeddings.patch_embedding(pixels.to(self.dtype))
        tokens = torch.cat([embeddings.class_embedding.expand(len(pixels), 1, -1), patches.flatten(2).mT], dim=1)
        return self.network.vision_model.pre_layrnorm(tokens + self._positions_of(patches.shape[2:]))

    def _positions_of(self, grid: tuple[int, int]) -> torch.Tensor:
        """(1 + n, D) positions of a grid (h, w), remembered for the grids seen last."""
        grid = tuple(grid)
        if grid not in self._positions:
            table = self.network.vision_model.embeddings.position_embedding.weight.float()
            side = self.side // self.patch_size
            plane = table[1:].mT.unflatten(1, (side, side))[None]
            plane = F.interpolate(plane, size=grid, mode="bilinear", align_corners=False)
            resized = torch.cat([table[:1], plane[0].flatten(1).mT])
            self._positions[grid] = (resized.half() if self._round_positions else resized).to(self.dtype)
        self._positions.move_to_end(grid)
        while len(self._positions) > CACHED_GRIDS:
            self._positions.popitem(last=False)
        return self._positions[grid]


def load(folder: Path, dtype: torch.dtype) -> CLIPModel | CLIPSegModel:
    """The CLIP of a folder in evaluation mode: a CLIPModel, or the CLIP inside a CLIPSeg. Raises WeightsError."""
    if weights_files.read_json(folder / "config.json").get("model_type") == "clipseg":
        return weights_files.load_clipseg(folder, dtype).clip
    return weights_files.load_network(CLIPModel, "clip", folder, dtype)
