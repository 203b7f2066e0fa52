# SPDX-License-Identifier: Apache-2.0
"""Losses on small arrays by hand."""

import math

import pytest
import torch

from clipseg_ros.datasets import tabletop
from clipseg_ros.training.losses import DenseClasses, Fit, Look, mask_loss, presence_loss


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


def test_presence_is_told_by_as_many_of_the_highest_logits_as_would_be_a_false_alarm():
    logits = torch.full((1, 2, 20, 20), -40.0)
    logits[0, :, 0, :2] = 40.0
    targets = torch.zeros(1, 2, 20, 20, dtype=torch.bool)
    targets[0, 0, 0, :2] = True
    assert presence_loss(logits, targets).item() == pytest.approx((0.0 + 40.0) / 2)  # found; a false alarm
    logits[0, 1, 0, :2] = torch.tensor([40.0, -80.0])
    assert presence_loss(logits, targets).item() == pytest.approx(math.log(2.0) / 2)  # 40 and -40: half an alarm


def test_a_target_of_few_pixels_is_there_by_these_alone():
    logits, targets = torch.full((1, 1, 20, 20), -40.0), torch.zeros(1, 1, 20, 20, dtype=torch.bool)
    logits[0, 0, 3, 3], targets[0, 0, 3, 3] = 40.0, True
    assert presence_loss(logits, targets).item() == pytest.approx(0.0, abs=1e-6)


def test_dense_loss_falls_to_zero_when_the_head_names_every_patch():
    red_mug = tabletop.class_id("mug", "red")
    labels = torch.tensor([[[0, 0, red_mug, red_mug]] * 2], dtype=torch.uint8)
    dense = DenseClasses(2)
    tokens = torch.tensor([[[1.0, 0.0], [0.0, 1.0]]])
    rows = torch.zeros(2, dense.head.out_features // 2, 2)
    rows[:, 0, 0] = 50.0
    rows[0, 1 + list(tabletop.KINDS).index("mug"), 1] = 50.0
    rows[1, 1 + list(tabletop.COLOURS).index("red"), 1] = 50.0
    with torch.no_grad():
        dense.head.weight.copy_(rows.flatten(0, 1))
        dense.head.bias.zero_()
    assert dense(tokens, labels, Look(labels, (1, 2), None)).item() == pytest.approx(0.0, abs=1e-6)


def test_a_kind_held_out_in_a_colour_is_not_denied_of_that_colour():
    """The head may take the thing for what was never shown in its colour; for any other kind it pays."""
    kinds, colours = list(tabletop.KINDS), list(tabletop.COLOURS)
    kind, colour = sorted(tabletop.UNSEEN_PAIRS)[0]
    shown = next(k for k in kinds if k != kind and (k, colour) not in tabletop.UNSEEN_PAIRS)
    wrong = next(k for k in kinds if k != shown and (k, colour) not in tabletop.UNSEEN_PAIRS)
    labels = torch.full((1, 2, 2), tabletop.class_id(shown, colour), dtype=torch.uint8)
    dense = DenseClasses(1)
    costs = {}
    for taken in (kind, wrong):
        rows = torch.zeros(2, dense.head.out_features // 2)
        rows[0, 1 + kinds.index(shown)], rows[0, 1 + kinds.index(taken)] = 50.0, 60.0
        rows[1, 1 + colours.index(colour)] = 50.0
        with torch.no_grad():
            dense.head.weight.zero_()
            dense.head.bias.copy_(rows.flatten())
        costs[taken] = dense(torch.zeros(1, 1, 1), labels, Look(labels, (1, 1), None)).item()
    assert costs[kind] == pytest.approx(0.0, abs=1e-6) and costs[wrong] == pytest.approx(10.0, rel=1e-3)


def test_a_look_at_some_patches_counts_these_alone():
    labels = torch.tensor([[[0, 0, tabletop.class_id("mug", "red"), 0]]], dtype=torch.uint8)
    some, same = Look(labels, (1, 4), torch.tensor([[2, 0]])), Look(labels[..., [2, 0]], (1, 2), None)
    planes = torch.rand(1, 3, 1, 4)
    assert torch.equal(some.shares(planes), planes[0, :, 0, [2, 0]][None])
    values = torch.rand(1, 2)
    assert some.mean(values) == same.mean(values) != values.mean()


def test_a_text_that_points_where_what_it_fits_points_costs_nothing():
    seen, fits = torch.eye(2)[None], torch.eye(2)[None]
    fit = Fit(bias=-40.0)
    with torch.no_grad():
        fit.scale.fill_(80.0)
    assert fit(seen, 3.0 * seen, fits).max().item() == pytest.approx(0.0, abs=1e-6)
    assert fit(seen, seen.flip(1), fits).min().item() == pytest.approx(40.0, rel=1e-3)


def test_a_fresh_fit_expects_what_its_bias_says():
    nothing = Fit(bias=-3.0)(torch.tensor([[[1.0, 0.0]]]), torch.tensor([[[0.0, 1.0]]]), torch.ones(1, 1, 1))
    assert nothing.item() == pytest.approx(math.log1p(math.exp(3.0)))
