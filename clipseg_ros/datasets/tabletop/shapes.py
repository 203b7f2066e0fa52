# SPDX-License-Identifier: Apache-2.0
"""Solids as triangle meshes: every one is a stack of rings (a loft), so one table of faces serves them all.

Lengths are metres, z is up. Winding is free: the renderer turns normals towards the viewer.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np

Point = Sequence[float]


class Mesh(NamedTuple):
    """Triangles: vertices (V, 3) float32, faces (F, 3) int32 indices into them."""

    vertices: np.ndarray
    faces: np.ndarray


class Part(NamedTuple):
    """A mesh and its paint: "main" for the object's own colour, else a name of kinds.ACCENTS."""

    mesh: Mesh
    paint: str = "main"


def loft(rings: np.ndarray, capped: bool = True) -> Mesh:
    """Skin over rings (M, N, 3): neighbouring rings are joined; capped closes the first and the last one."""
    rings = np.asarray(rings, np.float32)
    count, points = rings.shape[:2]
    vertices = rings.reshape(-1, 3)
    if capped:
        ends = rings[[0, -1]].sum(1) / np.float32(points)
        vertices = np.concatenate([vertices, ends])
    return Mesh(vertices, _faces(count, points, capped))


def lathe(outline: Sequence[Point], sections: int = 20, capped: bool = True) -> Mesh:
    """An outline of (radius, height) points turned around the z axis."""
    profile = np.asarray(outline, np.float32)
    rings = np.empty((len(profile), sections, 3), np.float32)
    rings[..., :2] = profile[:, None, :1] * _circle(sections)
    rings[..., 2] = profile[:, 1:]
    return loft(rings, capped)


def ball(radii: float | Point, centre: Point = (0.0, 0.0, 0.0), sections: int = 14) -> Mesh:
    """An ellipsoid with its axes along x, y, z."""
    unit = _unit_ball(sections)
    return Mesh(unit.vertices * np.asarray(radii, np.float32) + np.asarray(centre, np.float32), unit.faces)


def box(size: Point, centre: Point = (0.0, 0.0, 0.0)) -> Mesh:
    """A box with its edges along x, y, z."""
    unit = _unit_box()
    return Mesh(unit.vertices * np.asarray(size, np.float32) + np.asarray(centre, np.float32), unit.faces)


def rod(start: Point, end: Point, radius: float, end_radius: float | None = None, sections: int = 10) -> Mesh:
    """A straight round bar; end_radius makes it taper."""
    x, y, z = (e - s for s, e in zip(start, end, strict=True))
    length = math.sqrt(x * x + y * y + z * z)
    x, y, z = x / length, y / length, z / length
    if abs(z) < 0.8:
        level = math.hypot(x, y)
        across = (-y / level, x / level, 0.0)
    else:
        level = math.hypot(x, z)
        across = (z / level, 0.0, -x / level)
    a, b, c = across
    frame = np.array([across, (y * c - z * b, z * a - x * c, x * b - y * a)], np.float32)
    circle = _circle(sections) @ frame
    rings = np.empty((2, sections, 3), np.float32)
    rings[0] = circle * radius + np.asarray(start, np.float32)
    rings[1] = circle * (radius if end_radius is None else end_radius) + np.asarray(end, np.float32)
    return loft(rings)


def tube(path: Sequence[Point], radii: float | Sequence[float], sections: int = 10, capped: bool = True) -> Mesh:
    """A round bar along a path (M, 3) that bends in one plane, with one radius or one for each point."""
    line = np.asarray(path, np.float32)
    ahead = np.empty_like(line)
    ahead[1:-1] = line[2:] - line[:-2]
    ahead[0], ahead[-1] = line[1] - line[0], line[-1] - line[-2]
    side = np.eye(3, dtype=np.float32)[np.argmin(line.max(0) - line.min(0))]
    across = _unit(_cross(side, ahead))
    beside = _unit(_cross(ahead, across))
    circle = _circle(sections)
    ring = circle[None, :, :1] * across[:, None] + circle[None, :, 1:] * beside[:, None]
    radius = np.broadcast_to(np.asarray(radii, np.float32), len(line))
    return loft(line[:, None] + ring * radius[:, None, None], capped)


