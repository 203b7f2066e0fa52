# SPDX-License-Identifier: Apache-2.0
"""Procedural patterns that tile, and the grain of the camera sensor: made once, looked up for every pixel."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

SIZE = 128
"""Patterns repeat after so many texels; a power of two, since wrapping is a bitwise and."""

PATTERNS = ("grain", "cloud", "wood", "planks", "checks", "speckle", "stripes", "weave")
"""Names in the order of atlas()."""


@lru_cache(maxsize=1)
def atlas() -> np.ndarray:
    """(len(PATTERNS), SIZE, SIZE) float32 in [-1, 1], read-only."""
    rng = np.random.default_rng(0)
    v, u = np.mgrid[:SIZE, :SIZE] / SIZE
    turn = 2 * np.pi
    grain, cloud = _noise(rng, 30.0), _noise(rng, 4.0)
    rings = np.sin(turn * (7 * v + 0.35 * cloud)) * 0.7 + 0.3 * _noise(rng, 30.0, stretch=16.0)
    seam = np.where((v * 4) % 1 < 0.05, -1.0, 0.0)
    board = np.repeat(rng.uniform(-0.5, 0.5, 4), SIZE // 4)[:, None]
    layers = (
        grain,
        cloud,
        rings,
        np.clip(0.35 * rings + board + seam, -1, 1),
        np.where((u * 2 % 1 < 0.5) ^ (v * 2 % 1 < 0.5), 1.0, -1.0),
        np.where(_noise(rng, 18.0) > 0.45, -1.0, 0.3),
        np.where((u * 4) % 1 < 0.5, 1.0, -1.0),
        0.5 * np.sin(turn * 16 * u) + 0.5 * np.sin(turn * 16 * v),
    )
    patterns = np.stack(layers).astype(np.float32)
    patterns.flags.writeable = False
    return patterns


@lru_cache(maxsize=1)
def sensor_grain() -> np.ndarray:
    """(2**21,) float32 standard normal values, read-only: a long strip to cut noise from."""
    strip = np.random.default_rng(1).standard_normal(2**21, np.float32)
    strip.flags.writeable = False
    return strip


def _noise(rng: np.random.Generator, cutoff: float, stretch: float = 1.0) -> np.ndarray:
    """(SIZE, SIZE) in [-1, 1]: tiling noise of at most `cutoff` waves a tile, drawn out along u by stretch."""
    frequency = np.fft.fftfreq(SIZE, 1 / SIZE)
    distance = np.hypot(frequency[:, None], frequency[None] * stretch)
    smooth = np.fft.ifft2(np.fft.fft2(rng.standard_normal((SIZE, SIZE))) * np.exp(-((distance / cutoff) ** 2))).real
    return np.clip(smooth / (2.2 * smooth.std()), -1, 1)
