# SPDX-License-Identifier: Apache-2.0
"""Losses of binary masks, and the auxiliary one that teaches a tower from scratch to see."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from clipseg_ros.datasets import tabletop
from clipseg_ros.evaluation.metrics import LARGEST_FALSE_SHARE
from clipseg_ros.training.batches import unseen_by_colour

BACKGROUND = 0.05
NEVER = -1e4  # a logarithm in place of minus infinity, which times 0 is no number


class Look:
    """The patches that a tower looked at, and how much each counts: the share of it that objects cover, plus
    BACKGROUND, since most of a picture is table and wall.

    labels: (B, H, W) uint8, 0 background. grid: (h, w). patches: (B, K) numbers of the patches, None for all.
    """

    def __init__(self, labels: torch.Tensor, grid: tuple[int, int], patches: torch.Tensor | None) -> None:
        self._grid, self._patches = grid, patches
        self._weights = self.shares((labels > 0).float()[:, None])[:, 0] + BACKGROUND

    def shares(self, planes: torch.Tensor) -> torch.Tensor:
        """(B, N, K) the mean of planes (B, N, H, W) over each patch."""
        shares = F.adaptive_avg_pool2d(planes, self._grid).flatten(2)
        return shares if self._patches is None else shares.take_along_dim(self._patches[:, None], dim=2)

    def mean(self, values: torch.Tensor) -> torch.Tensor:
        """The weighted mean of values (B, K)."""
        return (self._weights * values).sum() / self._weights.sum()


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


def presence_loss(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Binary cross-entropy of whether a prompt is there at all, told by the mean of the highest logits: as many as
    would be a false alarm (metrics.LARGEST_FALSE_SHARE of the pixels), or as the target has, where it has fewer.

    logits, targets: (B, N, H, W).
    """
    highest = logits.flatten(2).topk(max(1, int(LARGEST_FALSE_SHARE * logits[0, 0].numel()))).values
    sizes = targets.flatten(2).sum(2)
    there = sizes > 0
    counted = torch.where(there, sizes.clamp(max=highest.shape[2]), highest.shape[2])
    few = torch.arange(highest.shape[2], device=logits.device) < counted[..., None]
    return F.binary_cross_entropy_with_logits((highest * few).sum(2) / counted, there.float())


def additive_loss(vectors: torch.Tensor) -> torch.Tensor:
    """How far the vectors of a colour and an object are from a sum of what either contributes: of four texts such as
    red mug, blue mug, red car, blue car, red mug - blue mug is to be red car - blue car.

    vectors: (K, 4, E) in this order. The mean squared difference, in parts of the vectors' variance, which has no
    gradient: to shrink all vectors gains nothing.
    """
    first, second, third, fourth = vectors.unbind(1)
    rest = (first - second - third + fourth).square().sum(1).mean()
    return rest / (vectors - vectors.mean((0, 1))).square().sum(2).mean().detach()


def union_loss(vectors: torch.Tensor, means: torch.Tensor) -> torch.Tensor:
    """How far vectors (K, E) of traits are from means (K, E): of the vectors of the kinds that have the trait. The mean
    squared difference, in parts of the means' variance, which has no gradient."""
    rest = (vectors - means).square().sum(1).mean()
    return rest / (means - means.mean(0)).square().sum(1).mean().detach()


class DenseClasses(nn.Module):
    """What every patch shows, kind and colour, read linearly off the tower's last tokens; dropped after training.

    The truth of a patch is the share of its pixels that each kind (and each colour) covers, background included. The
    kinds that its colour's held-out pairs have are not denied, as phrases are not (see PhraseBook).
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
        # Of a class, the kinds that held-out pairs of its colour have.
        unseen = torch.from_numpy(unseen_by_colour()).float()
        self.register_buffer("_undecided", (unseen.T @ tables[0]).clamp(max=1.0), persistent=False)
        self.head = nn.Linear(width, 2 * tables.shape[2])

    def forward(self, tokens: torch.Tensor, labels: torch.Tensor, look: Look) -> torch.Tensor:
        """Cross-entropy of kinds plus that of colours; tokens (B, K, C), labels (B, H, W) uint8."""
        found = self.head(tokens).unflatten(2, (2, -1)).float()
        loss = found.new_zeros(())
        shares, undecided = (
            look.shares(table[labels.long()].permute(0, 3, 1, 2)).transpose(1, 2).unflatten(2, (-1, found.shape[3]))
            for table in (self._tables.transpose(0, 1).flatten(1), self._undecided)
        )
        kinds = found[:, :, 0].masked_fill((undecided[:, :, 0] > 0) & (shares[:, :, 0] == 0), -torch.inf)
        for index, logits in enumerate((kinds, found[:, :, 1])):
            there = shares[:, :, index]
            loss = loss + look.mean(-(there * logits.log_softmax(-1).clamp_min(NEVER)).sum(-1))
        return loss


class Fit(nn.Module):
    """Whether texts fit what was seen, as a sigmoid of the cosine of their vectors (Zhai et al., SigLIP, ICCV 2023);
    scale and bias, which starts at `bias`, are dropped after training."""

    def __init__(self, bias: float) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(10.0))
        self.bias = nn.Parameter(torch.tensor(bias))

    def forward(self, seen: torch.Tensor, vectors: torch.Tensor, fits: torch.Tensor) -> torch.Tensor:
        """(B, N, K) binary cross-entropy: seen (B, K, E), vectors (B, N, E), fits (B, N, K): the truth in [0, 1]."""
        cosine = F.normalize(vectors.float(), dim=-1) @ F.normalize(seen.float(), dim=-1).transpose(1, 2)
        return F.binary_cross_entropy_with_logits(self.scale * cosine + self.bias, fits, reduction="none")
