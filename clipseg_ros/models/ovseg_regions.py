# SPDX-License-Identifier: Apache-2.0
"""What a mask-adapted CLIP sees of an image: the tight box of each mask, blank outside the mask, squashed to a square.

All boxes of an image are cut at once. The result is that of resizing each box on its own with PyTorch's `interpolate`,
bicubic for pixels and nearest for masks: nothing outside a box has a say in it.
"""

from __future__ import annotations

import torch

from clipseg_ros.models.sam import boxes_of

CUBIC = -0.75  # PyTorch's coefficient
TAPS = 4


def cut_outs(pixels: torch.Tensor, masks: torch.Tensor, side: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Regions (M, 3, side, side) and their masks (M, 1, side, side) bool.

    pixels: (3, H, W) normalised, so that 0 is the mean colour, which blank pixels have. masks: (M, H, W) bool, each
    with some pixel. M = 0 gives empty arrays.
    """
    if not len(masks):
        return pixels.new_zeros(0, 3, side, side), masks.new_zeros(0, 1, side, side)
    boxes = boxes_of(masks)
    rows, columns = (_Axis(boxes[:, first], boxes[:, last], side) for first, last in ((1, 3), (0, 2)))
    which = torch.arange(len(masks), device=masks.device)[:, None]
    tall = sum(
        pixels[:, rows.taps[..., tap]] * (masks[which, rows.taps[..., tap]] * rows.weights[..., tap, None])
        for tap in range(TAPS)
    )  # (3, M, side, W)
    regions = sum(
        tall.gather(3, columns.taps[None, :, None, :, tap].expand(3, -1, side, -1)) * columns.weights[:, None, :, tap]
        for tap in range(TAPS)
    )
    shown = masks[which[..., None], rows.nearest[:, :, None], columns.nearest[:, None, :]]
    return regions.transpose(0, 1), shown[:, None]


class _Axis:
    """Where `side` pixels of each of M spans first..last of an axis come from.

    taps: (M, side, 4) int64 pixels, held inside the span; weights: (M, side, 4) of a cubic convolution; nearest:
    (M, side) int64.
    """

    def __init__(self, first: torch.Tensor, last: torch.Tensor, side: int) -> None:
        length = (last - first)[:, None]
        steps = torch.arange(side, device=first.device, dtype=torch.float32)
        scale = length / side
        places = scale * (steps + 0.5) - 0.5
        low = places.floor()
        offsets = torch.arange(-1.0, TAPS - 1.0, device=first.device)
        taps = (low[..., None] + offsets).clamp(min=0.0).minimum(length[..., None] - 1.0)
        self.taps = (taps + first[:, None, None]).long()
        self.weights = _cubic((places - low)[..., None] - offsets)
        self.nearest = ((scale * steps).floor().minimum(length - 1.0) + first[:, None]).long()


def _cubic(distance: torch.Tensor) -> torch.Tensor:
    """Keys's kernel at a distance in pixels, of at most 2."""
    x = distance.abs()
    near = ((CUBIC + 2.0) * x - (CUBIC + 3.0)) * x * x + 1.0
    far = ((CUBIC * x - 5.0 * CUBIC) * x + 8.0 * CUBIC) * x - 4.0 * CUBIC
    return torch.where(x <= 1.0, near, far)
