# SPDX-License-Identifier: Apache-2.0
"""ZegCLIP's network against the authors' numbers, its prompts, its file format, and what it refuses."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import CLIPModel

from clipseg_ros.models import zegclip
from clipseg_ros.models.hub import WeightsError
from clipseg_ros.models.zegclip import Shape, ZegCLIP, ZegCLIPNetwork
from clipseg_ros.models.zegclip_decoder import ZegCLIPDecoder, describe, terms_of

Arrays = dict[str, np.ndarray]
TINY = Shape(prompts=3, prompt_layers=(0, 1), heads=2, hidden=64, side=32)


@pytest.fixture
def model(zegclip_network: ZegCLIPNetwork) -> ZegCLIP:
    return ZegCLIP(zegclip_network.requires_grad_(False))


def close(found: torch.Tensor, expected: np.ndarray) -> None:
    np.testing.assert_allclose(found.detach().numpy(), expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize("suffix", ["", "_nonsquare"])
def test_the_prompted_tower_is_the_references(model: ZegCLIP, zegclip_golden: Arrays, suffix: str) -> None:
    encoded = model.encode_image(torch.from_numpy(zegclip_golden[f"image{suffix}"]))
    expected = zegclip_golden[f"patch_embeddings{suffix}"]
    assert encoded.grid == expected.shape[2:]
    close(encoded.patches.mT.unflatten(2, encoded.grid), expected)
    close(encoded.classes, zegclip_golden[f"cls_embedding{suffix}"])


def test_descriptor_and_decoder_are_the_references_layer_by_layer(model: ZegCLIP, zegclip_golden: Arrays) -> None:
    encoded = model.encode_image(torch.from_numpy(zegclip_golden["image"]))
    texts, decoder = torch.from_numpy(zegclip_golden["text"]), model.network.decoder
    described = describe(texts, encoded.classes)
    close(described, zegclip_golden["relationship_descriptor_concat"])
    queries = decoder.descriptor(described)
    close(queries, zegclip_golden["queries"])
    for index, layer in enumerate(decoder.layers):
        queries = layer(queries, encoded.patches)
        close(queries, zegclip_golden[f"decoder_layer{index}_query"])
    close(decoder.reader(queries, encoded.patches), zegclip_golden["decoder_layer2_maps"])
    close(model.decode(encoded, texts).flatten(2), zegclip_golden["decoder_layer2_maps"])


def test_classes_do_not_see_each_other(model: ZegCLIP, zegclip_golden: Arrays) -> None:
    encoded = model.encode_image(torch.from_numpy(zegclip_golden["image_nonsquare"]))
    texts = torch.from_numpy(zegclip_golden["text"])
    every = model.decode(encoded, texts)
    assert every.shape == (1, 5, 4, 7)
    torch.testing.assert_close(model.decode(encoded, texts[3:4]), every[:, 3:4], atol=1e-5, rtol=0)


def test_without_prompts_the_tower_is_clips_with_its_class_token_twice(zegclip_clip: CLIPModel) -> None:
    network = zegclip.on_clip(zegclip_clip, Shape(prompt_layers=(), heads=2, hidden=64, side=32))
    assert network.prompts is None
    pixels = torch.linspace(-2, 2, 3 * 32 * 32).sin().reshape(1, 3, 32, 32)
    encoded = ZegCLIP(network).encode_image(pixels)
    with torch.no_grad():
        network.clip.vision_model.embeddings.class_embedding.mul_(2.0)
        seen = network.clip.vision_model(pixels)
        patches = network.clip.visual_projection(network.clip.vision_model.post_layernorm(seen.last_hidden_state))
    close(encoded.patches, nn.functional.normalize(patches[:, 1:], dim=-1).numpy())
    close(encoded.classes, nn.functional.normalize(patches[:, 0], dim=-1).numpy())


def test_prompts_stand_in_their_blocks_alone(zegclip_clip: CLIPModel) -> None:
    network, seen = zegclip.on_clip(zegclip_clip, TINY), []
    for block in network.clip.vision_model.encoder.layers:
        block.self_attn.q_proj.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].shape[1]))
    ZegCLIP(network).encode_image(torch.zeros(1, 3, 32, 24))
    assert seen == [1 + 3 + 12, 1 + 3 + 12, 1 + 12, 1 + 12]


def test_fresh_layers_of_the_decoder_are_alike_and_prompts_are_drawn(zegclip_clip: CLIPModel) -> None:
    network = zegclip.on_clip(zegclip_clip, TINY)
    first, second = network.decoder.layers
    assert all(torch.equal(one, other) for one, other in zip(first.parameters(), second.parameters()))
    assert torch.equal(first.k.weight, network.decoder.reader.k.weight)
    bound = (6.0 / (3 * 8 * 8 + 32)) ** 0.5
    assert network.prompts.tokens.shape == (2, 3, 32) and 0.9 * bound < network.prompts.tokens.abs().max() <= bound


def test_clips_weights_are_kept_and_its_positions_resized(zegclip_clip: CLIPModel) -> None:
    shape = Shape(prompt_layers=(0,), heads=2, hidden=64, side=64)
    network, own = zegclip.on_clip(zegclip_clip, shape), zegclip_clip.state_dict()
    for name, tensor in network.clip.state_dict().items():
        assert name == zegclip.POSITIONS or torch.equal(tensor, own[name])
    table = network.clip.state_dict()[zegclip.POSITIONS]
    assert table.shape == (65, 32) and torch.equal(table[:2], own[zegclip.POSITIONS][:2])  # corners stay


def test_something_is_dropped_out_in_training_alone(model: ZegCLIP, zegclip_golden: Arrays) -> None:
    pixels, texts = torch.from_numpy(zegclip_golden["image"]), torch.from_numpy(zegclip_golden["text"])
    first, again = (model.decode(model.encode_image(pixels), texts) for _ in range(2))
    assert torch.equal(first, again)
    model.train()
    tower, again = (model.encode_image(pixels) for _ in range(2))
    assert not torch.equal(tower.patches, again.patches)
    assert not torch.equal(model.decode(tower, texts), model.decode(tower, texts))


def test_what_is_saved_is_loaded(zegclip_network: ZegCLIPNetwork, tmp_path: Path) -> None:
    zegclip_network.save_pretrained(tmp_path)
    loaded = zegclip.load(tmp_path, torch.float32)
    assert loaded.config.prompt_layers == [0, 1, 2, 3] and not loaded.training
    assert loaded.state_dict().keys() == zegclip_network.state_dict().keys()
    assert all(torch.equal(tensor, loaded.state_dict()[name]) for name, tensor in zegclip_network.state_dict().items())


def test_a_missing_weight_is_named(zegclip_network: ZegCLIPNetwork, tmp_path: Path) -> None:
    zegclip_network.save_pretrained(tmp_path)
    tensors = load_file(tmp_path / "model.safetensors")
    del tensors["decoder.descriptor.bias"]
    save_file(tensors, tmp_path / "model.safetensors", {"format": "pt"})
    with pytest.raises(WeightsError, match="1 weights do not fit.*decoder.descriptor.bias, is missing"):
        zegclip.load(tmp_path, torch.float32)


def test_other_models_are_refused(tiny_weights: Path) -> None:
    with pytest.raises(WeightsError, match="model_type 'clipseg'; expected zegclip"):
        zegclip.load(tiny_weights, torch.float32)


def test_sides_that_the_patch_does_not_divide_are_refused(model: ZegCLIP) -> None:
    with pytest.raises(ValueError, match="pixels of 32x30: expected multiples of the patch size 8"):
        model.encode_image(torch.zeros(1, 3, 32, 30))


def test_prompts_in_blocks_that_are_not_there_are_refused(zegclip_clip: CLIPModel) -> None:
    with pytest.raises(ValueError, match=r"prompt_layers \[4\]: expected blocks from 0 to 3"):
        zegclip.on_clip(zegclip_clip, Shape(prompt_layers=(3, 4), heads=2, side=32))


def test_heads_that_do_not_divide_the_width_are_refused() -> None:
    with pytest.raises(ValueError, match="decoder of 3 heads: expected a divisor of the width 16"):
        ZegCLIPDecoder(width=16, layers=3, heads=3, hidden=64)


@pytest.mark.parametrize("descriptor", ["t", "t,g", "t*g,|t-g|,t", "t+g,t-g"])
def test_descriptors_are_made_of_their_terms_and_kept_with_the_weights(
    descriptor: str, zegclip_clip: CLIPModel, tmp_path: Path
) -> None:
    texts, seen = torch.tensor([[1.0, -2.0], [0.5, 4.0]]), torch.tensor([[3.0, 1.0]])
    by_hand = {"t": [1.0, -2.0], "g": [3.0, 1.0], "t*g": [3.0, -2.0], "|t-g|": [2.0, 3.0], "t+g": [4.0, -1.0],
               "t-g": [-2.0, -3.0]}
    described = describe(texts, seen, terms_of(descriptor))
    assert described[0, 0].tolist() == [number for term in descriptor.split(",") for number in by_hand[term]]
    assert described.shape == (1, 2, 2 * len(descriptor.split(",")))
    network = zegclip.on_clip(zegclip_clip, replace(TINY, descriptor=descriptor))
    network.save_pretrained(tmp_path)
    loaded = ZegCLIP(zegclip.load(tmp_path, torch.float32))
    pixels, vectors = torch.randn(1, 3, 32, 32), nn.functional.normalize(torch.randn(3, 16), dim=1)
    found = [model.decode(model.encode_image(pixels), vectors) for model in (loaded, ZegCLIP(network))]
    torch.testing.assert_close(*found, atol=1e-5, rtol=0)
    assert loaded.network.config.descriptor == descriptor


def test_a_term_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match=r"descriptor 't\*g,x': 'x' is none of t, g, t\*g, t\+g, t-g, \|t-g\|"):
        terms_of("t*g,x")


def test_a_cut_out_gets_the_positions_of_its_place() -> None:
    table = torch.randn(1 + 8 * 8, 6)
    whole = torch.tensor([[0.0, 0.0, 1.0, 1.0]])
    torch.testing.assert_close(zegclip.cut_positions(table, whole, (4, 6))[0], zegclip.resize_positions(table, (4, 6)))
    corner = zegclip.cut_positions(table, torch.tensor([[0.5, 0.25, 0.25, 0.5]]), (2, 4))[0]
    torch.testing.assert_close(corner[0], table[0])
    torch.testing.assert_close(corner[1:].unflatten(0, (2, 4)), table[1:].unflatten(0, (8, 8))[4:6, 2:6])


def test_a_span_of_the_whole_picture_changes_nothing(model: ZegCLIP, zegclip_golden: Arrays) -> None:
    pixels = torch.from_numpy(zegclip_golden["image_nonsquare"])
    spans = torch.tensor([[0.0, 0.0, 1.0, 1.0]]).expand(len(pixels), -1)
    torch.testing.assert_close(model.encode_image(pixels, spans).patches, model.encode_image(pixels).patches)
