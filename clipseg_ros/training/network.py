# SPDX-License-Identifier: Apache-2.0
"""A fresh CLIPSeg of a recipe's size, and how a trained one is written as a weights folder."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
from torch import nn
from transformers import CLIPSegConfig, CLIPSegForImageSegmentation, CLIPTokenizerFast, PreTrainedModel

from clipseg_ros.models import weights
from clipseg_ros.models.weights import MEAN, STD
from clipseg_ros.training.recipes import Recipe

LONGEST_TEXT = 16


def configure(recipe: Recipe, tokenizer: CLIPTokenizerFast) -> CLIPSegConfig:
    """transformers' configuration of the recipe's network."""
    return CLIPSegConfig(
        text_config={
            "vocab_size": len(tokenizer), "hidden_size": recipe.text_width, "intermediate_size": 4 * recipe.text_width,
            "num_hidden_layers": recipe.text_depth, "num_attention_heads": max(1, recipe.text_width // 32),
            "max_position_embeddings": LONGEST_TEXT, "bos_token_id": tokenizer.bos_token_id,
            "eos_token_id": tokenizer.eos_token_id, "pad_token_id": tokenizer.pad_token_id,
        },
        vision_config={
            "hidden_size": recipe.width, "intermediate_size": recipe.feed_forward,
            "num_hidden_layers": recipe.depth, "num_attention_heads": recipe.heads,
            "image_size": recipe.input_side, "patch_size": recipe.patch,
        },
        projection_dim=recipe.vector, extract_layers=list(recipe.extract_layers), reduce_dim=recipe.reduce_dim,
        decoder_num_attention_heads=4, decoder_intermediate_size=recipe.decoder_feed_forward,
        use_complex_transposed_convolution=True,
    )


def initialise(config: CLIPSegConfig, seed: int) -> CLIPSegForImageSegmentation:
    """A network to train from scratch: Xavier linears and PyTorch's own convolutions, since transformers' start is
    made for loading weights and hardly learns; positions that tell near from far; FiLM multipliers around 1, so that
    the image reaches the head from the first step."""
    torch.manual_seed(seed)
    network = CLIPSegForImageSegmentation(config)
    for module in network.modules():
        if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
            module.reset_parameters()
        elif isinstance(module, nn.Linear):
            nn.init.xavier_uniform_(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    for linear in (network.decoder.film_mul, network.decoder.film_add):
        nn.init.xavier_uniform_(linear.weight, gain=0.15)  # a louder phrase drowns the image, and training ignores it
    nn.init.ones_(network.decoder.film_mul.bias)
    embeddings, vision = network.clip.vision_model.embeddings, config.vision_config
    with torch.no_grad():
        embeddings.position_embedding.weight[1:] = waves(vision.image_size // vision.patch_size, vision.hidden_size)
    return network


def normalised(images: np.ndarray, device: torch.device) -> torch.Tensor:
    """(B, 3, H, W) float32 pixels of images (B, H, W, 3) uint8."""
    pixels = torch.from_numpy(images).to(device).permute(0, 3, 1, 2).float() / 255.0
    mean, std = (torch.tensor(values, device=device)[:, None, None] for values in (MEAN, STD))
    return (pixels - mean) / std


def waves(side: int, width: int) -> torch.Tensor:
    """(side * side, width) sines and cosines of row and column at falling frequencies (Vaswani et al., 2017, in two
    dimensions), times 0.3, about the size of an embedded patch."""
    frequencies = 100.0 ** -torch.linspace(0.0, 1.0, width // 4)
    angles = torch.arange(side)[:, None] * frequencies
    line = torch.cat([angles.sin(), angles.cos()], dim=1)
    rows, columns = line[:, None].expand(-1, side, -1), line[None].expand(side, -1, -1)
    return 0.3 * torch.cat([rows, columns], dim=2).flatten(0, 1)


@torch.no_grad()
def move_scores(network: PreTrainedModel, old: float, new: float) -> float:
    """Shift all logits so that what scored `old` scores `new`, both in (0, 1); returns by how much."""
    last = [module for module in network.decoder.modules() if isinstance(module, nn.ConvTranspose2d)][-1]
    shift = math.log(new / (1.0 - new)) - math.log(old / (1.0 - old))
    last.bias += shift
    return shift


@torch.no_grad()
def align(decoder: nn.Module, clip: nn.Module, patches: torch.Tensor) -> None:
    """Let a fresh decoder of CLIPSeg start where the towers ended: the deepest read-out enters as its projection on
    the main directions of the projected patches, and FiLM multiplies it by the prompt on the same directions, so that
    the sum over channels is how well a prompt fits a patch.

    patches: (M, C) a sample of the deepest read-out.
    """
    norm, projection = clip.vision_model.post_layernorm, clip.visual_projection.weight
    projected = norm(patches) @ projection.T
    size = decoder.film_mul.out_features
    _, directions = torch.linalg.eigh(projected.T @ projected)
    main = directions[:, -size:].T
    scale = 1.0 / (projected @ main.T).std(0, keepdim=True).T
    onto = scale * (main @ projection) * norm.weight / patches.std(dim=1, unbiased=False).mean()
    decoder.reduces[0].weight.copy_(onto)
    decoder.reduces[0].bias.copy_(-(onto @ patches.mean(0)))
    for linear in (decoder.film_mul, decoder.film_add):
        linear.weight.zero_()
        linear.bias.zero_()
    decoder.film_mul.weight.copy_(main / scale / scale.reciprocal().mean())


def save(
    network: PreTrainedModel, tokenizer: CLIPTokenizerFast, folder: Path,
    vocabulary: Iterable[str], threshold: float | None, side: int, support_side: int,
    presence: float | None = None,
) -> None:
    """Write a folder that engines.create loads: float16 safetensors, input format, tokenizer, own notes.

    side: of the square with as many pixels as its input, whose aspect is the camera's; a multiple of the patch.
    """
    folder.mkdir(parents=True, exist_ok=True)
    half = {name: tensor.detach().half().contiguous() for name, tensor in network.state_dict().items()}
    network.save_pretrained(folder, state_dict=half)
    weights.write_input_format(folder, side)
    tokenizer.save_pretrained(folder)
    notes = {"vocabulary": sorted(vocabulary), "threshold": threshold, "support_side": support_side}
    notes["presence"] = presence
    notes["keep_aspect"] = True
    (folder / "clipseg_ros.json").write_text(json.dumps(notes, indent=1) + "\n")
