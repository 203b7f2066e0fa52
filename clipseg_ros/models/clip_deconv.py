# SPDX-License-Identifier: Apache-2.0
"""CLIP-Deconv, the baseline of the CLIPSeg paper without a transformer in its decoder.

One read-out of CLIP's vision tower, made smaller, modulated by the prompt, passed token by token through two linear
layers and enlarged by one transposed convolution: all that a patch learns of its neighbours it learns inside CLIP.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F
from transformers import CLIPSegConfig, CLIPSegModel
from transformers.models.clipseg.modeling_clipseg import CLIPSegPreTrainedModel

from clipseg_ros.models import weights
from clipseg_ros.models.clipseg import CLIPSeg, Readouts

MODEL_TYPE = "clip-deconv"


class CLIPDeconvConfig(CLIPSegConfig):
    """CLIPSeg's configuration with one entry in extract_layers ([9] as published) and decoder_intermediate_size for the
    hidden linear layer (64 as published); the decoder's heads, activation and conditional layer have no meaning."""

    model_type = MODEL_TYPE


class CLIPDeconvDecoder(nn.Module):
    """Tokens of one read-out and prompt vectors in, logits out."""

    def __init__(self, config: CLIPDeconvConfig) -> None:
        super().__init__()
        size, patch = config.reduce_dim, config.vision_config.patch_size
        self.reduce = nn.Linear(config.vision_config.hidden_size, size)
        self.film_mul = nn.Linear(config.projection_dim, size)
        self.film_add = nn.Linear(config.projection_dim, size)
        self.fc1 = nn.Linear(size, config.decoder_intermediate_size)
        self.fc2 = nn.Linear(config.decoder_intermediate_size, size)
        self.transposed_convolution = nn.ConvTranspose2d(size, 1, patch, stride=patch)

    def forward(self, tokens: torch.Tensor, grid: tuple[int, int], vectors: torch.Tensor) -> torch.Tensor:
        """(B, N, H, W) logits of tokens (B, 1 + h * w, C), class token first, for vectors (B, N, E)."""
        reduced = self.reduce(tokens[:, 1:])[:, None]
        found = self.film_mul(vectors)[:, :, None] * reduced + self.film_add(vectors)[:, :, None]
        found = self.fc2(F.relu(self.fc1(found)))
        planes = found.flatten(0, 1).transpose(1, 2).unflatten(2, grid)
        return self.transposed_convolution(planes).flatten(0, 1).unflatten(0, vectors.shape[:2])


class CLIPDeconvNetwork(CLIPSegPreTrainedModel):
    """The parameters, saved and loaded as transformers' models are: `clip` and `decoder`."""

    config_class = CLIPDeconvConfig

    def __init__(self, config: CLIPDeconvConfig) -> None:
        super().__init__(config)
        if len(config.extract_layers) != 1:
            raise ValueError(f"extract_layers {list(config.extract_layers)}: CLIP-Deconv reads one block")
        self.clip = CLIPSegModel(config)
        self.decoder = CLIPDeconvDecoder(config)
        self.post_init()


class CLIPDeconv(CLIPSeg):
    """CLIP-Deconv in CLIPSeg's calls: towers and read-outs are CLIPSeg's, the decoder is its own."""

    network: CLIPDeconvNetwork

    def decode(self, readouts: Readouts, vectors: torch.Tensor) -> torch.Tensor:
        """(B, N, H, W) logits of B images for prompt vectors (N, E), or (B, N, E) where each image has its own.

        H x W is the grid times the patch size.
        """
        vectors = vectors.to(self.dtype)
        if vectors.ndim == 2:
            vectors = vectors.expand(len(readouts.tokens[0]), -1, -1)
        return self.network.decoder(readouts.tokens[0], readouts.grid, vectors)


def load(folder: Path, dtype: torch.dtype) -> CLIPDeconvNetwork:
    """The network of the folder in evaluation mode. Raises WeightsError where it is none or incomplete."""
    return weights.load_network(CLIPDeconvNetwork, MODEL_TYPE, folder, dtype)
