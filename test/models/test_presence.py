# SPDX-License-Identifier: Apache-2.0
"""The strongest logits tell whether a prompt is there; those of one that is not are denied everywhere."""

from __future__ import annotations

import torch

from clipseg_ros.models.presence import DENIED, strength, without_absent


def test_the_strength_is_the_mean_of_the_highest_share() -> None:
    logits = torch.zeros(2, 3, 50, 40)  # of 2000 pixels 4 count
    logits[1, 2, :2, :2] = torch.tensor([[1.0, 2.0], [3.0, 6.0]])
    logits[1, 2, 9, 9] = 0.5
    expected = torch.zeros(2, 3)
    expected[1, 2] = 3.0
    torch.testing.assert_close(strength(logits), expected)


def test_a_single_pixel_is_enough_of_a_small_map() -> None:
    logits = torch.tensor([[[-1.0, 4.0]]])
    assert strength(logits).tolist() == [4.0]


def test_what_is_absent_is_denied_and_the_rest_stays() -> None:
    logits = torch.randn(1, 2, 8, 8)
    logits[0, 0, 0, 0], logits[0, 1] = 5.0, logits[0, 1].clamp(max=4.9)
    found = without_absent(logits, 5.0)
    assert torch.equal(found[0, 0], logits[0, 0])
    torch.testing.assert_close(found[0, 1], logits[0, 1] - DENIED)


def test_half_precision_stays_half() -> None:
    assert without_absent(torch.zeros(1, 1, 4, 4, dtype=torch.float16), 1.0).dtype == torch.float16
