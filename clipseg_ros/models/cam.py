# SPDX-License-Identifier: Apache-2.0
"""Class activation maps of CLIP and the mask proposals that CLIP-ES (Lin et al., CVPR 2023) makes of them.

Maps of different texts are independent of each other but for the rivals in their softmax. Grid (h, w), n = h * w
patches, row by row.
"""

from __future__ import annotations

import cv2
import numpy as np
import torch
from torch.nn import functional as F

from clipseg_ros.models.cam_reader import Evidence

ROUNDS = 3  # of normalising columns, then rows
ELSEWHERE = 0.85  # share of the patches that are taken to show something else


def grad_cam(evidence: Evidence) -> torch.Tensor:
    """(N, h, w) in [0, 1]: Grad-CAM of each text's own logit; other texts and the background do not matter."""
    return _maps(evidence, evidence.slopes[:-1])


def clip_es_cam(evidence: Evidence, alone: bool = False, foreground_only_below: float = 0.0) -> torch.Tensor:
    """(N, h, w) in [0, 1]: Grad-CAM of each text's probability among all texts and the background.

    alone: among itself and the background. foreground_only_below: texts less probable than this are taken without
    background; so are those whose map would be empty. What stays empty is 0, anything else has its maximum at 1.
    """
    behind = probabilities(evidence, alone) >= foreground_only_below
    maps = _maps(evidence, probability_weights(evidence, alone, behind))
    empty = maps.amax(dim=(1, 2)) == 0.0
    if empty.any():
        again = _maps(evidence, probability_weights(evidence, alone, torch.zeros_like(behind)))
        maps = torch.where(empty[:, None, None], again, maps)
    return maps


def patch_maps(cosines: torch.Tensor, least: float) -> torch.Tensor:
    """(N, h, w) in [0, 1]: what exceeds the level that 85 % of a text's patches stay below, of cosines (N, h, w).

    For CLIPs whose patches were taught to match texts one by one; no other text and no background matters. Empty for
    a text that no patch fits with the cosine `least`.
    """
    level = cosines.flatten(1).quantile(ELSEWHERE, dim=1)[:, None, None]
    fits = cosines.amax(dim=(1, 2), keepdim=True) >= least
    return min_max((cosines - level).relu()) * fits


def probabilities(evidence: Evidence, alone: bool = False) -> torch.Tensor:
    """(N,) of the softmax over texts and background; alone: over each text and the background."""
    texts, background = evidence.logits[:-1], evidence.logits[-1]
    return (texts - background).sigmoid() if alone else evidence.logits.softmax(dim=0)[:-1]


def probability_weights(evidence: Evidence, alone: bool, behind: torch.Tensor) -> torch.Tensor:
    """(N, D) how the activations are weighed for each text, up to a positive factor a text.

    The gradient of p_c is p_c (1 - p_c) times the slope of its logit less the mean slope of its rivals, weighed by
    their probabilities among themselves; the factor goes, and with it what would vanish for texts that are certain or
    hopeless. behind: (N,) bool, the texts that have the background for a rival. Without any rival the slope remains.
    """
    count = len(behind)
    rivals = torch.full((count, count + 1), not alone, device=behind.device).fill_diagonal_(False)
    rivals[:, count] = behind
    shares = evidence.logits.where(rivals, -torch.inf).softmax(dim=1).nan_to_num(0.0)
    return evidence.slopes[:-1] - shares @ evidence.slopes


def affinity(attention: torch.Tensor) -> torch.Tensor:
    """(n, n) symmetric: attention (n, n) with columns and rows brought to the sum 1 in turn (Sinkhorn), 3 times."""
    for _ in range(ROUNDS):
        attention = attention / attention.sum(dim=0, keepdim=True)
        attention = attention / attention.sum(dim=1, keepdim=True)
    return (attention + attention.mT) / 2.0


def boxes(maps: torch.Tensor, share: float, clamped: bool = False) -> torch.Tensor:
    """(N, h, w) bool: the boxes around what exceeds `share` of the maximum, touching pixels together, corners too.

    Maps (N, h, w) in [0, 1] are compared in steps of 1/255. clamped: no box holds the last row or column, as in the
    code of CLIP-ES and CLIP as RNN. An empty map has no box.
    """
    levels = (maps * 255.0).to(torch.uint8).cpu().numpy()
    found = np.zeros(levels.shape, bool)
    for plane, marked in zip(levels, found):
        high = plane > int(share * plane.max())
        count, _, stats, _ = cv2.connectedComponentsWithStats(high.astype(np.uint8), connectivity=8)
        for left, top, width, height, _ in stats[1:count]:
            marked[top : top + height, left : left + width] = True
    if clamped:
        found[:, -1] = found[:, :, -1] = False
    return torch.from_numpy(found).to(maps.device)


def refine(maps: torch.Tensor, inside: torch.Tensor, related: torch.Tensor) -> torch.Tensor:
    """(N, h, w) in [0, 1]: what maps (N, h, w) hold `inside` (N, h, w) bool, spread twice along `related` (n, n)."""
    spread = related @ (related @ (maps * inside).flatten(1).mT)
    return min_max(spread.mT.unflatten(1, maps.shape[1:]))


def enlarge(maps: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """(N, H, W) of maps (N, h, w): bilinear, pixel centres at half-integers on both grids."""
    return F.interpolate(maps[None], size=size, mode="bilinear", align_corners=False)[0]


def min_max(planes: torch.Tensor) -> torch.Tensor:
    """(N, h, w) from 0 to 1, plane by plane; a plane of one value becomes 0."""
    low, high = planes.amin(dim=(1, 2), keepdim=True), planes.amax(dim=(1, 2), keepdim=True)
    return torch.where(high > low, (planes - low) / (high - low), 0.0)


def _maps(evidence: Evidence, weights: torch.Tensor) -> torch.Tensor:
    """(N, h, w): what is positive of the activations weighed by (N, D), from 0 to 1."""
    return min_max((weights @ evidence.activations.mT).relu().unflatten(1, evidence.grid))
