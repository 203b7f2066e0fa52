# SPDX-License-Identifier: Apache-2.0
"""ViTSeg on towers of both kinds: what is read of the tower, what decodes it, the file format, what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch.nn import functional as F
from transformers import CLIPVisionConfig, CLIPVisionModel, PreTrainedModel, ViTConfig, ViTForImageClassification

from clipseg_ros.models import vitseg, weights
from clipseg_ros.models.hub import WeightsError
from clipseg_ros.models.vitseg import ViTSeg, ViTSegNetwork

TOWER = {"hidden_size": 16, "intermediate_size": 32, "num_attention_heads": 2, "num_hidden_layers": 3}
SEEN = {**TOWER, "patch_size": 8, "image_size": 32}
TEXT = {**TOWER, "num_hidden_layers": 1, "vocab_size": 529, "bos_token_id": 527, "eos_token_id": 528}


def save_backbone(kind: str, folder: Path) -> PreTrainedModel:
    torch.manual_seed(0)
    tower = {
        "vit": lambda: ViTForImageClassification(ViTConfig(**SEEN)),  # as the hub has them: with a classifier
        "clip_vision_model": lambda: CLIPVisionModel(CLIPVisionConfig(**SEEN)),
    }[kind]()
    with torch.no_grad():
        for weight in tower.parameters():
            weight.add_(0.1 * torch.randn_like(weight))
    tower.save_pretrained(folder)
    return tower.eval()


@pytest.fixture(params=["vit", "clip_vision_model"])
def network(request: pytest.FixtureRequest, tmp_path: Path) -> ViTSegNetwork:
    save_backbone(request.param, tmp_path / "backbone")
    backbone = vitseg.load_backbone(tmp_path / "backbone")
    config = vitseg.configure(backbone, TEXT, 12, extract_layers=[0, 1], reduce_dim=8, decoder_intermediate_size=16)
    made = ViTSegNetwork(config).eval().requires_grad_(False)
    made.backbone.load_state_dict(backbone.state_dict())
    return made


@pytest.mark.parametrize("kind", ["vit", "clip_vision_model"])
def test_a_backbone_comes_whole_out_of_its_folder(kind: str, tmp_path: Path) -> None:
    saved, pixels = save_backbone(kind, tmp_path), torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        expected = getattr(saved, "vit", saved)(pixels).last_hidden_state
        torch.testing.assert_close(vitseg.load_backbone(tmp_path)(pixels).last_hidden_state, expected)


def test_the_tower_of_a_clipseg_is_a_backbone(tiny_weights: Path) -> None:
    tower = weights.load_clipseg(tiny_weights, torch.float32).clip.vision_model
    backbone = vitseg.load_backbone(tiny_weights)
    config = vitseg.configure(backbone, TEXT, 12, extract_layers=[3])
    made = ViTSegNetwork(config).backbone
    made.load_state_dict(backbone.state_dict())
    pixels = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        expected = tower(pixels, interpolate_pos_encoding=True).pooler_output
        found = made.eval()(pixels, interpolate_pos_encoding=True).pooler_output
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)


def test_what_is_read_is_what_the_blocks_put_out(network: ViTSegNetwork) -> None:
    blocks = getattr(network.backbone, "layers", None) or network.backbone.encoder.layers
    outputs: list[torch.Tensor] = []
    for block in blocks[:2]:
        block.register_forward_hook(lambda _, __, out: outputs.append(out[0] if isinstance(out, tuple) else out))
    readouts = ViTSeg(network).encode_image(torch.randn(2, 3, 32, 24))
    assert readouts.grid == (4, 3)
    assert all(torch.equal(read, out) for read, out in zip(readouts.tokens, outputs, strict=True))


def test_the_decoder_is_clipsegs(network: ViTSegNetwork) -> None:
    model, vectors = ViTSeg(network), torch.randn(1, 12)
    readouts = model.encode_image(torch.randn(1, 3, 32, 32))
    theirs = network.decoder(readouts.tokens, vectors).logits
    torch.testing.assert_close(model.decode(readouts, vectors)[0, 0], theirs.view(32, 32), atol=1e-5, rtol=1e-4)


def test_an_image_as_a_prompt_is_the_projected_class_token(network: ViTSegNetwork) -> None:
    pixels, tower = torch.randn(2, 3, 32, 32), network.backbone
    last = tower(pixels, output_hidden_states=True).hidden_states[-1][:, 0]
    token = tower.layernorm(last) if hasattr(tower, "layernorm") else tower.post_layernorm(last)
    expected = F.linear(token, network.visual_projection.weight, network.visual_projection.bias)
    torch.testing.assert_close(ViTSeg(network).embed_image(pixels), expected)


def test_what_is_saved_is_loaded(network: ViTSegNetwork, tmp_path: Path) -> None:
    network.save_pretrained(tmp_path / "whole")
    loaded = vitseg.load(tmp_path / "whole", torch.float32)
    assert all(torch.equal(tensor, loaded.state_dict()[name]) for name, tensor in network.state_dict().items())
    assert loaded.config.backbone_config["model_type"] == network.config.backbone_config["model_type"]


def test_an_unknown_backbone_is_refused(network: ViTSegNetwork, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "swin"}')
    with pytest.raises(WeightsError, match="model_type 'swin'; expected clip, clipseg, vit or clip_vision_model"):
        vitseg.load_backbone(tmp_path)
    network.save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    config["backbone_config"]["model_type"] = "swin"
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(WeightsError, match="backbone of model_type 'swin'; expected vit or clip_vision_model"):
        vitseg.load(tmp_path, torch.float32)


def test_pixels_that_are_no_multiple_of_the_patch_are_refused(network: ViTSegNetwork) -> None:
    with pytest.raises(ValueError, match="pixels of 32x30: expected multiples of the patch size 8"):
        ViTSeg(network).encode_image(torch.zeros(1, 3, 32, 30))
