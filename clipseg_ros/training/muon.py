# SPDX-License-Identifier: Apache-2.0
"""Muon for the matrices of transformer blocks, in float32: torch's own multiplies in bfloat16, which processors
without bfloat16 instructions do a hundred times slower."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn

COEFFICIENTS = (3.4445, -4.7750, 2.0315)  # of the quintic iteration (Jordan et al., Muon, 2024)
ITERATIONS = 5


class Muon(torch.optim.Optimizer):
    """Momentum whose update is made near to orthogonal (Jordan et al., 2024); for parameters with two axes."""

    def __init__(self, matrices: Iterable[nn.Parameter], lr: float, momentum: float = 0.95, weight_decay: float = 0.01):
        super().__init__(matrices, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:
        """Update all matrices that have a gradient, those of one shape together."""
        for group in self.param_groups:
            alike: dict[torch.Size, list[nn.Parameter]] = {}
            for matrix in (one for one in group["params"] if one.grad is not None):
                alike.setdefault(matrix.shape, []).append(matrix)
            for matrices in alike.values():
                self._update(matrices, group)

    def _update(self, matrices: list[nn.Parameter], group: dict[str, float]) -> None:
        wanted = []
        for matrix in matrices:
            momentum = self.state[matrix].setdefault("momentum", torch.zeros_like(matrix))
            momentum.lerp_(matrix.grad, 1.0 - group["momentum"])
            wanted.append(matrix.grad.lerp(momentum, group["momentum"]))
        scale = max(1.0, len(matrices[0]) / matrices[0].shape[1]) ** 0.5
        for matrix, update in zip(matrices, orthogonal(torch.stack(wanted))):
            matrix.mul_(1.0 - group["lr"] * group["weight_decay"]).add_(update, alpha=-group["lr"] * scale)


def orthogonal(matrices: torch.Tensor) -> torch.Tensor:
    """Matrices (K, M, N) with about the singular vectors of the given ones, all singular values between 0.7 and 1.2."""
    tall = matrices.shape[1] > matrices.shape[2]
    found = matrices.mT if tall else matrices
    found = found / (found.norm(dim=(1, 2), keepdim=True) + 1e-7)
    first, third, fifth = COEFFICIENTS
    for _ in range(ITERATIONS):
        square = found @ found.mT
        found = first * found + (third * square + fifth * (square @ square)) @ found
    return found.mT if tall else found


def hidden_matrices(module: nn.Module) -> list[nn.Parameter]:
    """The weight matrices of transformer blocks: no embedding, no projection, no head."""
    return [weight for name, weight in module.named_parameters() if weight.ndim == 2 and ".layers." in f".{name}"]
