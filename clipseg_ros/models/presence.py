# SPDX-License-Identifier: Apache-2.0
"""Whether a prompt is there at all, told by the strongest of its logits.

One threshold cannot serve both questions: a low one draws whole objects and marks what is not there, a high one denies
that and eats their edges. What is told apart here, whether and where, is what SAM 3's presence score tells apart.
"""

from __future__ import annotations

import torch

SHARE = 0.002  # of the pixels; the mean of so many told best, of 0.1 to 2 % and the highest alone
DENIED = 20.0  # logits: far below any threshold


def strength(logits: torch.Tensor) -> torch.Tensor:
    """(...,) float32: the mean of the highest SHARE of logits (..., h, w)."""
    flat = logits.flatten(-2).float()
    return flat.topk(max(1, int(SHARE * flat.shape[-1]))).values.mean(dim=-1)


def without_absent(logits: torch.Tensor, least: float) -> torch.Tensor:
    """logits (..., h, w), by DENIED lower where their strength is below `least`."""
    absent = strength(logits) < least
    return logits - DENIED * absent[..., None, None].to(logits.dtype)
