# SPDX-License-Identifier: Apache-2.0
"""Gaussian kernels over all pixels of an image, exact but for what lies far apart, as products made block by block.

No matrix of pixels by pixels is ever held: pixels are sorted into tiles that lie close together in feature space, and
the kernel of two tiles is computed where it is used, once for both directions. Tiles further apart than REACH
deviations are left out, since each pixel there would weigh less than 4e-6.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec

import torch

REACH = 5.0  # standard deviations
TILE = 64  # pixels
PAIRS_AT_ONCE = 512  # of tiles, in the torch form: 8 MiB a kernel
LEAST_SPLIT = 8  # parts of the first split at least, so that padding is at most an eighth
EXPONENT = math.sqrt(0.5 * math.log2(math.e))  # makes exp2(-d2) of exp(-d2 / 2)


@dataclass(frozen=True, eq=False)
class Tiles:
    """Points in TILE-sized groups: features (T, TILE, F), scaled by EXPONENT; order (T * TILE,), the point at each
    place, -1 where there is none; first, second (P,): the pairs of tiles, first <= second, that are near each other.
    """

    features: torch.Tensor
    order: torch.Tensor
    first: torch.Tensor
    second: torch.Tensor

    @classmethod
    def of(cls, features: torch.Tensor) -> Tiles:
        """features: (n, F) float32, in standard deviations."""
        order = _sorted(features)
        tiled = (features * EXPONENT)[order.clamp(min=0)].unflatten(0, (-1, TILE))
        first, second = _near(tiled)
        return cls(tiled, order, first, second)

    def gathered(self, values: torch.Tensor) -> torch.Tensor:
        """(T, TILE, C) of values (n, C); 0 where there is no point."""
        there = (self.order >= 0)[:, None]
        return torch.where(there, values[self.order.clamp(min=0)], 0.0).unflatten(0, (-1, TILE))

    def scattered(self, values: torch.Tensor) -> torch.Tensor:
        """(n, C) of values (T, TILE, C)."""
        return values.flatten(0, 1)[self._places]

    @cached_property
    def _places(self) -> torch.Tensor:
        """(n,) where each point lies."""
        there = torch.nonzero(self.order >= 0)[:, 0]
        return there[self.order[there].argsort()]


def _sorted(features: torch.Tensor) -> torch.Tensor:
    """(T * TILE,) numbers of the points (n, F): cut again and again across the side on which they spread most.

    T is at least n / TILE; the last places hold -1.
    """
    count = len(features)
    tiles = -(-count // TILE)
    halvings = max(0, int(math.log2(tiles / LEAST_SPLIT))) if tiles > LEAST_SPLIT else 0
    parts = -(-tiles // 2**halvings)
    room = parts * 2**halvings * TILE
    order = torch.arange(room, device=features.device)
    for pieces in (1, *(parts * 2**level for level in range(halvings + 1))):
        groups = order.view(pieces, -1)
        points = features[groups.clamp(max=count - 1)]
        widest = (points.amax(dim=1) - points.amin(dim=1)).argmax(dim=1)
        keys = points.gather(2, widest[:, None, None].expand(-1, points.shape[1], 1))[..., 0]
        order = groups.gather(1, keys.argsort(dim=1, stable=True)).flatten()
    return torch.where(order < count, order, -1)


def _near(tiles: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Pairs (P,), (P,) of tiles (T, TILE, F) whose boxes are at most REACH deviations apart."""
    low, high = tiles.amin(dim=1), tiles.amax(dim=1)
    apart = torch.zeros(len(tiles), len(tiles), device=tiles.device)
    for axis in range(tiles.shape[2]):
        gap = low[:, None, axis] - high[None, :, axis]
        apart += torch.maximum(gap, gap.T).clamp(min=0.0) ** 2
    first, second = torch.nonzero(torch.triu(apart <= (REACH * EXPONENT) ** 2), as_tuple=True)
    return first, second


def product(tiles: Tiles, values: torch.Tensor) -> torch.Tensor:
    """(T, TILE, C) float32: the kernel of all points times values (T, TILE, C). The torch form, for any device."""
    result = torch.zeros_like(values)
    for start in range(0, len(tiles.first), PAIRS_AT_ONCE):
        first, second = (rows[start : start + PAIRS_AT_ONCE] for rows in (tiles.first, tiles.second))
        kernel = _kernel(tiles.features[first], tiles.features[second])
        result.index_add_(0, first, kernel @ values[second])
        other = first != second
        result.index_add_(0, second[other], kernel[other].mT @ values[first[other]])
    return result


def _kernel(left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    """(P, TILE, TILE) of features (P, TILE, F); differences first, since squares lose what exponents need."""
    apart = torch.zeros(1, device=left.device)
    for axis in range(left.shape[2]):
        apart = apart + (left[:, :, None, axis] - right[:, None, :, axis]) ** 2
    return torch.exp2(-apart)


class Bilateral:
    """The kernel of place and colour with the symmetric normalisation of Kraehenbuehl & Koltun's code: D K D, where D
    holds the inverse roots of K's row sums."""

    def __init__(self, image: torch.Tensor, deviation: float, colour: float) -> None:
        """image: (H, W, 3) uint8. deviation in pixels, colour in levels."""
        height, width = image.shape[:2]
        rows, columns = (torch.arange(side, device=image.device).float() / deviation for side in (height, width))
        places = torch.stack(torch.meshgrid(columns, rows, indexing="xy"), dim=2)
        features = torch.cat([places, image.float() / colour], dim=2).flatten(0, 1)
        self._tiles = Tiles.of(features)
        self._product = _product_on(image.device)
        ones = self._tiles.gathered(torch.ones(len(features), 1, device=image.device))
        self._scale = self._product(self._tiles, ones).rsqrt()  # a sum holds the pixel itself, so it is at least 1

    def __call__(self, values: torch.Tensor) -> torch.Tensor:
        """(C, H, W) float32 of values (C, H, W)."""
        tiled = self._tiles.gathered(values.flatten(1).T.contiguous())
        found = self._product(self._tiles, tiled * self._scale) * self._scale
        return self._tiles.scattered(found).T.reshape(values.shape)


class Smooth:
    """The kernel of place alone, normalised alike: a convolution along rows and one along columns.

    Each is a product with a Toeplitz matrix: exact for any deviation, and float32 on GPUs too, whose convolutions are
    not unless all of torch is told so.
    """

    def __init__(self, size: tuple[int, int], deviation: float, device: torch.device) -> None:
        """size: (H, W). deviation in pixels."""
        places = (torch.arange(side, device=device).float() / deviation for side in size)
        self._down, self._across = (torch.exp(-0.5 * (line[:, None] - line) ** 2) for line in places)
        self._scale = self._blurred(torch.ones(1, *size, device=device)).rsqrt()

    def __call__(self, values: torch.Tensor) -> torch.Tensor:
        """(C, H, W) float32 of values (C, H, W)."""
        return self._blurred(values * self._scale) * self._scale

    def _blurred(self, values: torch.Tensor) -> torch.Tensor:
        return self._down @ values @ self._across


def _product_on(device: torch.device) -> Callable[[Tiles, torch.Tensor], torch.Tensor]:
    """A fused kernel where there is a GPU and Triton, which comes with torch on most; else the torch form."""
    if device.type == "cuda" and find_spec("triton") is not None:
        from clipseg_ros.crf import fused

        return fused.product
    return product
