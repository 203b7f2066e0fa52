# SPDX-License-Identifier: Apache-2.0
"""The dense CRF by mean field with exact kernels, and the guided filter that brings it to full size, as tensors.

Meant for a GPU, where it replaces pydensecrf, which approximates the same kernels on a lattice; runs anywhere.
"""

from __future__ import annotations

import numpy as np
import torch
from torch.nn import functional as F

from clipseg_ros.crf import GUIDE_NOISE, GUIDE_RADIUS, LEAST, DenseCrf
from clipseg_ros.crf.kernels import Bilateral, Smooth

GREY = (0.299, 0.587, 0.114)  # of red, green and blue


@torch.inference_mode()
def computed(image: np.ndarray, probabilities: np.ndarray, settings: DenseCrf) -> np.ndarray:
    """(B, L, H, W) float32: marginals of B problems of L labels each over one image (H, W, 3) uint8 RGB.

    probabilities (B, L, H, W) in [0, 1] need no sum of 1. Computed on settings.device and the grid of settings.scale.
    """
    arrays = (np.ascontiguousarray(image), np.ascontiguousarray(probabilities))
    pixels, given = (torch.from_numpy(array).to(settings.device) for array in arrays)
    grid, shrunk = settings.on_grid(image.shape[:2])
    if 0 in given.shape or grid == image.shape[:2]:
        return mean_field(pixels, given, settings).cpu().numpy()
    planes = pixels.permute(2, 0, 1).float()
    small = F.adaptive_avg_pool2d(planes, grid).round()
    given = F.adaptive_avg_pool2d(given, grid)
    found = mean_field(small.byte().permute(1, 2, 0), given, shrunk).flatten(0, 1)
    return guided_upsampling(planes, small, found).view(probabilities.shape).cpu().numpy()


def mean_field(image: torch.Tensor, probabilities: torch.Tensor, settings: DenseCrf) -> torch.Tensor:
    """(B, L, H, W) float32 of an image (H, W, 3) uint8 and probabilities (B, L, H, W) on one device, at full size.

    Each label gains where the kernels' neighbours take it (Kraehenbuehl & Koltun, 2011, Algorithm 1, Potts model).
    """
    if 0 in probabilities.shape:
        return probabilities
    edge = Bilateral(image, settings.edge_deviation, settings.edge_colour)
    smooth = Smooth(image.shape[:2], settings.smooth_deviation, image.device)
    evidence = probabilities.clamp(LEAST, 1.0).log()
    found = evidence.softmax(dim=1)
    for _ in range(settings.iterations):
        planes = found.flatten(0, 1)
        agreed = settings.edge_weight * edge(planes) + settings.smooth_weight * smooth(planes)
        found = (evidence + agreed.view_as(evidence)).softmax(dim=1)
    return found


def guided_upsampling(image: torch.Tensor, small: torch.Tensor, maps: torch.Tensor) -> torch.Tensor:
    """(L, H, W) in [0, 1]: maps (L, h, w) of the image `small` (3, h, w) at the size of image (3, H, W), 0 to 255.

    As crf.guided_upsampling, for tensors.
    """
    weights = torch.tensor(GREY, device=image.device)[:, None, None] / 255.0
    fine, coarse = ((weights * planes).sum(dim=0, keepdim=True) for planes in (image, small))
    mean, average = _box_mean(coarse), _box_mean(maps)
    variance = _box_mean(coarse * coarse) - mean * mean
    slope = (_box_mean(coarse * maps) - mean * average) / (variance + GUIDE_NOISE)
    line = torch.stack([_box_mean(slope), _box_mean(average - slope * mean)])
    slope, offset = F.interpolate(line, size=fine.shape[1:], mode="bilinear", align_corners=False)
    return (slope * fine + offset).clamp(0.0, 1.0)


def _box_mean(planes: torch.Tensor) -> torch.Tensor:
    """(L, h, w) means of planes (L, h, w) over boxes, mirrored at the border as OpenCV does where there is room."""
    mode = "reflect" if min(planes.shape[1:]) > GUIDE_RADIUS else "replicate"
    padded = F.pad(planes[None], [GUIDE_RADIUS] * 4, mode=mode)
    return F.avg_pool2d(padded, 2 * GUIDE_RADIUS + 1, stride=1)[0]
