# SPDX-License-Identifier: Apache-2.0
"""A pinhole camera on a slow orbit around the table. World: metres, z up, the table top is the plane z = 0."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

SPEED = math.radians(8.0)
"""The fastest turn of the orbit, radians per unit of phase."""


@dataclass(frozen=True)
class Camera:
    """Where the camera is at phase 0 and how it swings.

    azimuth, elevation: direction from target to camera, radians. distance: metres to target (x, y, z).
    field: angle over the width of a 4:3 picture, radians; every other size sees at least that 4:3 field.
    swing: largest turn of the orbit to either side, radians, greater than 0.
    """

    azimuth: float
    elevation: float
    distance: float
    target: tuple[float, float, float]
    field: float
    swing: float

    def pose(self, phase: float = 0.0) -> np.ndarray:
        """(4, 4) float64 camera to world; the optical frame has x right, y down, z forward."""
        turn = math.sin(phase * SPEED / self.swing)
        azimuth = self.azimuth + self.swing * turn
        elevation = self.elevation + math.radians(2.5) * math.sin(0.6 * phase * SPEED / self.swing)
        level = math.cos(elevation)
        back = np.array([level * math.cos(azimuth), level * math.sin(azimuth), math.sin(elevation)])
        right = np.array([-math.sin(azimuth), math.cos(azimuth), 0.0])
        pose = np.eye(4)
        pose[:3, :3] = np.stack([right, np.cross(-back, right), -back], axis=1)
        pose[:3, 3] = np.asarray(self.target) + self.distance * back
        return pose

    def intrinsics(self, height: int, width: int) -> np.ndarray:
        """(3, 3) float64 with square pixels; the centre of the first pixel is (0, 0)."""
        focal = min(width, height * 4 / 3) / 2 / math.tan(self.field / 2)
        return np.array([[focal, 0.0, (width - 1) / 2], [0.0, focal, (height - 1) / 2], [0.0, 0.0, 1.0]])
