# SPDX-License-Identifier: Apache-2.0
"""Fresh decoders: how they start and drop out beside PyTorch's own layers, and what is frozen beneath them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn
from transformers import CLIPSegConfig
from transformers.models.clipseg.modeling_clipseg import CLIPSegDecoder

from clipseg_ros.models import weights
from clipseg_ros.models.blocks import post_norm_block
from clipseg_ros.training import decoders
from clipseg_ros.training.decoders import Architecture

SMALL = {"side": 64, "reduce_dim": 16, "hidden": 32}


def build(clip: Path, **changes: object) -> decoders.Student:
    return decoders.build(Architecture(clip=str(clip), backbone=str(clip), **{**SMALL, **changes}), seed=0)


def block(size: int = 32) -> nn.Module:
    vision = {"hidden_size": 8, "num_attention_heads": 2, "intermediate_size": 8, "num_hidden_layers": 1}
    config = CLIPSegConfig(vision_config=vision, extract_layers=[0], reduce_dim=size, decoder_intermediate_size=64)
    return CLIPSegDecoder(config).layers[0]


def test_a_block_trains_as_pytorchs_encoder_layer_does_dropout_for_dropout() -> None:
    ours, theirs = block(), nn.TransformerEncoderLayer(32, 4, 64, dropout=0.3, batch_first=True)
    attention = ours.self_attn
    with torch.no_grad():
        theirs.self_attn.in_proj_weight.copy_(
            torch.cat([attention.q_proj.weight, attention.k_proj.weight, attention.v_proj.weight])
        )
        pairs = ((theirs.self_attn.out_proj, attention.out_proj), (theirs.linear1, ours.mlp.fc1),
                 (theirs.linear2, ours.mlp.fc2))
        for copy, original in pairs:
            copy.load_state_dict(original.state_dict())
    decoders.drop_out(ours, 0.3)
    tokens = torch.randn(1, 7, 32)
    for mode in (True, False):
        ours.train(mode), theirs.train(mode)
        torch.manual_seed(5)
        found = post_norm_block(ours, tokens)
        torch.manual_seed(5)
        torch.testing.assert_close(found, theirs(tokens), atol=1e-5, rtol=1e-4)


def test_a_fresh_decoder_starts_as_pytorchs_layers_do() -> None:
    torch.manual_seed(0)
    ours, theirs = block(64), nn.TransformerEncoderLayer(64, 4, 64)
    decoders.start_as_pytorch(ours)
    attention, stacked = ours.self_attn, theirs.self_attn.in_proj_weight.detach()
    assert float(attention.q_proj.weight.detach().abs().max()) <= 1.02 * float(stacked.abs().max())
    pairs = [(attention.q_proj.weight, stacked), (ours.mlp.fc1.weight, theirs.linear1.weight),
             (ours.mlp.fc1.bias, theirs.linear1.bias), (attention.out_proj.weight, theirs.self_attn.out_proj.weight)]
    assert all(one.detach().std().item() == pytest.approx(other.detach().std().item(), rel=0.1) for one, other in pairs)
    assert not attention.q_proj.bias.any() and not attention.out_proj.bias.any()


@pytest.mark.parametrize("engine", list(decoders.BUILDERS))
def test_the_towers_are_those_of_the_weights_and_frozen(tiny_weights: Path, engine: str) -> None:
    made = build(tiny_weights, engine=engine, extract_layers=(9,))
    original = weights.load_clipseg(tiny_weights, torch.float32).clip.state_dict()
    clip = made.model.network.clip.state_dict()
    assert clip and all(torch.equal(tensor, original[name]) for name, tensor in clip.items())
    free = {name for name, weight in made.model.network.named_parameters() if weight.requires_grad}
    heads = ("decoder.", "visual_projection.") if engine == "vitseg" else ("decoder.",)
    assert free == {name for name, _ in made.model.network.named_parameters() if name.startswith(heads)}


def test_a_clip_may_be_random_and_the_seed_decides_all_that_is_fresh(tiny_weights: Path) -> None:
    known, random, again = build(tiny_weights), build(tiny_weights, pretrained=False), build(tiny_weights)
    first, second, third = (made.model.network.state_dict() for made in (known, random, again))
    name = "clip.vision_model.encoder.layers.0.mlp.fc1.weight"
    assert not torch.equal(first[name], second[name])
    assert all(torch.equal(tensor, third[name]) for name, tensor in first.items())


def test_parameters_are_as_many_as_the_reference_counts(tiny_weights: Path) -> None:
    """1,073,153 at widths 768 and 512, and 1,127,009 refined (CLIPDensePredT, counted); fewer columns here."""
    tower, vector = 24, 20
    for refined, published in ((False, 1_073_153), (True, 1_127_009)):
        made = build(tiny_weights, reduce_dim=64, hidden=2048, refined=refined)
        narrower = 3 * 64 * (768 - tower) + 2 * 64 * (512 - vector)
        assert sum(weight.numel() for weight in made.learned.parameters()) == published - narrower


def test_an_unknown_engine_is_refused(tiny_weights: Path) -> None:
    with pytest.raises(ValueError, match="engine 'car': expected one of clipseg, clip-deconv, vitseg"):
        build(tiny_weights, engine="car")
