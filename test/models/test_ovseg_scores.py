# SPDX-License-Identifier: Apache-2.0
"""OVSeg's arithmetic against the authors' numbers and by hand, with no, one and many cut-outs."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from clipseg_ros.models.ovseg import OVSegNetwork
from clipseg_ros.models.ovseg_clip import MaskedCLIP
from clipseg_ros.models.ovseg_regions import cut_outs
from clipseg_ros.models.ovseg_scores import (
    fused, kept_proposals, mask_probabilities, region_probabilities, summed, vector_probabilities,
)

Arrays = dict[str, np.ndarray]
Tensors = dict[str, torch.Tensor]


@pytest.fixture
def golden(ovseg_golden: Arrays) -> Tensors:
    return {name: torch.from_numpy(array) for name, array in ovseg_golden.items()}


def close(found: torch.Tensor, expected: torch.Tensor) -> None:
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)


def resized(maps: torch.Tensor) -> torch.Tensor:
    return F.interpolate(maps[None], (48, 68), mode="bilinear", align_corners=False)[0, :, ::4, ::4]


def features_of(golden: Tensors) -> torch.Tensor:
    return F.normalize(golden["clip_features_prompted"], dim=-1)


@pytest.mark.parametrize(("weight", "name"), [(0.7, "semseg"), (0.0, "semseg_clip_only")])
def test_fusion_is_the_references(ovseg_network: OVSegNetwork, golden: Tensors, weight: float, name: str) -> None:
    p = vector_probabilities(golden["proposal_embeddings"][0], golden["text"], ovseg_network.proposer.no_object)
    torch.testing.assert_close(p, golden["class_logits"][0].softmax(dim=-1)[:, :-1], atol=1e-5, rtol=0)
    scores = fused(p, region_probabilities(features_of(golden), golden["text"]), seen(golden), weight)
    close(summed(scores, golden["mask_prob_with_empty"])[:, ::4, ::4], golden[f"{name}_every_4"])


def seen(golden: Tensors) -> torch.Tensor:
    return golden["valid"].nonzero()[:, 0]


def test_the_demos_selection_is_the_references(golden: Tensors) -> None:
    hard = (golden["mask_prob_with_empty"] > 0.5).float()
    for texts, asked, name in (
        (golden["text"], 4, "demo_masks"),
        (torch.stack([golden["text"][0], golden["text_others"]]), 1, "demo_masks_single"),
    ):
        q = region_probabilities(features_of(golden), texts)
        scores = fused(torch.zeros(7, len(texts)), q, seen(golden), 0.0)
        maps = summed(scores * kept_proposals(scores, asked)[:, None], hard)
        close(maps[:, ::4, ::4], golden[f"{name}_every_4"])


def test_the_whole_model_is_the_reference(
    ovseg_network: OVSegNetwork, golden: Tensors, ovseg_input: torch.Tensor, ovseg_pixels: torch.Tensor
) -> None:
    proposer = ovseg_network.proposer
    proposals = proposer(ovseg_input).last
    masks = mask_probabilities(proposals.mask_logits[0], (64, 96), (64, 90))
    close(masks[:, ::4, ::4], golden["mask_prob_every_4"])
    hard = masks > 0.5
    there = hard.any(dim=2).any(dim=1).nonzero()[:, 0]
    clip = MaskedCLIP(ovseg_network.clip, ovseg_network.mask_prompts)
    features = clip.embed_regions(*cut_outs(ovseg_pixels, hard[there], 224))
    q = region_probabilities(features, golden["text"])
    p = vector_probabilities(proposals.vectors[0], golden["text"], proposer.no_object)
    close(resized(summed(fused(p, q, there, 0.7), masks)), golden["forward_semseg_every_4"])
    scores = fused(p, q, there, 0.0)
    close(resized(summed(scores * kept_proposals(scores, 4)[:, None], hard.float())), golden["demo_every_4"])


@pytest.mark.parametrize("count", [0, 1, 100])
def test_any_number_of_cut_outs_is_fused(count: int) -> None:
    torch.manual_seed(0)
    p, q = torch.rand(100, 3), torch.rand(count, 3)
    where = torch.arange(count)
    every = fused(p, q, where, 0.5)
    close(every[:count], (p[:count] * q) ** 0.5)
    close(every[count:], p[count:] ** 0.5)
    alone = fused(p, q, where, 0.0)
    close(alone[:count], q)
    assert not alone[count:].any()
    close(fused(p, q, where, 1.0), alone)
    assert kept_proposals(alone, 3).sum() <= 3
    assert summed(alone, torch.ones(100, 2, 2)).shape == (3, 2, 2)


def test_no_proposal_at_all_is_fused_too() -> None:
    nothing = torch.zeros(0, 3)
    assert fused(nothing, nothing, torch.arange(0), 0.7).shape == (0, 3)
    assert kept_proposals(nothing, 3).shape == (0,)
    assert not summed(nothing, torch.zeros(0, 4, 5)).any()


def test_more_than_the_best_are_kept_below_a_ratio_of_one() -> None:
    scores = torch.tensor([[0.9, 0.1], [0.5, 0.5], [0.2, 0.8], [0.9, 0.1]])
    assert kept_proposals(scores, 1).tolist() == [True, False, False, False]
    assert kept_proposals(scores, 2).tolist() == [True, False, True, False]
    assert kept_proposals(scores, 1, 0.5).tolist() == [True, True, False, True]
    assert kept_proposals(scores, 1, 0.99).tolist() == [True, False, False, True]
