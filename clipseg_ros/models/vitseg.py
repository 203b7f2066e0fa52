# SPDX-License-Identifier: Apache-2.0
"""ViTSeg, the baseline of the CLIPSeg paper whose vision tower never saw text: a ViT trained on ImageNet.

Prompts in words come from CLIP's text tower and the decoder is CLIPSeg's. CLIP's image vector is not there for prompts
that are supports: in its place stands the backbone's class token through a linear layer. The authors left that layer
random and frozen; here it is trained with the decoder.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import (
    CLIPModel, CLIPSegConfig, CLIPVisionConfig, CLIPVisionModel, PreTrainedModel, ViTConfig, ViTModel
)
from transformers.modeling_outputs import BaseModelOutputWithPooling
from transformers.models.clipseg.modeling_clipseg import CLIPSegDecoder, CLIPSegPreTrainedModel, CLIPSegTextModel

from clipseg_ros.models import weights
from clipseg_ros.models.clipseg import CLIPSeg, Readouts
from clipseg_ros.models.hub import WeightsError

MODEL_TYPE = "vitseg"


BACKBONES = {"vit": ViTConfig, "clip_vision_model": CLIPVisionConfig}
KINDS = " or ".join(BACKBONES)


class ViTSegConfig(CLIPSegConfig):
    """CLIPSeg's configuration, in which backbone_config describes the vision tower: transformers' ViTConfig or
    CLIPVisionConfig as a dict, told apart by its model_type. vision_config repeats the sizes the decoder needs."""

    model_type = MODEL_TYPE
    backbone_config: dict | None = None


def configure(backbone: PreTrainedModel, text: dict[str, Any], vector: int, **decoder: Any) -> ViTSegConfig:
    """The configuration for a backbone of load_backbone and CLIP's text tower with vectors of size `vector`.

    decoder: the fields of CLIPSegConfig that shape it, such as extract_layers.
    """
    seen = backbone.config.to_dict()
    if seen["model_type"] != "vit":  # the towers of CLIPVisionModel and CLIPSegVisionModel are the same
        seen["model_type"] = "clip_vision_model"
    sizes = ("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "image_size", "patch_size")
    vision = {name: seen[name] for name in sizes}
    return ViTSegConfig(text_config=text, vision_config=vision, backbone_config=seen, projection_dim=vector, **decoder)


class TextHalf(nn.Module):
    """CLIP's text tower and the projection of its end token."""

    def __init__(self, config: ViTSegConfig) -> None:
        super().__init__()
        self.text_model = CLIPSegTextModel(config.text_config)
        self.text_projection = nn.Linear(config.text_config.hidden_size, config.projection_dim, bias=False)


class ViTSegNetwork(CLIPSegPreTrainedModel):
    """The parameters, saved and loaded as transformers' models are."""

    config_class = ViTSegConfig

    def __init__(self, config: ViTSegConfig) -> None:
        super().__init__(config)
        self.backbone = _tower(config.backbone_config)
        self.clip = TextHalf(config)
        self.visual_projection = nn.Linear(config.vision_config.hidden_size, config.projection_dim)
        self.decoder = CLIPSegDecoder(config)
        self.post_init()


class ViTSeg(CLIPSeg):
    """ViTSeg in CLIPSeg's calls; the vision tower is another, text tower and decoder are the same."""

    network: ViTSegNetwork

    def encode_image(self, pixels: torch.Tensor) -> Readouts:
        """Read-outs of normalised pixels (B, 3, h, w), sides multiples of the patch; the whole backbone is run."""
        hidden = self._see(pixels, output_hidden_states=True).hidden_states
        grid = (pixels.shape[2] // self.patch_size, pixels.shape[3] // self.patch_size)
        return Readouts(tuple(hidden[index + 1] for index in self.extract_layers), grid)

    def embed_image(self, pixels: torch.Tensor) -> torch.Tensor:
        """(B, E) projected class token of normalised pixels (B, 3, h, w): an image as a prompt."""
        seen = self._see(pixels, output_hidden_states=False)
        # ViTModel normalises all of its last tokens, CLIPVisionModel the class token alone, which it returns pooled.
        token = seen.last_hidden_state[:, 0] if seen.pooler_output is None else seen.pooler_output
        return self.network.visual_projection(token)

    def _see(self, pixels: torch.Tensor, output_hidden_states: bool) -> BaseModelOutputWithPooling:
        height, width = pixels.shape[2:]
        if height % self.patch_size or width % self.patch_size:
            raise ValueError(f"pixels of {height}x{width}: expected multiples of the patch size {self.patch_size}")
        return self.network.backbone(
            pixel_values=pixels.to(self.dtype), interpolate_pos_encoding=True, output_hidden_states=output_hidden_states
        )


def load(folder: Path, dtype: torch.dtype) -> ViTSegNetwork:
    """The network of the folder in evaluation mode. Raises WeightsError where it is none or incomplete."""
    config = weights.read_json(folder / "config.json")
    kind = (config.get("backbone_config") or {}).get("model_type")
    if config.get("model_type") == MODEL_TYPE and kind not in BACKBONES:
        raise WeightsError(f"{folder}: backbone of model_type {kind!r}; expected {KINDS}")
    return weights.load_network(ViTSegNetwork, MODEL_TYPE, folder, dtype)


def load_backbone(folder: Path) -> PreTrainedModel:
    """A vision tower to build ViTSeg on, float32: of a ViT, or of a CLIP or CLIPSeg, which need be no published ones.

    Raises WeightsError.
    """
    kind = weights.read_json(folder / "config.json").get("model_type")
    if kind == "clipseg":
        return weights.load_clipseg(folder, torch.float32).clip.vision_model
    if kind == "clip":
        return weights.load_network(CLIPModel, kind, folder, torch.float32).vision_model
    if kind not in BACKBONES:
        raise WeightsError(f"{folder}: model_type {kind!r}; expected clip, clipseg, {KINDS}")
    return weights.load_network(_WithoutPooler if kind == "vit" else CLIPVisionModel, kind, folder, torch.float32)


class _WithoutPooler:
    """ViTModel's way to be loaded, without the pooler that checkpoints of classifiers lack."""

    @staticmethod
    def from_pretrained(folder: Path, **options: Any) -> Any:
        return ViTModel.from_pretrained(folder, add_pooling_layer=False, **options)


def _tower(config: dict[str, Any]) -> PreTrainedModel:
    described = BACKBONES[config["model_type"]](**{key: value for key, value in config.items() if key != "model_type"})
    return ViTModel(described, add_pooling_layer=False) if config["model_type"] == "vit" else CLIPVisionModel(described)
