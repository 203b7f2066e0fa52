# SPDX-License-Identifier: Apache-2.0
"""Muon's update, and which parameters it takes."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from clipseg_ros.training.muon import Muon, hidden_matrices, orthogonal


@pytest.mark.parametrize("shape", [(2, 6, 6), (1, 4, 9), (3, 9, 4)])
def test_an_orthogonal_update_keeps_directions_and_levels_their_strength(shape):
    matrices = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    left, _, right = torch.linalg.svd(matrices, full_matrices=False)
    found = torch.linalg.svdvals(orthogonal(matrices))
    assert found.min() > 0.5 and found.max() < 1.3
    assert torch.einsum("kij,kij->k", orthogonal(matrices), left @ right).min() > 0.8 * min(shape[1:])


def test_it_finds_the_nearest_rotation():
    target = torch.linalg.qr(torch.randn(5, 5, generator=torch.Generator().manual_seed(1)))[0]
    matrix = nn.Parameter(torch.eye(5))
    optimiser = Muon([matrix], lr=0.05, weight_decay=0.0)
    first = (matrix - target).square().sum().item()
    for _ in range(60):
        optimiser.zero_grad()
        (matrix - target).square().sum().backward()
        optimiser.step()
    assert (matrix - target).square().sum().item() < 0.1 * first


def test_a_matrix_without_gradient_stays():
    matrix = nn.Parameter(torch.ones(2, 2))
    Muon([matrix], lr=0.1).step()
    assert torch.equal(matrix, torch.ones(2, 2))


def test_only_the_matrices_of_blocks_are_taken():
    module = nn.ModuleDict({"embedding": nn.Embedding(4, 2), "layers": nn.ModuleList([nn.Linear(2, 2)])})
    assert [tuple(weight.shape) for weight in hidden_matrices(module)] == [(2, 2)]
    assert hidden_matrices(module)[0] is module["layers"][0].weight
