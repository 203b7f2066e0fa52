# SPDX-License-Identifier: Apache-2.0
"""Losses on small arrays by hand."""

import math

import pytest
import torch

from clipseg_ros.datasets import tabletop
from clipseg_ros.training.losses import DenseClasses, mask_loss


def test_zero_logits_cost_log_two_and_half_the_dice():
    targets = torch.tensor([[[[True, False], [True, False]]]])
    loss = mask_loss(torch.zeros(1, 1, 2, 2), targets, dice=1.0)
    assert loss.item() == pytest.approx(math.log(2.0) + 1.0 - 2.0 * 1.0 / (2.0 + 2.0))


def test_right_and_certain_costs_nothing():
    targets = torch.tensor([[[[True, False], [True, False]]]])
    assert mask_loss(targets.float() * 80.0 - 40.0, targets, dice=1.0).item() == pytest.approx(0.0, abs=1e-6)


def test_an_absent_prompt_has_no_dice():
    nothing = torch.zeros(1, 1, 2, 2, dtype=torch.bool)
    assert mask_loss(torch.zeros(1, 1, 2, 2), nothing, dice=1.0).item() == pytest.approx(math.log(2.0))


def test_dense_loss_falls_to_zero_when_the_head_names_every_patch():
    red_mug = tabletop.class_id("mug", "red")
    labels = torch.tensor([[[0, 0, red_mug, red_mug]] * 2], dtype=torch.uint8)
    dense = DenseClasses(2)
    tokens = torch.tensor([[[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]]])
    rows = torch.zeros(2, dense.head.out_features // 2, 2)
    rows[:, 0, 0] = 50.0
    rows[0, 1 + list(tabletop.KINDS).index("mug"), 1] = 50.0
    rows[1, 1 + list(tabletop.COLOURS).index("red"), 1] = 50.0
    with torch.no_grad():
        dense.head.weight.copy_(rows.flatten(0, 1))
        dense.head.bias.zero_()
    assert dense(tokens, labels, (1, 2)).item() == pytest.approx(0.0, abs=1e-6)


def test_dense_loss_of_some_patches_is_that_of_these_alone():
    labels = torch.tensor([[[0, 0, tabletop.class_id("mug", "red"), 0]]], dtype=torch.uint8)
    dense, tokens, patches = DenseClasses(3), torch.randn(1, 5, 3), torch.tensor([[2, 0]])
    chosen = torch.cat([tokens[:, :1], tokens[:, [3, 1]]], dim=1)
    some = dense(chosen, labels, (1, 4), patches)
    whole = dense(chosen, labels[..., [2, 0]], (1, 2))
    assert some.item() == pytest.approx(whole.item())
