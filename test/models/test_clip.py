# SPDX-License-Identifier: Apache-2.0
"""CLIP in calls: transformers' features at the native grid, the reference's at any other, and where it is found."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F
from transformers import CLIPModel

from clipseg_ros.models import clip, weights
from clipseg_ros.models.clip import CLIP
from clipseg_ros.models.hub import WeightsError

CAR = Path(__file__).parents[1] / "golden" / "car"
CASES = ("case_a", "case_b", "case_d")


def stages(case: str) -> dict[str, np.ndarray]:
    with np.load(CAR / "stages" / f"{case}.npz") as arrays:
        return dict(arrays)


def tokens(rows: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
    ids = torch.from_numpy(rows.astype(np.int64))
    return ids, (ids == 708).int().argmax(dim=1) + 1


@pytest.fixture(scope="module")
def model() -> CLIP:
    return CLIP(clip.load(CAR / "model_proposal", torch.float32))


@pytest.fixture(scope="module")
def judge() -> CLIP:
    return CLIP(clip.load(CAR / "model_classifier", torch.float32))


@pytest.mark.parametrize("case", CASES)
def test_texts_are_the_references(model: CLIP, case: str) -> None:
    golden = stages(case)
    texts = model.embed_text(*tokens(golden["0_fg_tokens"]))
    np.testing.assert_allclose(texts, golden["0_text_feat"][: len(texts)], atol=1e-6)


@pytest.mark.parametrize("case", CASES)
def test_the_look_is_the_references_on_any_grid(model: CLIP, case: str) -> None:
    golden = stages(case)
    look = model.look(torch.from_numpy(golden["0_pixel_values"]))
    assert look.grid == golden["0_cam"].shape[1:]
    np.testing.assert_allclose(look.tokens, golden["0_block_in"], atol=1e-5)
    np.testing.assert_allclose(look.attention, golden["0_attn_mean8"], atol=1e-6)


def test_a_look_without_attention_sees_the_same(model: CLIP) -> None:
    pixels = torch.from_numpy(stages("case_a")["0_pixel_values"])
    look = model.look(pixels, attention=False)
    assert look.attention is None and look.grid == (6, 8)
    np.testing.assert_allclose(look.tokens, model.look(pixels).tokens, atol=1e-5)


@pytest.mark.parametrize(("skip", "name"), [(True, "clf_img_feat"), (False, None)])
def test_images_are_embedded_with_and_without_the_last_block(judge: CLIP, skip: bool, name: str | None) -> None:
    with np.load(CAR / "masks" / "case_b.npz") as golden:
        pixels = torch.from_numpy(golden["clf_pixel_values"])
        expected = None if name is None else golden[name]
    if expected is None:
        network = CLIPModel.from_pretrained(CAR / "model_classifier")
        with torch.no_grad():
            expected = F.normalize(network.get_image_features(pixels).pooler_output, dim=-1)
    np.testing.assert_allclose(judge.embed_image(pixels, skip), expected, atol=1e-6)


def test_positions_are_resized_bilinearly_and_rounded_on_request(model: CLIP) -> None:
    golden = stages("case_b")
    np.testing.assert_allclose(model._positions_of(golden["0_cam"].shape[1:]), golden["0_pos_embed"], atol=1e-6)
    rounded = CLIP(model.network, round_positions=True)._positions_of((5, 7))
    np.testing.assert_array_equal(rounded, rounded.half().float())
    assert (rounded != model._positions_of((5, 7))).any()


def test_the_grids_remembered_are_bounded(model: CLIP) -> None:
    for height in range(1, 20):
        model._positions_of((height, 2))
    assert len(model._positions) == clip.CACHED_GRIDS and (19, 2) in model._positions


def test_the_clip_inside_a_clipseg_is_one(tiny_weights: Path) -> None:
    model = CLIP(clip.load(tiny_weights, torch.float32))
    vectors = model.embed_text(*weights.read_text_format(tiny_weights, model.longest_text)(["a cup", "cup"]))
    np.testing.assert_allclose(vectors.norm(dim=-1), 1.0, atol=1e-6)
    look = model.look(torch.zeros(1, 3, 32, 48))
    assert look.grid == (2, 3) and look.attention.shape == (6, 6)
    assert not any(weight.requires_grad for weight in model.parameters())


def test_a_tower_of_fewer_layers_gives_the_mean_of_those_it_has(judge: CLIP) -> None:
    look = judge.look(torch.zeros(1, 3, 28, 28))
    # rows of every map sum to 1 with the class token's column, which is cut off
    sums = look.attention.sum(dim=1)
    assert look.attention.shape == (4, 4) and ((sums > 0.5) & (sums < 1.0)).all()


def test_another_network_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(WeightsError, match="model_type 'bert'; expected clip"):
        clip.load(tmp_path, torch.float32)


def test_pixels_that_the_patch_does_not_divide_are_refused(model: CLIP) -> None:
    with pytest.raises(ValueError, match="pixels of 16x40: expected multiples of the patch size 16"):
        model.look(torch.zeros(1, 3, 16, 40))


def test_the_input_format_of_a_clip_has_its_shorter_side() -> None:
    assert weights.read_input_format(CAR / "model_classifier").side == 56


def test_half_precision_stays_close(model: CLIP) -> None:
    rough = CLIP(clip.load(CAR / "model_proposal", torch.bfloat16))
    pixels = torch.from_numpy(stages("case_a")["0_pixel_values"])
    look, full = rough.look(pixels), model.look(pixels)
    assert look.tokens.dtype == look.attention.dtype == torch.float32
    assert 0.0 < (look.attention - full.attention).abs().max() < 0.05
