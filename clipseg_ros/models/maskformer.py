# SPDX-License-Identifier: Apache-2.0
"""Mask proposals for OVSeg (Liang et al., CVPR 2023): a MaskFormer whose queries name their masks by vectors of CLIP.

The parts are transformers' (Cheng et al., NeurIPS 2021), but for the head: where MaskFormer has classes there is a
small network into CLIP's space, and a learned vector that stands for no object. Each decoder layer's state goes through
the last norm on its own and the layer's own state goes on, as in the authors' code.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from transformers import MaskFormerDetrConfig, MaskFormerSwinConfig
from transformers.models.maskformer.modeling_maskformer import (
    MaskFormerDetrDecoder, MaskFormerPixelDecoder, MaskFormerSinePositionEmbedding,
)
from transformers.models.maskformer.modeling_maskformer_swin import (
    MaskFormerDropPath, MaskFormerSwinBackbone, MaskFormerSwinLayer, MaskFormerSwinSelfAttention,
)

from clipseg_ros.models.resnet_c import ResNetC

IMAGENET_MEAN = np.array((123.675, 116.28, 103.53), np.float32) / np.float32(255.0)
IMAGENET_STD = np.array((58.395, 57.12, 57.375), np.float32) / np.float32(255.0)
STRIDE = 32  # of the coarsest features: sides of the input are multiples of it
TEMPERATURE = 100.0
DROPOUT = 0.1
BACKBONES = ("swin", "resnet_c")


@dataclass(frozen=True)
class ProposalShape:
    """Sizes of a proposal network; the numbers are those of the published Swin-B.

    backbone: swin or resnet_c. width: channels of Swin's first stage; 64 in every ResNet. depths: blocks a stage.
    heads, window, drop_path: Swin's; a ResNet has none. features: channels of the pyramid and of the mask features, a
    multiple of 32. decoder_*: of the transformer over the queries. vector_hidden, vector_size: of the network into
    CLIP's space. Raises ValueError.
    """

    backbone: str = "swin"
    width: int = 128
    depths: tuple[int, ...] = (2, 2, 18, 2)
    heads: tuple[int, ...] = (4, 8, 16, 32)
    window: int = 12
    drop_path: float = 0.3
    features: int = 256
    decoder_width: int = 256
    decoder_layers: int = 6
    decoder_heads: int = 8
    decoder_hidden: int = 2048
    queries: int = 100
    vector_hidden: int = 1024
    vector_size: int = 768

    def __post_init__(self) -> None:
        if self.backbone not in BACKBONES:
            raise ValueError(f"backbone {self.backbone!r}: expected one of {', '.join(BACKBONES)}")
        for name in ("depths", "heads"):  # lists where they come from JSON
            object.__setattr__(self, name, tuple(getattr(self, name)))


@dataclass(frozen=True, eq=False)
class Proposals:
    """Of one decoder layer and B images: vectors (B, Q, E) in CLIP's space, of any length; mask_logits (B, Q, h, w), a
    quarter of the input's sides."""

    vectors: torch.Tensor
    mask_logits: torch.Tensor


@dataclass(frozen=True, eq=False)
class Proposed:
    """last: what counts; aux: of the decoder's earlier layers, the first first, where they were asked for."""

    last: Proposals
    aux: tuple[Proposals, ...] = ()


