# SPDX-License-Identifier: Apache-2.0
"""CLIP-Deconv's decoder against the same sum written out, its file format, and what it refuses."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.nn import functional as F

from clipseg_ros.models import clip_deconv
from clipseg_ros.models.clip_deconv import CLIPDeconv, CLIPDeconvConfig, CLIPDeconvNetwork
from clipseg_ros.models.hub import WeightsError

TOWER = {"hidden_size": 16, "intermediate_size": 32, "num_attention_heads": 2}


def config(layers: tuple[int, ...] = (1,)) -> CLIPDeconvConfig:
    return CLIPDeconvConfig(
        text_config={**TOWER, "num_hidden_layers": 1, "vocab_size": 529, "bos_token_id": 527, "eos_token_id": 528},
        vision_config={**TOWER, "num_hidden_layers": 3, "patch_size": 8, "image_size": 32},
        projection_dim=12, reduce_dim=6, extract_layers=list(layers), decoder_intermediate_size=10,
    )


@pytest.fixture
def network() -> CLIPDeconvNetwork:
    torch.manual_seed(0)
    made = CLIPDeconvNetwork(config()).eval().requires_grad_(False)
    for weight in made.parameters():
        weight.add_(0.2 * torch.randn_like(weight))
    return made


def test_the_decoder_is_reduce_film_two_linears_and_one_enlargement(network: CLIPDeconvNetwork) -> None:
    model, pixels, vectors = CLIPDeconv(network), torch.randn(2, 3, 32, 24), torch.randn(3, 12)
    readouts, decoder = model.encode_image(pixels), network.decoder
    found = model.decode(readouts, vectors)
    assert found.shape == (2, 3, 32, 24) and len(readouts.tokens) == 1
    token = readouts.tokens[0][1, 1 + 2 * 3 + 1]  # the patch in row 2, column 1 of the second image's 4 x 3
    small = decoder.film_mul(vectors[2]) * decoder.reduce(token) + decoder.film_add(vectors[2])
    small = decoder.fc2(F.relu(decoder.fc1(small)))
    patch = torch.einsum("c,cij->ij", small, decoder.transposed_convolution.weight[:, 0])
    patch = patch + decoder.transposed_convolution.bias
    torch.testing.assert_close(found[1, 2, 16:24, 8:16], patch, atol=1e-5, rtol=1e-4)


def test_each_image_may_have_prompts_of_its_own(network: CLIPDeconvNetwork) -> None:
    model, pixels, vectors = CLIPDeconv(network), torch.randn(2, 3, 32, 32), torch.randn(2, 1, 12)
    both, readouts = model.decode(model.encode_image(pixels), vectors), model.encode_image(pixels[1:])
    torch.testing.assert_close(both[1], model.decode(readouts, vectors[1])[0], atol=1e-4, rtol=1e-3)


def test_what_is_saved_is_loaded(network: CLIPDeconvNetwork, tmp_path: Path) -> None:
    network.save_pretrained(tmp_path)
    loaded = clip_deconv.load(tmp_path, torch.float32)
    assert loaded.config.extract_layers == [1] and not loaded.training
    assert all(torch.equal(tensor, loaded.state_dict()[name]) for name, tensor in network.state_dict().items())


def test_a_missing_weight_is_named(network: CLIPDeconvNetwork, tmp_path: Path) -> None:
    network.save_pretrained(tmp_path)
    tensors = load_file(tmp_path / "model.safetensors")
    del tensors["decoder.fc1.weight"]
    save_file(tensors, tmp_path / "model.safetensors", {"format": "pt"})
    with pytest.raises(WeightsError, match="1 weights do not fit.*decoder.fc1.weight, is missing"):
        clip_deconv.load(tmp_path, torch.float32)


def test_more_than_one_layer_is_refused() -> None:
    with pytest.raises(ValueError, match=r"extract_layers \[0, 1\]: CLIP-Deconv reads one block"):
        CLIPDeconvNetwork(config((0, 1)))
