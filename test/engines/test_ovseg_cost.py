# SPDX-License-Identifier: Apache-2.0
"""What a frame of 640x480 costs OVSeg's published sizes, counted without weights: fast settings and the authors'."""

from __future__ import annotations

from functools import cache

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers import CLIPConfig, CLIPModel

from clipseg_ros.engines.ovseg_settings import OvsegSettings, settings
from clipseg_ros.models.maskformer import STRIDE, ProposalNetwork, ProposalShape
from clipseg_ros.models.ovseg_clip import MaskedCLIP, MaskPrompts

TOWERS = {  # vision tower, patch, vectors
    "L/14": (
        {"hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 24, "num_attention_heads": 16}, 14, 768
    ),
    "B/16": (
        {"hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12, "num_attention_heads": 12}, 16, 512
    ),
}
PROPOSALS = ProposalShape().queries


@cache
def proposals_cost(height: int, width: int) -> float:
    """Multiply-adds in 10^9 of the Swin-B network for a picture, padded."""
    padded = (-(-side // STRIDE) * STRIDE for side in (height, width))
    with torch.device("meta"), torch.no_grad():
        network = ProposalNetwork(ProposalShape()).eval().requires_grad_(False)
        with FlopCounterMode(display=False) as counter:
            network(torch.zeros(1, 3, *padded))
    return counter.get_total_flops() / 2e9


@cache
def cut_out_cost(name: str) -> float:
    """Multiply-adds in 10^9 of the vision tower for one cut-out."""
    vision, patch, size = TOWERS[name]
    with torch.device("meta"), torch.no_grad():
        towers = {"vision_config": {**vision, "patch_size": patch, "image_size": 224}, "projection_dim": size}
        clip = CLIPModel(CLIPConfig(**towers)).eval().requires_grad_(False)
        prompts = MaskPrompts(3, (224 // patch) ** 2, vision["hidden_size"]).requires_grad_(False)
        with FlopCounterMode(display=False) as counter:
            masks = torch.zeros(1, 1, 224, 224, dtype=torch.bool)
            MaskedCLIP(clip, prompts).embed_regions(torch.zeros(1, 3, 224, 224), masks)
    return counter.get_total_flops() / 2e9


@pytest.mark.parametrize(("size", "cost"), [((640, 853), 249.0), ((480, 640), 142.0)])
def test_the_proposal_network_costs_what_the_authors_does(size: tuple[int, int], cost: float) -> None:
    assert abs(proposals_cost(*size) - cost) < 0.02 * cost


@pytest.mark.parametrize(("name", "cost"), [("L/14", 81.0), ("B/16", 17.6)])
def test_a_cut_out_costs_what_the_authors_does(name: str, cost: float) -> None:
    assert abs(cut_out_cost(name) - cost) < 0.02 * cost


def frame_cost(options: OvsegSettings) -> float:
    looks = options.top_k or PROPOSALS
    return proposals_cost(options.side, int(options.side * 640 / 480 + 0.5)) + looks * cut_out_cost("L/14")


def test_the_fast_settings_cost_at_least_four_times_less_than_the_authors() -> None:
    fast, reference = (frame_cost(settings({"speed": speed})) for speed in ("fast", "reference"))
    assert 1700.0 < fast < 1800.0 and 8200.0 < reference < 8500.0
    assert reference / fast > 4.5
