# SPDX-License-Identifier: Apache-2.0
"""ZegCLIP (Zhou et al., CVPR 2023): CLIP's own patches matched with texts by a small decoder, in one pass.

The vision tower is frozen and told what to look for by learned prompt tokens, new ones in every block. Where paper and
code differ this follows the code, github.com/ZiqinZhou66/ZegCLIP, which the published checkpoints need: its class token
is counted twice, positions are resized bilinearly, patches enter the decoder unprojected. Grids may be rectangular.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F
from transformers import CLIPConfig, CLIPModel
from transformers.models.clip.modeling_clip import CLIPPreTrainedModel
from transformers.models.clipseg.modeling_clipseg import CLIPSegModel

from clipseg_ros.models import weights
from clipseg_ros.models.blocks import pre_norm_block
from clipseg_ros.models.clip import CLIP
from clipseg_ros.models.zegclip_decoder import DESCRIPTOR, DROPOUT, ZegCLIPDecoder

MODEL_TYPE = "zegclip"
POSITIONS = "vision_model.embeddings.position_embedding.weight"


class ZegCLIPConfig(CLIPConfig):
    """CLIP's configuration and what stands on it: see Shape. prompt_layers: None stands for every block. templates:
    sentences around a class, each with one `{}`, that the weights were trained with; None where that is not known."""

    model_type = MODEL_TYPE
    prompt_count: int = 10
    prompt_layers: list | None = None
    decoder_layers: int = 3
    decoder_heads: int = 8
    decoder_hidden: int = 2048
    descriptor: str = DESCRIPTOR
    templates: list | None = None


@dataclass(frozen=True)
class Shape:
    """What stands on a CLIP; the numbers are those published for Pascal VOC, with 100 prompts for COCO.

    prompts: tokens a block. prompt_layers: blocks that get them, from 0; () leaves the tower as it is. layers, heads,
    hidden: of the decoder. side: of the square in pixels for which the table of positions is made. descriptor: what
    stands for a class in an image, see zegclip_decoder.TERMS.
    """

    prompts: int = 10
    prompt_layers: tuple[int, ...] = tuple(range(12))
    layers: int = 3
    heads: int = 8
    hidden: int = 2048
    side: int = 512
    descriptor: str = DESCRIPTOR


@dataclass(frozen=True)
class Encoded:
    """What the tower made of B images: patches (B, h * w, E) and classes (B, E), unit vectors, and the grid (h, w)."""

    patches: torch.Tensor
    classes: torch.Tensor
    grid: tuple[int, int]


class DeepPrompts(nn.Module):
    """Learned tokens between class token and patches, others in each block of `layers`, and the norm at the end."""

    def __init__(self, layers: list[int], count: int, width: int) -> None:
        super().__init__()
        self.layers = list(layers)
        self.tokens = nn.Parameter(torch.zeros(len(layers), count, width))
        self.proj = nn.Linear(width, width)
        self.norm = nn.LayerNorm(width, eps=1e-6)

    def forward(self, tokens: torch.Tensor, block: int, patches: int) -> torch.Tensor:
        """Tokens (B, ..., D) for a block: class token, its prompts in place of those before, the last `patches`."""
        kept = [tokens[:, :1], tokens[:, -patches:]]
        if block in self.layers:
            prompts = self.proj(self.tokens[self.layers.index(block)]).expand(len(tokens), -1, -1)
            kept.insert(1, F.dropout(prompts, DROPOUT, self.training))
        return torch.cat(kept, dim=1)


class ZegCLIPNetwork(CLIPPreTrainedModel):
    """The parameters, saved and loaded as transformers' models are: `clip`, `prompts` (None without any), `decoder`."""

    config_class = ZegCLIPConfig

    def __init__(self, config: ZegCLIPConfig) -> None:
        super().__init__(config)
        vision = config.vision_config
        layers = range(vision.num_hidden_layers) if config.prompt_layers is None else config.prompt_layers
        outside = [block for block in layers if not 0 <= block < vision.num_hidden_layers]
        if outside:
            raise ValueError(f"prompt_layers {outside}: expected blocks from 0 to {vision.num_hidden_layers - 1}")
        self.clip = CLIPModel(config)
        self.prompts = DeepPrompts(list(layers), config.prompt_count, vision.hidden_size) if layers else None
        self.decoder = ZegCLIPDecoder(
            config.projection_dim, config.decoder_layers, config.decoder_heads, config.decoder_hidden,
            config.descriptor,
        )
        self.post_init()


