# SPDX-License-Identifier: Apache-2.0
"""Surfaces seen by a depth camera: points of masked pixels in metres, where a thing is and how large.

Points stand in the optical frame of REP 103: x right, y down, z forward; pixel centres at integers, as the
intrinsics (3, 3) of sensor_msgs/CameraInfo have it. Depth is (H, W) float32 metres along z; what is not finite and
positive is unknown.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np


class Surface(NamedTuple):
    """points: (P, 3) float32 metres. pixels: (P,) index of each in the flattened image, ascending."""

    points: np.ndarray
    pixels: np.ndarray


class Target(NamedTuple):
    """centre: (3,) float64 metres, the mean of the visible surface. extent: (3,) metres along x, y and z."""

    centre: np.ndarray
    extent: np.ndarray


def surface(mask: np.ndarray, depth: np.ndarray, intrinsics: np.ndarray) -> Surface:
    """What of mask (H, W) bool has a known depth."""
    pixels = np.flatnonzero(mask & np.isfinite(depth) & (depth > 0.0))
    z = depth.ravel()[pixels]
    rows, columns = np.divmod(pixels, depth.shape[1])
    x = (columns - intrinsics[0, 2]) / intrinsics[0, 0] * z
    y = (rows - intrinsics[1, 2]) / intrinsics[1, 1] * z
    return Surface(np.stack([x, y, z], axis=1).astype(np.float32), pixels)


def locate(mask: np.ndarray, depth: np.ndarray, intrinsics: np.ndarray) -> Target | None:
    """Where the surface in mask (H, W) bool is and how far it reaches; None where it has no depth."""
    points = surface(mask, depth, intrinsics).points.astype(np.float64)
    if len(points) == 0:
        return None
    middle = np.median(points, axis=0)
    spread = 1.4826 * np.median(np.abs(points - middle), axis=0)
    points = points[(np.abs(points - middle) <= 3.0 * spread + 0.005).all(1)]
    low, high = np.percentile(points, (1.0, 99.0), axis=0)
    return Target(points.mean(axis=0), high - low)


def thinned(points: np.ndarray, labels: np.ndarray, spacing: float) -> np.ndarray:
    """Ascending indices of the points to keep: the first of each label in each cube of `spacing` metres.

    points: (P, 3) float32 metres. labels: (P,) uint8. Cubes of one label that are 2^18 of them apart count as one.
    """
    cells = np.floor(points / np.float32(spacing)).astype(np.int64) & ((1 << 18) - 1)
    keys = ((cells[:, 0] << 18 | cells[:, 1]) << 18 | cells[:, 2]) << 8 | labels
    return np.sort(np.unique(keys, return_index=True)[1])
