# SPDX-License-Identifier: Apache-2.0
"""The CLIP that reads cut-outs: the authors' numbers, what mask prompts touch, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional as F
from transformers import CLIPModel

from clipseg_ros.models.clip import CLIP
from clipseg_ros.models.ovseg import OVSegNetwork
from clipseg_ros.models.ovseg_clip import MaskedCLIP, MaskPrompts
from clipseg_ros.models.ovseg_regions import cut_outs

Arrays = dict[str, np.ndarray]


@pytest.fixture
def regions(ovseg_golden: Arrays, ovseg_pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    hard = torch.from_numpy(ovseg_golden["mask_prob_with_empty"]) > 0.5
    return cut_outs(ovseg_pixels, hard[torch.from_numpy(ovseg_golden["valid"])], 224)


@pytest.mark.parametrize("kind", ["prompted", "plain"])
def test_features_of_cut_outs_are_the_references(
    ovseg_network: OVSegNetwork, ovseg_golden: Arrays, regions: tuple[torch.Tensor, torch.Tensor], kind: str
) -> None:
    prompts = ovseg_network.mask_prompts if kind == "prompted" else None
    expected = F.normalize(torch.from_numpy(ovseg_golden[f"clip_features_{kind}"]), dim=-1)
    found = MaskedCLIP(ovseg_network.clip, prompts).embed_regions(*regions)
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)


def test_without_blank_patches_prompts_change_nothing(ovseg_network: OVSegNetwork) -> None:
    pixels = torch.randn(2, 3, 224, 224)
    masks = torch.zeros(2, 1, 224, 224, dtype=torch.bool)
    masks[..., ::32, ::32] = True  # one pixel a patch is enough
    with_prompts = MaskedCLIP(ovseg_network.clip, ovseg_network.mask_prompts).embed_regions(pixels, masks)
    torch.testing.assert_close(with_prompts, CLIP(ovseg_network.clip).embed_image(pixels), atol=1e-5, rtol=0)


def test_what_a_blank_patch_holds_does_not_matter(ovseg_network: OVSegNetwork) -> None:
    model = MaskedCLIP(ovseg_network.clip, ovseg_network.mask_prompts)
    pixels, masks = torch.randn(1, 3, 224, 224), torch.ones(1, 1, 224, 224, dtype=torch.bool)
    masks[..., :32, :32] = False
    other = pixels.clone()
    other[..., :32, :32] = 5.0
    torch.testing.assert_close(model.embed_regions(pixels, masks), model.embed_regions(other, masks))
    plain = MaskedCLIP(ovseg_network.clip, None)
    assert (plain.embed_regions(pixels, masks) - plain.embed_regions(other, masks)).abs().max() > 1e-3


def test_every_place_of_the_prompts_learns(ovseg_clip: CLIPModel) -> None:
    torch.manual_seed(0)
    prompts = MaskPrompts(3, 49, 32)
    masks = torch.zeros(1, 1, 224, 224, dtype=torch.bool)
    MaskedCLIP(ovseg_clip, prompts).embed_regions(torch.zeros(1, 3, 224, 224), masks)[0, 0].backward()
    assert (prompts.tokens.grad.abs().amax(dim=(1, 2)) > 0.0).all()


def test_fresh_prompts_are_drawn_with_a_deviation_of_two_hundredths() -> None:
    torch.manual_seed(0)
    assert abs(float(MaskPrompts(3, 196, 64).tokens.detach().std()) - 0.02) < 5e-4


def test_texts_are_clips_own(ovseg_clip: CLIPModel) -> None:
    ids, lengths = torch.tensor([[527, 3, 4, 528], [527, 9, 528, 0]]), torch.tensor([4, 3])
    found = MaskedCLIP(ovseg_clip, None).embed_text(ids, lengths)
    torch.testing.assert_close(found, CLIP(ovseg_clip).embed_text(ids, lengths))


def test_another_side_is_refused(ovseg_network: OVSegNetwork) -> None:
    model = MaskedCLIP(ovseg_network.clip, ovseg_network.mask_prompts)
    with pytest.raises(ValueError, match=r"shapes \(1, 3, 192, 224\) and .*: expected sides of 224"):
        model.embed_regions(torch.zeros(1, 3, 192, 224), torch.zeros(1, 1, 192, 224, dtype=torch.bool))
    with pytest.raises(ValueError, match=r"and \(1, 1, 7, 7\): expected sides of 224"):
        model.embed_regions(torch.zeros(1, 3, 224, 224), torch.zeros(1, 1, 7, 7, dtype=torch.bool))