class ZegCLIP(nn.Module):
    """The parts of ZegCLIP as calls of their own; `network` holds the parameters, of which CLIP's are frozen."""

    def __init__(self, network: ZegCLIPNetwork) -> None:
        super().__init__()
        self.network = network
        self.clip = CLIP(network.clip)
        self.patch_size: int = self.clip.patch_size

    def embed_text(self, ids: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        """(N, E) float32 unit vectors of token ids (N, L) padded on the right to `lengths` (N,)."""
        return self.clip.embed_text(ids, lengths)

    def encode_image(self, pixels: torch.Tensor, spans: torch.Tensor | None = None) -> Encoded:
        """Normalised pixels (B, 3, h, w) through the prompted tower.

        spans: for training on cut-outs, (B, 4) top, left, height and width, in [0, 1], of the part of a whole picture
        that pixels are to be taken for, whose positions they get; None for all of it. Raises ValueError for sides that
        the patch does not divide.
        """
        vision, prompts = self.network.clip.vision_model, self.network.prompts
        tokens, grid = self._embed_pixels(pixels, spans)
        count = grid[0] * grid[1]
        for index, block in enumerate(vision.encoder.layers):
            tokens = pre_norm_block(block, tokens if prompts is None else prompts(tokens, index, count))
        if prompts is not None:
            tokens = prompts.norm(torch.cat([tokens[:, :1], tokens[:, -count:]], dim=1))
        vectors = self.network.clip.visual_projection(vision.post_layernorm(tokens))
        vectors = F.normalize(vectors.float(), dim=-1).to(self.clip.dtype)
        return Encoded(vectors[:, 1:], vectors[:, 0], grid)

    def decode(self, encoded: Encoded, texts: torch.Tensor) -> torch.Tensor:
        """(B, N, h, w) float32 logits on the grid of patches, of B images for unit vectors (N, E) of N classes."""
        maps = self.network.decoder(texts.to(self.clip.dtype), encoded.classes, encoded.patches)
        return maps.unflatten(2, encoded.grid)

    def _embed_pixels(
        self, pixels: torch.Tensor, spans: torch.Tensor | None
    ) -> tuple[torch.Tensor, tuple[int, int]]:
        """(B, 1 + h * w, D) tokens before the first block, and the grid (h, w)."""
        height, width = pixels.shape[2:]
        if height % self.patch_size or width % self.patch_size:
            raise ValueError(f"pixels of {height}x{width}: expected multiples of the patch size {self.patch_size}")
        embeddings = self.network.clip.vision_model.embeddings
        planes = embeddings.patch_embedding(pixels.to(self.clip.dtype))
        grid = (planes.shape[2], planes.shape[3])
        # Twice: a slip that the authors' weights learned to live with.
        first = 2.0 * embeddings.class_embedding.expand(len(planes), 1, -1)
        tokens = torch.cat([first, planes.flatten(2).mT], dim=1)
        table = embeddings.position_embedding.weight
        positions = resize_positions(table, grid) if spans is None else cut_positions(table, spans, grid)
        return self.network.clip.vision_model.pre_layrnorm(tokens + positions), grid


def resize_positions(table: torch.Tensor, grid: tuple[int, int]) -> torch.Tensor:
    """(1 + h * w, D) positions of a grid (h, w), bilinearly from a table (1 + s * s, D); the class token's stays."""
    side = math.isqrt(len(table) - 1)
    if (side, side) == tuple(grid):
        return table
    plane = table[1:].float().mT.unflatten(1, (side, side))[None]
    plane = F.interpolate(plane, size=grid, mode="bilinear", align_corners=False)
    return torch.cat([table[:1], plane[0].flatten(1).mT.to(table.dtype)])


def cut_positions(table: torch.Tensor, spans: torch.Tensor, grid: tuple[int, int]) -> torch.Tensor:
    """(B, 1 + h * w, D) positions of grids (h, w) over spans (B, 4) of a whole picture, as encode_image has them,
    bilinearly from a table (1 + s * s, D); the class token's stays."""
    side = math.isqrt(len(table) - 1)
    field = table[1:].mT.unflatten(1, (side, side)).expand(len(spans), -1, -1, -1)
    rows, columns = (
        start[:, None] + length[:, None] * (torch.arange(count, device=spans.device) + 0.5) / count
        for start, length, count in zip(spans.T[:2], spans.T[2:], grid)
    )
    places = torch.stack(torch.broadcast_tensors(columns[:, None, :], rows[:, :, None]), dim=3)
    planes = F.grid_sample(field, 2.0 * places - 1.0, mode="bilinear", padding_mode="border", align_corners=False)
    return torch.cat([table[:1].expand(len(spans), 1, -1), planes.flatten(2).mT], dim=1)


def on_clip(clip: CLIPModel | CLIPSegModel, shape: Shape) -> ZegCLIPNetwork:
    """A network in evaluation mode whose towers are those of `clip` and whose prompts and decoder are fresh."""
    towers = {
        f"{name}_config": {**getattr(clip.config, f"{name}_config").to_dict(), "model_type": f"clip_{name}_model"}
        for name in ("text", "vision")
    }
    towers["vision_config"]["image_size"] = shape.side
    network = ZegCLIPNetwork(ZegCLIPConfig(
        **towers, projection_dim=clip.config.projection_dim, prompt_count=shape.prompts,
        prompt_layers=list(shape.prompt_layers), decoder_layers=shape.layers, decoder_heads=shape.heads,
        decoder_hidden=shape.hidden, descriptor=shape.descriptor,
    ))
    side = shape.side // network.config.vision_config.patch_size
    tensors = clip.state_dict()
    tensors[POSITIONS] = resize_positions(tensors[POSITIONS], (side, side))
    network.clip.load_state_dict(tensors)
    _start(network)
    return network.eval()


def load(folder: Path, dtype: torch.dtype) -> ZegCLIPNetwork:
    """The network of the folder in evaluation mode. Raises WeightsError where it is none or incomplete."""
    return weights.load_network(ZegCLIPNetwork, MODEL_TYPE, folder, dtype)


@torch.no_grad()
def _start(network: ZegCLIPNetwork) -> None:
    """Fresh weights as the authors' code draws them: its decoder starts as PyTorch's layers do, all layers alike."""
    if network.prompts is not None:
        vision = network.config.vision_config
        bound = math.sqrt(6.0 / (3 * vision.patch_size**2 + vision.hidden_size))
        network.prompts.tokens.uniform_(-bound, bound)
        network.prompts.proj.reset_parameters()
        nn.init.kaiming_normal_(network.prompts.proj.weight, a=0, mode="fan_out")
        network.prompts.norm.reset_parameters()
    network.decoder.reset_parameters()