class ProposalNetwork(nn.Module):
    """The network with fresh weights, drawn as the authors' code draws them (a backbone starts from ImageNet there).

    no_object: (1, E), what the vector of a mask without object looks like, of any length.
    """

    def __init__(self, shape: ProposalShape) -> None:
        super().__init__()
        self.shape = shape
        self.backbone = _swin(shape) if shape.backbone == "swin" else ResNetC(shape.depths)
        widths = list(self.backbone.channels)
        self.pixel_decoder = MaskFormerPixelDecoder(
            in_features=widths[-1], feature_size=shape.features, mask_feature_size=shape.features,
            lateral_widths=widths[:-1],
        )
        self.decoder = QueryDecoder(widths[-1], shape)
        self.class_embed = MLP(shape.decoder_width, shape.vector_hidden, shape.vector_size, layers=2)
        self.mask_embed = MLP(shape.decoder_width, shape.decoder_width, shape.features, layers=3)
        self.no_object = nn.Parameter(torch.randn(1, shape.vector_size) * shape.vector_size**-0.5)
        _start(self)

    def forward(self, pixels: torch.Tensor, aux: bool = False) -> Proposed:
        """Of pixels (B, 3, h, w), normalised with ImageNet's mean and deviation, zeros where padded.

        aux: the decoder's earlier layers too, for training. Raises ValueError for sides that STRIDE does not divide.
        """
        if pixels.shape[2] % STRIDE or pixels.shape[3] % STRIDE:
            raise ValueError(f"pixels of {pixels.shape[2]}x{pixels.shape[3]}: expected multiples of {STRIDE}")
        features = self.features(pixels)
        planes = self.mask_features(features)
        states = self.decoder(features[-1])
        read = [self._read(state, planes) for state in (states if aux else states[-1:])]
        return Proposed(read[-1], tuple(read[:-1]))

    def features(self, pixels: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Features (B, C, h / s, w / s) of the backbone at strides s of 4, 8, 16 and 32."""
        return self.backbone(pixels.to(self.no_object.dtype)).feature_maps

    def mask_features(self, features: tuple[torch.Tensor, ...]) -> torch.Tensor:
        """(B, C, h / 4, w / 4) of the backbone's features."""
        return self.pixel_decoder(features).last_hidden_state

    def _read(self, states: torch.Tensor, planes: torch.Tensor) -> Proposals:
        logits = torch.einsum("bqc,bchw->bqhw", self.mask_embed(states), planes)
        return Proposals(self.class_embed(states), logits)


class QueryDecoder(nn.Module):
    """Learned queries that look at the coarsest features (B, C, h, w); their states after each layer."""

    def __init__(self, channels: int, shape: ProposalShape) -> None:
        super().__init__()
        width = shape.decoder_width
        config = MaskFormerDetrConfig(
            d_model=width, decoder_layers=shape.decoder_layers, decoder_attention_heads=shape.decoder_heads,
            decoder_ffn_dim=shape.decoder_hidden, num_queries=shape.queries, dropout=DROPOUT,
            attention_dropout=DROPOUT, activation_dropout=DROPOUT,
        )
        self.positions = MaskFormerSinePositionEmbedding(num_position_features=width // 2, normalize=True)
        self.queries = nn.Embedding(shape.queries, width)
        self.input_projection = nn.Conv2d(channels, width, 1) if channels != width else nn.Identity()
        self.transformer = MaskFormerDetrDecoder(config)

    def forward(self, features: torch.Tensor) -> list[torch.Tensor]:
        """Normed states (B, Q, D) after each layer, the first first."""
        features = self.input_projection(features)
        places = self.positions(features.shape, features.device, features.dtype)
        places = places.view(features.shape).flatten(2).mT
        queries = self.queries.weight.expand(len(features), -1, -1)
        state, states = torch.zeros_like(queries), []
        for layer in self.transformer.layers:
            state = layer(state, None, places, queries, features.flatten(2).mT)
            states.append(self.transformer.layernorm(state))
        return states


class MLP(nn.Sequential):
    """Linear layers with ReLU between them."""

    def __init__(self, width: int, hidden: int, out: int, layers: int) -> None:
        sizes = [width] + [hidden] * (layers - 1) + [out]
        steps: list[nn.Module] = []
        for first, second in zip(sizes, sizes[1:]):
            steps += [nn.Linear(first, second), nn.ReLU()]
        super().__init__(*steps[:-1])


def class_logits(vectors: torch.Tensor, texts: torch.Tensor, no_object: torch.Tensor) -> torch.Tensor:
    """(..., K + 1) float32: 100 times the cosine of vectors (..., E) with texts (K, E) and, last, no_object (1, E)."""
    every = F.normalize(torch.cat([texts, no_object.to(texts.dtype)]).float(), dim=-1)
    return TEMPERATURE * F.normalize(vectors.float(), dim=-1) @ every.T


def _swin(shape: ProposalShape) -> MaskFormerSwinBackbone:
    backbone = MaskFormerSwinBackbone(MaskFormerSwinConfig(
        embed_dim=shape.width, depths=list(shape.depths), num_heads=list(shape.heads), window_size=shape.window,
        drop_path_rate=shape.drop_path, out_features=[f"stage{index}" for index in range(1, 1 + len(shape.depths))],
    ))
    backbone.model.layernorm = nn.Identity()  # never read: each stage has a norm of its own
    for module in backbone.modules():
        if isinstance(module, MaskFormerSwinLayer) and isinstance(module.drop_path, MaskFormerDropPath):
            module.output.dropout = MaskFormerDropPath(module.drop_path.drop_prob)  # transformers' skips this one
    return backbone


@torch.no_grad()
def _start(network: ProposalNetwork) -> None:
    """The authors' ways of drawing weights that differ from those of the parts; norms and tables are there already."""
    for module in network.backbone.modules():
        if isinstance(module, nn.Linear):
            nn.init.trunc_normal_(module.weight, std=0.02)
            nn.init.zeros_(module.bias) if module.bias is not None else None
        elif isinstance(module, MaskFormerSwinSelfAttention):
            nn.init.trunc_normal_(module.relative_position_bias_table, std=0.02)
    for module in network.pixel_decoder.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_uniform_(module.weight, a=1)
            nn.init.zeros_(module.bias) if module.bias is not None else None
    decoder = network.decoder
    for weight in decoder.transformer.parameters():
        if weight.dim() > 1:
            nn.init.xavier_uniform_(weight)
    if isinstance(decoder.input_projection, nn.Conv2d):
        nn.init.kaiming_uniform_(decoder.input_projection.weight, a=1)
        nn.init.zeros_(decoder.input_projection.bias)
