# SPDX-License-Identifier: Apache-2.0
"""A mask in CLIP's attention: the authors' vectors, and that what is hidden is not seen."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from clipseg_ros.models import weights
from clipseg_ros.models.clipseg import CLIPSeg
from clipseg_ros.models.masked_attention import ATTENTION_MASKS, AttentionMask, covered_patches, embed_masked_image

GOLDEN = Path(__file__).parents[1] / "golden" / "clipseg" / "visual_prompt_golden.npz"
ALL = ATTENTION_MASKS["mask_all_all_layers"]


@pytest.fixture(scope="module", autouse=True)
def without_gradients() -> None:
    with torch.inference_mode():
        yield


@pytest.fixture(scope="module")
def model(tiny_weights: Path) -> CLIPSeg:
    return CLIPSeg(weights.load_clipseg(tiny_weights, torch.float32))


@pytest.fixture
def pixels(golden: dict[str, np.ndarray]) -> torch.Tensor:
    return torch.from_numpy(golden["pixel_values_96"])


@pytest.fixture(scope="module")
def arrays() -> dict[str, np.ndarray]:
    with np.load(GOLDEN) as content:
        return {name: content[name] for name in content.files if name.startswith("attention/")}


@pytest.fixture
def patches(arrays: dict[str, np.ndarray]) -> torch.Tensor:
    return torch.from_numpy(arrays["attention/patches"])


@pytest.mark.parametrize("name", list(ATTENTION_MASKS))
def test_logits_set_to_zero_give_the_authors_vectors(
    model: CLIPSeg, pixels: torch.Tensor, patches: torch.Tensor, arrays: dict[str, np.ndarray], name: str
) -> None:
    masking = AttentionMask(ATTENTION_MASKS[name].all_tokens, ATTENTION_MASKS[name].layers, by_zero=True)
    found = embed_masked_image(model, pixels, patches, masking)
    np.testing.assert_allclose(found, arrays[f"attention/{name}"], atol=1e-5)
    assert (found - embed_masked_image(model, pixels, patches, ATTENTION_MASKS[name])).abs().max() > 1e-2


@pytest.mark.parametrize("by_zero", [False, True])
@pytest.mark.parametrize("name", list(ATTENTION_MASKS))
def test_nothing_hidden_is_the_plain_vector(model: CLIPSeg, pixels: torch.Tensor, name: str, by_zero: bool) -> None:
    masking = AttentionMask(ATTENTION_MASKS[name].all_tokens, ATTENTION_MASKS[name].layers, by_zero)
    found = embed_masked_image(model, pixels, torch.ones(1, 36, dtype=torch.bool), masking)
    np.testing.assert_allclose(found, model.embed_image(pixels), atol=1e-5)


def test_what_is_hidden_from_all_tokens_does_not_matter(
    model: CLIPSeg, pixels: torch.Tensor, patches: torch.Tensor
) -> None:
    shown = patches.reshape(1, 1, 6, 6).repeat_interleave(16, dim=2).repeat_interleave(16, dim=3)
    other = torch.where(shown, pixels, torch.randn_like(pixels))
    seen, changed = (embed_masked_image(model, one, patches, ALL) for one in (pixels, other))
    np.testing.assert_allclose(seen, changed, atol=1e-5)
    assert (model.embed_image(pixels) - model.embed_image(other)).abs().max() > 1e-2


def test_masks_of_a_batch_stay_with_their_images(model: CLIPSeg, pixels: torch.Tensor, patches: torch.Tensor) -> None:
    images, masks = torch.cat([pixels, pixels.flip(3)]), torch.cat([patches, ~patches])
    both = embed_masked_image(model, images, masks, ALL)
    for index in range(2):
        one = slice(index, index + 1)
        np.testing.assert_allclose(both[one], embed_masked_image(model, images[one], masks[one], ALL), atol=1e-5)


def test_an_image_all_hidden_still_has_a_vector(model: CLIPSeg, pixels: torch.Tensor) -> None:
    assert embed_masked_image(model, pixels, torch.zeros(1, 36, dtype=torch.bool), ALL).isfinite().all()


def test_one_pixel_keeps_its_patch() -> None:
    mask = np.zeros((60, 160), bool)
    mask[59, 40] = True
    assert covered_patches(mask, (3, 4)).nonzero().tolist() == [[0, 9]]


def test_a_mask_of_another_grid_is_refused(model: CLIPSeg, pixels: torch.Tensor) -> None:
    with pytest.raises(ValueError, match=r"patches of shape \(1, 35\): the pixels hold 1 images of 36 patches each"):
        embed_masked_image(model, pixels, torch.ones(1, 35, dtype=torch.bool), ALL)
