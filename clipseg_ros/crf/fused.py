# SPDX-License-Identifier: Apache-2.0
"""The product with a Gaussian kernel as one Triton kernel: a block of it is made and used in registers.

Imported on a GPU alone, where torch brings Triton; with TRITON_INTERPRET=1 it runs on a CPU, slowly, for the tests.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl

from clipseg_ros.crf.kernels import TILE, Tiles

PAIRS_A_PROGRAM = 16
LEAST_COLUMNS = 16  # what tl.dot takes at least


def product(tiles: Tiles, values: torch.Tensor) -> torch.Tensor:
    """(T, TILE, C) float32: the kernel of all points times values (T, TILE, C).

    Pairs of tiles are computed once for both directions and added atomically, so that the last bits may differ from
    call to call.
    """
    count, _, columns = values.shape
    width = max(LEAST_COLUMNS, triton.next_power_of_2(columns))
    padded = torch.zeros(count, TILE, width, device=values.device)
    padded[..., :columns] = values
    result = torch.zeros_like(padded)
    features = tiles.features.contiguous()
    pairs = len(tiles.first)
    _add[(triton.cdiv(pairs, PAIRS_A_PROGRAM),)](
        features, padded, result, tiles.first, tiles.second, pairs,
        SIDE=TILE, AXES=features.shape[2], WIDTH=width, EACH=PAIRS_A_PROGRAM,
    )
    return result[..., :columns]


@triton.jit
def _add(
    features, values, result, first, second, pairs,
    SIDE: tl.constexpr, AXES: tl.constexpr, WIDTH: tl.constexpr, EACH: tl.constexpr,
):
    """Add to result what EACH pairs of tiles give; pairs follow each other by their first tile."""
    points, channels = tl.arange(0, SIDE), tl.arange(0, WIDTH)
    cells = points[:, None] * WIDTH + channels[None, :]
    start = tl.program_id(0) * EACH
    held = tl.load(first + start)  # the tile whose sum is in registers
    total = tl.zeros((SIDE, WIDTH), tl.float32)
    for pair in range(start, tl.minimum(start + EACH, pairs)):
        left, right = tl.load(first + pair), tl.load(second + pair)
        if left != held:
            tl.atomic_add(result + held * SIDE * WIDTH + cells, total)
            total = tl.zeros((SIDE, WIDTH), tl.float32)
            held = left
        apart = tl.zeros((SIDE, SIDE), tl.float32)
        for axis in tl.static_range(AXES):
            a = tl.load(features + (left * SIDE + points) * AXES + axis)
            b = tl.load(features + (right * SIDE + points) * AXES + axis)
            gap = a[:, None] - b[None, :]
            apart += gap * gap
        kernel = tl.exp2(-apart)
        total += tl.dot(kernel, tl.load(values + right * SIDE * WIDTH + cells), input_precision="tf32x3")
        if left != right:
            given = tl.load(values + left * SIDE * WIDTH + cells)
            back = tl.dot(tl.trans(kernel), given, input_precision="tf32x3")
            tl.atomic_add(result + right * SIDE * WIDTH + cells, back)
    tl.atomic_add(result + held * SIDE * WIDTH + cells, total)
