# SPDX-License-Identifier: Apache-2.0
"""Cut-outs: the authors' numbers, PyTorch's own resizing box by box, and shapes at the edges."""

from __future__ import annotations

import numpy as np
import torch
from torch.nn import functional as F

from clipseg_ros.models.ovseg_regions import cut_outs

Arrays = dict[str, np.ndarray]


def test_cut_outs_are_the_references(ovseg_golden: Arrays, ovseg_pixels: torch.Tensor) -> None:
    hard = torch.from_numpy(ovseg_golden["mask_prob_with_empty"]) > 0.5
    regions, masks = cut_outs(ovseg_pixels, hard[torch.from_numpy(ovseg_golden["valid"])], 224)
    expected = ovseg_golden["regions_normalised_0_2_every_16"]
    np.testing.assert_allclose(regions[[0, 2], :, ::16, ::16].numpy(), expected, atol=1e-4)
    np.testing.assert_array_equal(masks.numpy(), ovseg_golden["region_masks"])


def test_all_boxes_at_once_are_each_box_on_its_own() -> None:
    rng = torch.Generator().manual_seed(0)
    pixels = torch.randn(3, 61, 83, generator=rng)
    boxes = [(0, 0, 83, 61), (5, 7, 6, 8), (82, 0, 83, 61), (3, 60, 50, 61), (10, 5, 74, 37), (20, 20, 36, 36)]
    masks = torch.zeros(len(boxes), 61, 83, dtype=torch.bool)
    for mask, (left, top, right, bottom) in zip(masks, boxes):
        mask[top:bottom, left:right] = torch.rand(bottom - top, right - left, generator=rng) > 0.3
        mask[top, left] = mask[bottom - 1, right - 1] = True
    regions, shown = cut_outs(pixels, masks, 32)
    for index, (left, top, right, bottom) in enumerate(boxes):
        mask = masks[index : index + 1, None, top:bottom, left:right].float()
        part = pixels[None, :, top:bottom, left:right] * mask
        expected = F.interpolate(part, (32, 32), mode="bicubic", align_corners=False)
        torch.testing.assert_close(regions[index], expected[0], atol=1e-5, rtol=0)
        torch.testing.assert_close(shown[index].float(), F.interpolate(mask, (32, 32), mode="nearest")[0])


def test_no_mask_gives_no_cut_out() -> None:
    regions, masks = cut_outs(torch.zeros(3, 8, 8), torch.zeros(0, 8, 8, dtype=torch.bool), 32)
    assert regions.shape == (0, 3, 32, 32) and masks.shape == (0, 1, 32, 32) and masks.dtype == torch.bool
