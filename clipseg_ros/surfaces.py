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

MARGIN = 0.25  # width of the surroundings looked at, as a share of the square root of the mask's area
TRIALS = 64  # planes tried through three points each
SAMPLE = 600  # points that judge them
ROUGH = 0.005  # m: nearer than that to a plane on trial is on it, the noise of depth cameras at 1 m
FLAT = 0.003  # m above the plane, beside three times the noise that the camera shows there, that is still plane
MAJORITY = 0.3  # a plane with a smaller share of the surroundings is none
SPURIOUS = 0.25  # share of a mask that may be error; more than that on the plane is the thing itself
DEEPEST = 1.0  # how far a thing may reach from its median depth, as a multiple of its larger side


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
    """Where the thing in mask (H, W) bool is and how far its visible surface reaches; None where it has no depth.

    Masks take in some of what is around. Left out is what lies on the plane that most of the surroundings lie on, as
    a table's, and what is farther from the median depth than the thing is large. The extent spans 98 % of the rest.
    """
    if not mask.any():
        return None
    reach = max(3, round(MARGIN * np.sqrt(np.count_nonzero(mask))))
    window = _window(mask, reach)
    shift = np.array([[0.0, 0.0, window[1].start], [0.0, 0.0, window[0].start], [0.0, 0.0, 0.0]])
    mask, depth, intrinsics = mask[window], depth[window], intrinsics - shift
    points = surface(mask, depth, intrinsics).points
    if len(points) == 0:
        return None
    near = cv2.distanceTransform((~mask).astype(np.uint8), cv2.DIST_L2, 3) <= reach
    points = _off_plane(points, surface(near & ~mask, depth, intrinsics).points)
    sides = (np.ptp(np.flatnonzero(mask.any(axis=axis))) + 1 for axis in (0, 1))
    points = _in_reach(points, DEEPEST * max(sides) / intrinsics[0, 0])
    low, high = np.percentile(points, (1.0, 99.0), axis=0)
    return Target(points.mean(axis=0, dtype=np.float64), high - low)


def thinned(points: np.ndarray, labels: np.ndarray, spacing: float) -> np.ndarray:
    """Ascending indices of the points to keep: the first of each label in each cube of `spacing` metres.

    points: (P, 3) float32 metres. labels: (P,) uint8. Cubes of one label that are 2^18 of them apart count as one.
    """
    cells = np.floor(points / np.float32(spacing)).astype(np.int64) & ((1 << 18) - 1)
    keys = ((cells[:, 0] << 18 | cells[:, 1]) << 18 | cells[:, 2]) << 8 | labels
    return np.sort(np.unique(keys, return_index=True)[1])


def _window(mask: np.ndarray, margin: int) -> tuple[slice, slice]:
    """The mask's box with a margin, inside the image."""
    ends = [np.flatnonzero(mask.any(axis=axis))[[0, -1]] for axis in (1, 0)]
    rows, columns = (slice(max(int(first) - margin, 0), int(last) + margin + 1) for first, last in ends)
    return rows, columns


def _off_plane(points: np.ndarray, around: np.ndarray) -> np.ndarray:
    """The points (P, 3) without those on the plane of most points around; all where that would be too many."""
    plane = _plane(around)
    if plane is None:
        return points
    normal, offset, noise = plane
    off = np.abs(points @ normal - offset) > FLAT + 3.0 * noise
    return points[off] if off.mean() >= 1.0 - SPURIOUS else points


def _plane(points: np.ndarray) -> tuple[np.ndarray, float, float] | None:
    """(3,) normal, offset and noise (root mean square, m) of the plane that most points lie on; None without one.

    By trial: RANSAC, Fischler & Bolles, CACM 1981.
    """
    if len(points) < 3:
        return None
    rng = np.random.default_rng(0)
    points = points[rng.permutation(len(points))[:SAMPLE]]
    first, second, third = points[rng.integers(len(points), size=(3, TRIALS))]
    normals = np.cross(second - first, third - first)
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)
    offsets = (normals * first).sum(axis=1)
    on = np.abs(points @ normals.T - offsets) < ROUGH
    on &= np.linalg.norm(normals, axis=1) > 0.5  # three points on a line span none
    on = points[on[:, on.sum(axis=0).argmax()]]
    if len(on) < max(MAJORITY * len(points), 3):
        return None
    middle = on.mean(axis=0)
    normal = np.linalg.svd(on - middle, full_matrices=False)[2][2]
    offset = normal @ middle
    return normal, float(offset), float(np.sqrt(np.square(on @ normal - offset).mean()))


def _in_reach(points: np.ndarray, slope: float) -> np.ndarray:
    """The points (P, 3) whose depth differs from the median by at most `slope` times the median."""
    for _ in range(2):  # the first median is of what is left out, too
        middle = np.median(points[:, 2])
        points = points[np.abs(points[:, 2] - middle) <= slope * middle]
    return points