def plate(corners: Sequence[Point], thickness: Point) -> Mesh:
    """A flat polygon (N, 3), seen whole from its centroid, thickened by half of the vector to either side."""
    outline = np.asarray(corners, np.float32)
    half = np.asarray(thickness, np.float32) / 2
    return loft(np.stack([outline - half, outline + half]))


def arc(centre: Point, radius: float, start: float, end: float, points: int = 9) -> np.ndarray:
    """(points, 3): a path on a circle in the xz plane; angles in degrees from +x towards +z."""
    angle = np.radians(np.linspace(start, end, points))
    flat = np.stack([np.cos(angle), np.zeros(points), np.sin(angle)], 1)
    return np.asarray(centre) + radius * flat


def mirrored(mesh: Mesh) -> Mesh:
    """The same mesh on the other side of the xz plane."""
    return Mesh(mesh.vertices * np.float32([1, -1, 1]), mesh.faces)


def turned(mesh: Mesh, rotation: np.ndarray, shift: Point = (0.0, 0.0, 0.0)) -> Mesh:
    """The mesh rotated by a (3, 3) matrix about the origin, then shifted."""
    vertices = mesh.vertices @ np.asarray(rotation, np.float32).T + np.asarray(shift, np.float32)
    return Mesh(vertices, mesh.faces)


def rotation(axis: str, angle: float) -> np.ndarray:
    """(3, 3) rotation by an angle in radians about the axis "x", "y" or "z"."""
    first, second = {"x": (1, 2), "y": (2, 0), "z": (0, 1)}[axis]
    matrix = np.eye(3)
    matrix[first, first] = matrix[second, second] = math.cos(angle)
    matrix[second, first] = math.sin(angle)
    matrix[first, second] = -math.sin(angle)
    return matrix


@lru_cache(maxsize=64)
def _faces(rings: int, points: int, capped: bool) -> np.ndarray:
    index = np.arange(rings * points).reshape(rings, points)
    after = np.roll(index, -1, axis=1)
    low, high, low_after, high_after = index[:-1], index[1:], after[:-1], after[1:]
    walls = [np.stack([low, low_after, high_after], -1), np.stack([low, high_after, high], -1)]
    faces = [wall.reshape(-1, 3) for wall in walls]
    if capped:
        for ring, centre in ((0, index.size), (-1, index.size + 1)):
            faces.append(np.stack([index[ring], after[ring], np.full(points, centre)], -1))
    return np.concatenate(faces).astype(np.int32)


@lru_cache(maxsize=16)
def _circle(sections: int) -> np.ndarray:
    angle = np.arange(sections) * (2 * math.pi / sections)
    return np.stack([np.cos(angle), np.sin(angle)], 1).astype(np.float32)


@lru_cache(maxsize=8)
def _unit_ball(sections: int) -> Mesh:
    angle = np.linspace(-math.pi / 2, math.pi / 2, sections // 2 + 2)[1:-1]
    return lathe(np.stack([np.cos(angle), np.sin(angle)], 1), sections)


@lru_cache(maxsize=1)
def _unit_box() -> Mesh:
    square = [(-0.5, -0.5, 0.0), (0.5, -0.5, 0.0), (0.5, 0.5, 0.0), (-0.5, 0.5, 0.0)]
    return plate(square, (0.0, 0.0, 1.0))


def _cross(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    (ax, ay, az), (bx, by, bz) = np.moveaxis(a, -1, 0), np.moveaxis(b, -1, 0)
    return np.stack([ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx], -1)


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.maximum(np.sqrt((vectors * vectors).sum(-1, keepdims=True)), 1e-12)
