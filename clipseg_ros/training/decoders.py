# SPDX-License-Identifier: Apache-2.0
"""A fresh decoder on a frozen CLIP, with what the published ones had in training, and how the whole is written."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F
from transformers import CLIPModel, CLIPSegConfig, CLIPSegForImageSegmentation, CLIPSegModel, PreTrainedModel

from clipseg_ros.models import clip_deconv, hub, vitseg, weights
from clipseg_ros.models.clipseg import CLIPSeg
from clipseg_ros.models.weights import MEAN, STD


@dataclass(frozen=True)
class Architecture:
    """What stands between an image and its logits; the numbers are those of `rd64-uni` in github.com/timojl/clipseg.

    engine: clipseg, clip-deconv or vitseg. extract_layers: blocks read, from 0. reduce_dim: D of the paper. hidden: of
    the decoder's feed-forward (clip-deconv: between its two linear layers). refined: the head of three convolutions.
    side: of the input in pixels. clip: weights of a CLIP or of a CLIPSeg whose CLIP is taken. backbone: weights of
    vitseg's vision tower. pretrained: False gives CLIP random weights, frozen all the same. dropout: in training.
    """

    engine: str = "clipseg"
    extract_layers: tuple[int, ...] = (3, 7, 9)
    reduce_dim: int = 64
    hidden: int = 2048
    heads: int = 4
    refined: bool = False
    side: int = 352
    clip: str = "openai/clip-vit-base-patch16"
    backbone: str = "google/vit-base-patch16-384"
    pretrained: bool = True
    dropout: float = 0.1


@dataclass(frozen=True, eq=False)
class Student:
    """A model of which `learned` alone is to be trained, and how pixels and texts enter it."""

    model: CLIPSeg
    learned: nn.ModuleDict
    pixels: weights.InputFormat
    texts: weights.TextFormat
    folder: Path
    """The folder of the CLIP, which has the tokenizer."""


def build(architecture: Architecture, seed: int) -> Student:
    """A model on the CPU with fresh parts drawn from `seed` and everything else frozen.

    Raises ValueError for an unknown engine, WeightsError.
    """
    if architecture.engine not in BUILDERS:
        raise ValueError(f"engine {architecture.engine!r}: expected one of {', '.join(BUILDERS)}")
    folder = hub.find(architecture.clip)
    clip = _load_clip(folder)
    torch.manual_seed(seed)
    model = BUILDERS[architecture.engine](architecture, clip)
    network = model.network.eval().requires_grad_(False)
    learned = nn.ModuleDict({"decoder": network.decoder})
    if architecture.engine == "vitseg":
        learned["visual_projection"] = network.visual_projection
    start_as_pytorch(learned.requires_grad_(True))
    for layer in getattr(network.decoder, "layers", ()):
        drop_out(layer, architecture.dropout)
    side = architecture.side
    longest = clip.config.text_config.max_position_embeddings
    return Student(model, learned, input_format(side), weights.read_text_format(folder, longest), folder)


def input_format(side: int) -> weights.InputFormat:
    """Pixels of a square, normalised as the authors' data sets do: for ViTSeg too, though its ViT learned with 0.5."""
    return weights.InputFormat(side, *(torch.tensor(values).numpy() for values in (MEAN, STD)))


@torch.no_grad()
def start_as_pytorch(module: nn.Module) -> None:
    """Draw all weights as PyTorch's own layers do, which the authors' decoder consists of; transformers' start is made
    for loading weights."""
    for layer in module.modules():
        if isinstance(layer, (nn.Linear, nn.Conv2d, nn.ConvTranspose2d, nn.LayerNorm)):
            layer.reset_parameters()
    for attention in (layer for layer in module.modules() if hasattr(layer, "q_proj")):
        for linear in (attention.q_proj, attention.k_proj, attention.v_proj):
            # nn.MultiheadAttention draws the three as one matrix (3 D, D), Xavier's bound is that of all of it.
            bound = math.sqrt(6.0 / (4 * linear.in_features))
            linear.weight.uniform_(-bound, bound)
            linear.bias.zero_()
        attention.out_proj.bias.zero_()


def drop_out(layer: nn.Module, rate: float) -> None:
    """Give a decoder block of transformers the four dropouts of nn.TransformerEncoderLayer, which it lacks: of the
    attention's weights and output, inside the feed-forward and of its output. They act in training mode only."""

    def drop(module: nn.Module, _: object, output: torch.Tensor) -> torch.Tensor:
        return F.dropout(output, rate, module.training)

    layer.self_attn.dropout = rate
    for module in (layer.self_attn.out_proj, layer.mlp.activation_fn, layer.mlp):
        module.register_forward_hook(drop)


def save(student: Student, folder: Path, threshold: float) -> None:
    """Write a folder that engines.create loads: float32 safetensors, input format, tokenizer, threshold."""
    folder.mkdir(parents=True, exist_ok=True)
    student.model.network.save_pretrained(folder)
    weights.write_input_format(folder, student.pixels.side)
    weights.copy_tokenizer(student.folder, folder)
    (folder / "clipseg_ros.json").write_text(json.dumps({"vocabulary": None, "threshold": threshold}, indent=1) + "\n")


def _load_clip(folder: Path) -> CLIPModel | CLIPSegModel:
    if weights.read_json(folder / "config.json").get("model_type") == "clipseg":
        return weights.load_clipseg(folder, torch.float32).clip
    return weights.load_network(CLIPModel, "clip", folder, torch.float32)


def _shape(architecture: Architecture) -> dict[str, object]:
    return {
        "extract_layers": list(architecture.extract_layers), "reduce_dim": architecture.reduce_dim,
        "decoder_num_attention_heads": architecture.heads, "decoder_intermediate_size": architecture.hidden,
        "use_complex_transposed_convolution": architecture.refined,
    }


def _on_clip(
    config: type[CLIPSegConfig], network: type[PreTrainedModel], architecture: Architecture, clip: CLIPModel
) -> PreTrainedModel:
    towers = {name: getattr(clip.config, name).to_dict() for name in ("text_config", "vision_config")}
    made = network(config(**towers, projection_dim=clip.config.projection_dim, **_shape(architecture)))
    if architecture.pretrained:
        made.clip.load_state_dict(clip.state_dict())
    return made


def _clipseg(architecture: Architecture, clip: CLIPModel) -> CLIPSeg:
    return CLIPSeg(_on_clip(CLIPSegConfig, CLIPSegForImageSegmentation, architecture, clip))


def _clip_deconv(architecture: Architecture, clip: CLIPModel) -> CLIPSeg:
    return clip_deconv.CLIPDeconv(
        _on_clip(clip_deconv.CLIPDeconvConfig, clip_deconv.CLIPDeconvNetwork, architecture, clip)
    )


def _vitseg(architecture: Architecture, clip: CLIPModel) -> CLIPSeg:
    backbone = vitseg.load_backbone(hub.find(architecture.backbone))
    text, vector = clip.config.text_config.to_dict(), clip.config.projection_dim
    network = vitseg.ViTSegNetwork(vitseg.configure(backbone, text, vector, **_shape(architecture)))
    network.backbone.load_state_dict(backbone.state_dict())
    network.clip.text_model.load_state_dict(clip.text_model.state_dict())
    network.clip.text_projection.load_state_dict(clip.text_projection.state_dict())
    return vitseg.ViTSeg(network)


BUILDERS = {"clipseg": _clipseg, "clip-deconv": _clip_deconv, "vitseg": _vitseg}
