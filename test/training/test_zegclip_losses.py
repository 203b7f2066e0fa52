# SPDX-License-Identifier: Apache-2.0
"""ZegCLIP's losses, gradients and pseudo labels against the authors' numbers, and by hand."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from clipseg_ros.models.zegclip import ZegCLIP, ZegCLIPNetwork
from clipseg_ros.models.zegclip_checkpoint import DEEP, FIRST, PROMPTS, source_of
from clipseg_ros.training.zegclip_losses import IGNORED, UNSEEN, exclusive, non_exclusive, pseudo_labels

GOLDEN = Path(__file__).parents[1] / "golden" / "zegclip"
SEEN = [0, 1, 3]
Arrays = dict[str, np.ndarray]


def logits(network: ZegCLIPNetwork, golden: Arrays, classes: list[int]) -> torch.Tensor:
    model, texts = ZegCLIP(network), torch.from_numpy(golden["text"][classes])
    return model.decode(model.encode_image(torch.from_numpy(golden["image"])), texts)


def test_losses_and_gradients_are_the_references(zegclip_network: ZegCLIPNetwork, zegclip_golden: Arrays) -> None:
    labels = torch.from_numpy(zegclip_golden["labels_inductive"][:, 0])
    focal, dice = non_exclusive(logits(zegclip_network, zegclip_golden, SEEN), labels)
    assert focal.item() == pytest.approx(float(zegclip_golden["loss_mask_weighted"]), rel=1e-4)
    assert dice.item() == pytest.approx(float(zegclip_golden["loss_dice_weighted"]), rel=1e-4)
    (focal + dice).backward()
    golden = load_file(GOLDEN / "zegclip_tiny_grads.safetensors")
    golden[PROMPTS] = torch.cat([golden.pop(FIRST), golden.pop(DEEP)])
    learned = {name: weight for name, weight in zegclip_network.named_parameters() if weight.requires_grad}
    assert {source_of(name, last=2).name for name in learned} == golden.keys()
    for name, weight in learned.items():
        expected = source_of(name, last=2).take(golden)
        # Shifting all keys changes no softmax, so the gradients of their biases are rounding errors.
        scale = max(expected.abs().max().item(), 1e-2)
        assert (weight.grad - expected).abs().max().item() <= 1e-4 * scale, name


def test_self_training_has_the_references_labels_and_losses(
    zegclip_network: ZegCLIPNetwork, zegclip_golden: Arrays
) -> None:
    found = logits(zegclip_network, zegclip_golden, [0, 1, 2, 3, 4])
    before = torch.from_numpy(zegclip_golden["labels_st_before"][:, 0])
    after = pseudo_labels(found, before, SEEN)
    np.testing.assert_array_equal(after.numpy(), zegclip_golden["labels_st_after"][:, 0])
    focal, dice = non_exclusive(found, after)
    assert focal.item() == pytest.approx(float(zegclip_golden["st_loss_mask_weighted"]), rel=1e-4)
    assert dice.item() == pytest.approx(float(zegclip_golden["st_loss_dice_weighted"]), rel=1e-4)


def test_even_chances_cost_what_the_equations_say() -> None:
    labels = torch.tensor([[[0, 0, IGNORED, UNSEEN]]])
    focal, dice = non_exclusive(torch.zeros(1, 2, 1, 4), labels)
    positive, negative = (share * 0.25 * math.log(2.0) for share in (0.25, 0.75))
    assert focal.item() == pytest.approx(100.0 * ((2 * positive + 2 * negative) / 4 + negative))
    assert dice.item() == pytest.approx(1.0 - (2.0 * 1.0 + 1.0) / (2.0 + 2.0 + 1.0))


def test_right_and_certain_costs_nothing_and_logits_are_resized() -> None:
    labels = torch.tensor([[[0, 0, 1, 1], [0, 0, 1, 1]]])
    sure = torch.tensor([[[[40.0, 40.0, -40.0, -40.0]], [[-40.0, -40.0, 40.0, 40.0]]]])
    focal, dice = non_exclusive(sure, labels)
    assert focal.item() == pytest.approx(0.0, abs=1e-6) and dice.item() == pytest.approx(0.0, abs=1e-6)
    assert exclusive(sure, labels).item() == pytest.approx(0.0, abs=1e-6)


def test_pictures_without_a_class_cost_focal_alone() -> None:
    focal, dice = non_exclusive(torch.zeros(1, 1, 2, 2), torch.full((1, 2, 2), IGNORED))
    assert focal.item() == pytest.approx(100.0 * 0.75 * 0.25 * math.log(2.0)) and dice.item() == 0.0


def test_exclusive_classes_compete_over_pixels_that_have_one() -> None:
    labels = torch.tensor([[[0, 1, IGNORED, UNSEEN]]])
    assert exclusive(torch.zeros(1, 3, 1, 4), labels).item() == pytest.approx(math.log(3.0))
    raised = torch.tensor([[[[2.0, 2.0, 9.0, 9.0]], [[0.0, 0.0, 0.0, 0.0]]]])
    lost = math.log(math.exp(2.0) + 1.0)
    assert exclusive(raised, labels).item() == pytest.approx((lost - 2.0 + lost) / 2.0, rel=1e-5)


def test_exclusive_costs_nothing_where_no_pixel_has_a_class() -> None:
    assert exclusive(torch.randn(1, 3, 2, 2), torch.full((1, 2, 2), IGNORED)).item() == 0.0


def test_pseudo_labels_fill_unseen_pixels_alone_and_with_unseen_classes() -> None:
    labels = torch.tensor([[[UNSEEN, 0, IGNORED, UNSEEN]]])
    found = torch.tensor([[[[9.0, 9.0, 9.0, 9.0]], [[1.0, 1.0, 1.0, -3.0]], [[0.0, 2.0, 2.0, -2.0]]]])
    assert pseudo_labels(found, labels, seen=[0]).tolist() == [[[1, 0, IGNORED, 2]]]
