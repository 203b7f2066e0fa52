# SPDX-License-Identifier: Apache-2.0
"""OVSeg's proposal network against the authors' numbers, its start, and what it refuses."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from transformers.models.maskformer.modeling_maskformer_swin import MaskFormerDropPath

from clipseg_ros.models.maskformer import ProposalNetwork, ProposalShape, class_logits
from clipseg_ros.models.ovseg import OVSegNetwork

Arrays = dict[str, np.ndarray]
TINY = ProposalShape(
    width=16, depths=(1, 1, 1, 1), heads=(1, 2, 4, 8), window=4, features=32, decoder_width=32, decoder_layers=2,
    decoder_heads=4, decoder_hidden=48, queries=5, vector_hidden=24, vector_size=16,
)


def close(found: torch.Tensor, expected: np.ndarray) -> None:
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-4, rtol=0)


def test_swin_and_pyramid_are_the_references(
    ovseg_network: OVSegNetwork, ovseg_golden: Arrays, ovseg_input: torch.Tensor
) -> None:
    features = ovseg_network.proposer.features(ovseg_input)
    assert len(features) == 4
    for index, feature in enumerate(features):
        close(feature, ovseg_golden[f"swin_res{index + 2}"])
    close(ovseg_network.proposer.mask_features(features)[:, ::2], ovseg_golden["mask_features_every_2"])


def test_vectors_and_masks_are_the_references_in_every_layer(
    ovseg_network: OVSegNetwork, ovseg_golden: Arrays, ovseg_input: torch.Tensor
) -> None:
    proposed = ovseg_network.proposer(ovseg_input, aux=True)
    close(proposed.last.vectors, ovseg_golden["proposal_embeddings"])
    close(proposed.last.mask_logits, ovseg_golden["mask_logits"])
    assert len(proposed.aux) == 2
    for index, layer in enumerate(proposed.aux):
        close(layer.vectors, ovseg_golden[f"aux{index}_embeddings"])
        close(layer.mask_logits, ovseg_golden[f"aux{index}_mask_logits"])


def test_class_logits_are_the_references(
    ovseg_network: OVSegNetwork, ovseg_golden: Arrays, ovseg_input: torch.Tensor
) -> None:
    proposer = ovseg_network.proposer
    proposed = proposer(ovseg_input)
    texts = torch.from_numpy(ovseg_golden["text"])
    close(class_logits(proposed.last.vectors, texts, proposer.no_object), ovseg_golden["class_logits"])
    assert proposed.aux == ()


@pytest.mark.parametrize("shape", [TINY, replace(TINY, backbone="resnet_c", drop_path=0.0)])
def test_any_size_and_either_backbone_makes_masks_at_a_quarter(shape: ProposalShape) -> None:
    torch.manual_seed(0)
    network = ProposalNetwork(shape).eval()
    with torch.no_grad():
        found = network(torch.randn(2, 3, 64, 32))
    assert found.last.vectors.shape == (2, 5, 16) and found.last.mask_logits.shape == (2, 5, 16, 8)
    assert torch.isfinite(found.last.mask_logits).all() and found.last.mask_logits.std() > 0.0


def test_every_weight_learns() -> None:
    torch.manual_seed(0)
    network = ProposalNetwork(TINY)
    found = network(torch.randn(2, 3, 64, 64), aux=True)
    layers = (found.last, *found.aux)
    texts = torch.nn.functional.normalize(torch.randn(3, 16), dim=-1)
    loss = sum(class_logits(each.vectors, texts, network.no_object).square().mean() for each in layers)
    (loss + sum(each.mask_logits.square().mean() for each in layers)).backward()
    assert [name for name, weight in network.named_parameters() if weight.grad is None] == []


def test_blocks_of_the_backbone_skip_both_branches_in_training() -> None:
    blocks = [block for stage in ProposalNetwork(TINY).backbone.model.encoder.layers for block in stage.blocks]
    rates = [(block.drop_path.drop_prob, block.output.dropout.drop_prob) for block in blocks[1:]]
    np.testing.assert_allclose(rates, [(0.1, 0.1), (0.2, 0.2), (0.3, 0.3)], atol=1e-6)
    assert not isinstance(blocks[0].output.dropout, MaskFormerDropPath)


def test_fresh_weights_are_drawn_as_the_authors_draw_them() -> None:
    torch.manual_seed(0)
    shape = replace(TINY, width=32, heads=(1, 1, 1, 1), queries=64, decoder_width=64)
    network = ProposalNetwork(shape).requires_grad_(False)
    swin = network.backbone.model.encoder.layers[3].blocks[0]
    assert abs(float(swin.intermediate.dense.weight.std()) - 0.02) < 0.001
    assert 0.01 < float(swin.attention.self.relative_position_bias_table.std()) < 0.03
    assert abs(float(network.decoder.queries.weight.std()) - 1.0) < 0.05
    bound = (6.0 / (64 + 64)) ** 0.5
    weight = network.decoder.transformer.layers[0].self_attn.q_proj.weight
    assert 0.98 * bound < float(weight.abs().max()) <= bound
    assert float(network.pixel_decoder.mask_projection.bias.abs().max()) == 0.0


def test_what_makes_no_sense_is_refused() -> None:
    with pytest.raises(ValueError, match="backbone 'vit': expected one of swin, resnet_c"):
        ProposalShape(backbone="vit")
    with pytest.raises(ValueError, match="pixels of 64x48: expected multiples of 32"):
        ProposalNetwork(TINY)(torch.zeros(1, 3, 64, 48))
