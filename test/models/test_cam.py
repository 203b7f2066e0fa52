# SPDX-License-Identifier: Apache-2.0
"""Proposals of CLIP-ES: the reference's stage by stage, gradients by autograd, and what has no map."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from clipseg_ros.models import cam, clip
from clipseg_ros.models.blocks import pre_norm_block
from clipseg_ros.models.cam_reader import CamReader, Evidence
from clipseg_ros.models.clip import CLIP, Look

CAR = Path(__file__).parents[1] / "golden" / "car"
LAMBDAS = {"case_a": 0.4, "case_b": 0.5, "case_d": 0.4}
STEPS = [("case_a", 0), ("case_a", 1), ("case_b", 0), ("case_b", 1), ("case_b", 2), ("case_d", 0), ("case_d", 1)]


@pytest.fixture(scope="module")
def model() -> CLIP:
    return CLIP(clip.load(CAR / "model_proposal", torch.float32))


@pytest.fixture(scope="module")
def golden() -> dict[str, dict[str, np.ndarray]]:
    """Arrays by case."""
    return {case: dict(np.load(CAR / "stages" / f"{case}.npz")) for case in LAMBDAS}


def look_at(model: CLIP, arrays: dict[str, np.ndarray]) -> Look:
    with torch.inference_mode():
        return model.look(torch.from_numpy(arrays["0_pixel_values"]))


def read(model: CLIP, arrays: dict[str, np.ndarray], step: int = 0) -> Evidence:
    texts = torch.from_numpy(arrays[f"{step}_text_feat"])
    count = len(arrays[f"{step}_query_index"])
    return CamReader(model).read(look_at(model, arrays), texts[:count], texts[count:])


def behind(evidence: Evidence, value: bool = True) -> torch.Tensor:
    return torch.full((len(evidence.logits) - 1,), value)


@pytest.mark.parametrize(("case", "step"), STEPS)
def test_every_stage_is_the_references(model: CLIP, golden: dict, case: str, step: int) -> None:
    arrays = golden[case]
    evidence = read(model, arrays, step)
    expected = {name: arrays[f"{step}_{name}"] for name in ("prob", "grad_w", "cam", "box_mask", "proposals")}
    chances = cam.probabilities(evidence)
    np.testing.assert_allclose(chances, expected["prob"][: len(chances)], atol=1e-6)
    np.testing.assert_allclose(evidence.activations.mT.unflatten(1, evidence.grid), arrays["0_act"], atol=1e-5)
    gradients = (chances * (1 - chances))[:, None] * cam.probability_weights(evidence, False, behind(evidence))
    np.testing.assert_allclose(gradients, expected["grad_w"], atol=1e-5 * np.abs(expected["grad_w"]).max())
    maps = cam.clip_es_cam(evidence)
    np.testing.assert_allclose(maps, expected["cam"], atol=1e-5)
    inside = cam.boxes(maps, LAMBDAS[case], clamped=True)
    np.testing.assert_array_equal(inside, expected["box_mask"] > 0)
    related = cam.affinity(look_at(model, arrays).attention)
    np.testing.assert_allclose(related, arrays["0_affinity"], atol=1e-6)
    proposals = cam.enlarge(cam.refine(maps, inside, related), expected["proposals"].shape[1:])
    np.testing.assert_allclose(proposals, expected["proposals"], atol=1e-4)


def test_one_backward_pass_serves_every_later_step(model: CLIP, golden: dict) -> None:
    arrays = golden["case_b"]
    texts = torch.from_numpy(np.concatenate([arrays["1_text_feat"]]))
    evidence = CamReader(model).read(look_at(model, arrays), texts[:4], texts[4:])
    kept = torch.tensor([0, 1, 2])
    np.testing.assert_allclose(cam.clip_es_cam(evidence.of(kept)), arrays["2_cam"], atol=1e-5)


def test_slopes_are_the_gradients_of_the_logits(model: CLIP, golden: dict) -> None:
    arrays = golden["case_a"]
    evidence, look = read(model, arrays), look_at(model, arrays)
    vision, texts = model.network.vision_model, torch.from_numpy(arrays["0_text_feat"])
    block, tokens = vision.encoder.layers[-1], look.tokens.clone()
    taken = []
    handle = block.layer_norm1.register_forward_hook(lambda _, __, out: taken.append(out.requires_grad_()) or taken[0])
    feature = model.network.visual_projection(vision.post_layernorm(pre_norm_block(block, tokens[None])[0, 1:])).mean(0)
    handle.remove()
    logits = model.logit_scale * texts @ F.normalize(feature, dim=0)
    logits = torch.cat([logits[:2], logits[2:].logsumexp(dim=0)[None]])
    np.testing.assert_allclose(evidence.logits, logits.detach(), atol=1e-5)
    for logit, slope in zip(logits, evidence.slopes):
        gradient = torch.autograd.grad(logit, taken[0], retain_graph=True)[0][0, 1:].mean(dim=0)
        np.testing.assert_allclose(slope, gradient, atol=1e-6)


def test_grad_cam_does_not_know_other_texts(model: CLIP, golden: dict) -> None:
    evidence = read(model, golden["case_b"])
    alone = cam.grad_cam(evidence.of(torch.tensor([3])))
    np.testing.assert_allclose(cam.grad_cam(evidence)[3:4], alone, atol=1e-6)
    assert (cam.clip_es_cam(evidence)[3] - alone[0]).abs().max() > 0.01


def test_a_text_alone_knows_the_background_and_no_other_text(model: CLIP, golden: dict) -> None:
    evidence = read(model, golden["case_b"])
    np.testing.assert_allclose(
        cam.clip_es_cam(evidence, alone=True)[2:3], cam.clip_es_cam(evidence.of(torch.tensor([2]))), atol=1e-6
    )
    chances = cam.probabilities(evidence, alone=True)
    np.testing.assert_allclose(chances[2], cam.probabilities(evidence.of(torch.tensor([2])))[0], atol=1e-6)


def test_cosines_are_of_each_projected_patch(model: CLIP, golden: dict) -> None:
    look, texts = look_at(model, golden["case_a"]), torch.from_numpy(golden["case_a"]["0_text_feat"])
    vision = model.network.vision_model
    patches = vision.post_layernorm(pre_norm_block(vision.encoder.layers[-1], look.tokens[None])[0, 1:])
    expected = F.cosine_similarity(model.network.visual_projection(patches)[None], texts[:, None], dim=-1)
    np.testing.assert_allclose(CamReader(model).cosines(look, texts).flatten(1), expected, atol=1e-6)


def test_a_map_of_patches_is_what_stands_out_and_empty_where_no_patch_fits() -> None:
    cosines = torch.full((2, 4, 5), 0.1)
    cosines[0, 1, 1], cosines[0, 3, 2], cosines[1, 0, 0] = 0.5, 0.3, 0.29
    maps = cam.patch_maps(cosines, least=0.3)
    assert maps[0, 1, 1] == 1.0 and maps[0, 3, 2] == pytest.approx(0.5) and (maps[0] > 0).sum() == 2
    assert not maps[1].any() and cam.patch_maps(cosines, least=0.2)[1, 0, 0] == 1.0


def test_a_single_text_without_background_has_the_map_of_its_logit(model: CLIP, golden: dict) -> None:
    evidence = read(model, golden["case_d"]).of(torch.tensor([1]))
    assert evidence.logits[-1] == -np.inf
    np.testing.assert_array_equal(cam.clip_es_cam(evidence), cam.grad_cam(evidence))


def test_what_is_empty_with_background_is_taken_without() -> None:
    slopes = torch.tensor([[1.0, 0.0], [-1.0, 1.0], [5.0, 0.0]])
    evidence = Evidence(torch.tensor([[1.0, 0.0], [2.0, 0.0]]), torch.tensor([0.0, 0.0, 9.0]), slopes, (1, 2))
    maps = cam.clip_es_cam(evidence)
    np.testing.assert_allclose(maps, [[[0.0, 1.0]], [[0.0, 0.0]]])
    certain = Evidence(evidence.activations, torch.tensor([0.0, 0.0, -200.0]), slopes, (1, 2))
    np.testing.assert_allclose(maps, cam.clip_es_cam(certain, foreground_only_below=1.0))


def test_a_certain_and_a_hopeless_text_keep_exact_maps(model: CLIP, golden: dict) -> None:
    evidence = read(model, golden["case_a"])
    logits = evidence.logits + torch.tensor([0.0, -90.0, -300.0])
    sure = Evidence(evidence.activations, logits, evidence.slopes, evidence.grid)
    maps = cam.clip_es_cam(sure)
    expected = cam._maps(evidence, (evidence.slopes[0] - evidence.slopes[1])[None])[0]
    np.testing.assert_allclose(maps[0], expected, atol=1e-6)
    assert maps.amax(dim=(1, 2)).eq(1.0).all()


@pytest.mark.parametrize(("clamped", "places"), [(False, [[0, 2], [3, 3]]), (True, [[0, 2]])])
def test_boxes_reach_the_last_row_and_column_unless_clamped(clamped: bool, places: list) -> None:
    plane = torch.zeros(1, 4, 4)
    plane[0, 0, 2] = plane[0, 3, 3] = 1.0
    found = cam.boxes(plane, 0.4, clamped)[0]
    assert found.nonzero().tolist() == places


def test_pixels_that_touch_at_corners_share_a_box_and_an_empty_map_has_none() -> None:
    planes = torch.zeros(2, 5, 5)
    planes[0, 1, 1], planes[0, 2, 2], planes[0, 4, 4] = 0.6, 1.0, 0.3
    found = cam.boxes(planes, 0.5)
    assert found[0, 1:3, 1:3].all() and found.sum() == 4


def test_the_threshold_of_boxes_is_strict() -> None:
    plane = torch.tensor([[[1.0, 102.4 / 255.0, 103.0 / 255.0]]])
    assert cam.boxes(plane, 0.4)[0, 0].tolist() == [True, False, True]


def test_a_flat_plane_becomes_nothing() -> None:
    planes = torch.stack([torch.full((2, 2), 3.0), torch.eye(2)])
    np.testing.assert_array_equal(cam.min_max(planes), [np.zeros((2, 2)), np.eye(2)])


def test_gradients_are_float32_whatever_the_precision(model: CLIP, golden: dict) -> None:
    rough = CLIP(clip.load(CAR / "model_proposal", torch.bfloat16))
    evidence = CamReader(rough).read(look_at(model, golden["case_a"]), *torch.eye(24)[:4].split([3, 1]))
    assert {evidence.activations.dtype, evidence.logits.dtype, evidence.slopes.dtype} == {torch.float32}
    assert rough.dtype == torch.bfloat16
