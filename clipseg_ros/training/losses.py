# SPDX-License-Identifier: Apache-2.0
"""Losses of binary masks, and the auxiliary one that teaches a tower from scratch to see."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from clipseg_ros.datasets import tabletop

BACKGROUND = 0.05


def mask_loss(logits: torch.Tensor, targets: torch.Tensor, dice: float) -> torch.Tensor:
    """Binary cross-entropy, mean over pixels, plus `dice` times (1 - Dice) over the prompts that are there.

    logits, targets: (B, N, H, W). Dice (Milletari et al., 3DV 2016) is taken a prompt: 2 |p t| / (|p| + |t|).
    """
    targets = targets.float()
    entropy = F.binary_cross_entropy_with_logits(logits, targets)
    probabilities = logits.sigmoid()
    overlap, total = (probabilities * targets).sum((2, 3)), (probabilities + targets).sum((2, 3))
    there = targets.amax((2, 3)) > 0
    lost = (1.0 - 2.0 * overlap / total.clamp_min(1.0)) * there
    return entropy + dice * lost.sum() / there.sum().clamp_min(1)


class DenseClasses(nn.Module):
    """What every patch shows, kind and colour, read linearly off the tower's last tokens; dropped after training.

    The truth of a patch is the share of its pixels that each kind (and each colour) covers, background included.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        names = tabletop.class_names()
        kinds, colours = list(tabletop.KINDS), list(tabletop.COLOURS)
        tables = torch.zeros(2, 256, 1 + max(len(kinds), len(colours)))
        tables[:, 0, 0] = 1.0
        for index, name in names.items():
            tables[0, index, 1 + kinds.index(name["kind"])] = 1.0
            tables[1, index, 1 + colours.index(name["colour"])] = 1.0
        self.register_buffer("_tables", tables, persistent=False)
        self.head = nn.Linear(width, 2 * tables.shape[2])

    def forward(
        self, tokens: torch.Tensor, labels: torch.Tensor, grid: tuple[int, int], patches: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Cross-entropy of kinds plus that of colours; tokens (B, 1 + h * w, C), labels (B, H, W) uint8; patches
        (B, K): the patches of tokens (B, 1 + K, C), where these are not all.

        Patches count by the share that objects cover, plus BACKGROUND: most of a picture is table and wall.
        """
        found = self.head(tokens[:, 1:]).unflatten(2, (2, -1)).float()
        loss = found.new_zeros(())
        for index, table in enumerate(self._tables):
            planes = table[labels.long()].permute(0, 3, 1, 2)
            shares = F.adaptive_avg_pool2d(planes, grid).flatten(2).transpose(1, 2)
            if patches is not None:
                shares = shares.take_along_dim(patches[..., None], dim=1)
            weights = 1.0 - shares[..., 0] + BACKGROUND
            entropy = -(shares * found[:, :, index].log_softmax(-1)).sum(-1)
            loss = loss + (weights * entropy).sum() / weights.sum()
        return loss
