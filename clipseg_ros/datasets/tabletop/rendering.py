# SPDX-License-Identifier: Apache-2.0
"""Pictures of scenes by ray casting on the CPU: colour, metric depth, class ids and the camera that saw them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from clipseg_ros.datasets.tabletop import textures
from clipseg_ros.datasets.tabletop.scenes import Scene
from clipseg_ros.datasets.tabletop.surroundings import Light

if TYPE_CHECKING:
    from embreex.rtcore_scene import EmbreeScene

_FAR = np.float32(1e6)


@dataclass(frozen=True, eq=False)
class View:
    """One picture and its truth.

    image: (H, W, 3) uint8 RGB. depth: (H, W) float32 metres along the optical axis, NaN where nothing is hit.
    labels: (H, W) uint8 class id, 0 for table, room and clutter. intrinsics: (3, 3) float64, pixel centres at
    integers. pose: (4, 4) float64, camera (x right, y down, z forward) to world.
    """

    image: np.ndarray
    depth: np.ndarray
    labels: np.ndarray
    intrinsics: np.ndarray
    pose: np.ndarray


def render(scene: Scene, height: int = 480, width: int = 640, phase: float = 0.0) -> View:
    """The scene from its camera at the phase (about 8 degrees of orbit a unit, 0 the view it was composed for).

    Same scene, size and phase give the same View. Raises ValueError for a size below 1, ImportError without
    the ray caster.
    """
    if height < 1 or width < 1:
        raise ValueError(f"picture of {height} x {width} pixels: expected at least 1 x 1")
    pose, intrinsics = scene.camera.pose(phase), scene.camera.intrinsics(height, width)
    geometry = _geometry(scene)
    directions = _rays(pose[:3, :3], intrinsics, height, width)
    hits = geometry.caster.run(_repeated(pose[:3, 3], len(directions)), directions, output=1)
    face, depth = hits["primID"], hits["tfar"]
    missed = face < 0
    points = directions * np.where(missed, _FAR, depth)[:, None]
    points += pose[:3, 3].astype(np.float32)
    lit = _lit(geometry, scene, points)
    colours = _colours(geometry, scene, pose[:3, 3], face, lit, points)
    colours += _noise(scene, phase, colours.shape)
    return View(
        image=_exposed(colours.reshape(height, width, 3)),
        depth=np.where(missed, np.float32(np.nan), depth).reshape(height, width),
        labels=geometry.label[face].reshape(height, width),
        intrinsics=intrinsics,
        pose=pose,
    )


class _Geometry(NamedTuple):
    """All triangles of a scene as tables; the last row of each table stands for a ray that hits nothing."""

    caster: EmbreeScene
    centre: np.ndarray
    normal: np.ndarray
    colour: np.ndarray
    contrast: np.ndarray
    gloss: np.ndarray
    label: np.ndarray
    layer: np.ndarray
    density: np.ndarray


@lru_cache(maxsize=2)
def _geometry(scene: Scene) -> _Geometry:
    try:
        from embreex.mesh_construction import TriangleMesh
        from embreex.rtcore_scene import EmbreeScene
    except ImportError as error:
        raise ImportError("rendering needs the ray caster embreex: pip install clipseg_ros[scenes]") from error
    surfaces = scene.surfaces
    first = np.cumsum([0, *(len(s.mesh.vertices) for s in surfaces)])
    vertices = np.concatenate([s.mesh.vertices for s in surfaces])
    faces = np.concatenate([s.mesh.faces + np.int32(start) for s, start in zip(surfaces, first, strict=False)])
    caster = EmbreeScene()
    TriangleMesh(caster, vertices, faces)
    a, b, c = (vertices[faces[:, i]] for i in range(3))
    normal = _cross(b - a, c - a)
    normal /= np.maximum(np.sqrt((normal * normal).sum(1, keepdims=True)), 1e-20)
    part = np.repeat(np.arange(len(surfaces) + 1), [*(len(s.mesh.faces) for s in surfaces), 1])

    def table(values: list, nothing: object, dtype: type) -> np.ndarray:
        return np.array([*values, nothing], dtype)[part]

    return _Geometry(
        caster,
        np.concatenate([(a + b + c) / 3, np.zeros((1, 3), np.float32)]),
        np.concatenate([normal, np.zeros((1, 3), np.float32)]),
        table([s.colour for s in surfaces], scene.backdrop, np.float32),
        table([s.contrast for s in surfaces], 0, np.float32),
        table([s.gloss for s in surfaces], 0, np.float32),
        table([s.label for s in surfaces], 0, np.uint8),
        table([s.pattern for s in surfaces], 0, np.int32),
        table([textures.SIZE / s.tile for s in surfaces], 1, np.float32),
    )


def _rays(rotation: np.ndarray, intrinsics: np.ndarray, height: int, width: int) -> np.ndarray:
    """(H * W, 3) float32 world directions whose share along the optical axis is 1, so that distance is depth."""
    x = (np.arange(width) - intrinsics[0, 2]) / intrinsics[0, 0]
    y = (np.arange(height) - intrinsics[1, 2]) / intrinsics[1, 1]
    rows = np.outer(y, rotation[:, 1]) + rotation[:, 2]
    columns = np.outer(x, rotation[:, 0])
    return (rows.astype(np.float32)[:, None] + columns.astype(np.float32)).reshape(-1, 3)


def _repeated(vector: np.ndarray, count: int) -> np.ndarray:
    rows = np.empty((count, 3), np.float32)
    rows[:] = vector
    return rows


def _lit(geometry: _Geometry, scene: Scene, points: np.ndarray) -> np.ndarray:
    """(P,) bool: the lamp is in sight; every ray aims at its own spot of the lamp, so that shadows end softly."""
    light = np.array(scene.light.direction, np.float32)
    scatter = np.resize(textures.sensor_grain()[: points.size], points.shape)
    towards = np.float32(scene.light.softness / 2) * scatter + light
    return geometry.caster.run(points + 1e-3 * light, towards, query="OCCLUDED") < 0


def _colours(
    geometry: _Geometry, scene: Scene, eye: np.ndarray, face: np.ndarray, lit: np.ndarray, points: np.ndarray
) -> np.ndarray:
    """(P, 3) float32 RGB: the shade of each face, in light or not, times the pattern at the point."""
    count = len(geometry.label)
    row = np.where(face < 0, count - 1, face)
    u = points[:, 0] + 0.43 * points[:, 2]
    v = points[:, 1] + 0.87 * points[:, 2]
    density = geometry.density[row]
    wrap = textures.SIZE - 1
    column, line = (u * density).astype(np.int32) & wrap, (v * density).astype(np.int32) & wrap
    texel = (geometry.layer[row] * textures.SIZE + line) * textures.SIZE + column
    pattern = textures.atlas().reshape(-1)[texel] * geometry.contrast[row]
    shades = np.concatenate(_shades(geometry, scene.light, eye))
    return shades[row + count * lit] * (1 + pattern)[:, None]


def _shades(geometry: _Geometry, light: Light, eye: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Two tables (F, 3) float32 RGB: every face in shadow and in light (Lambert, with a Blinn highlight)."""
    towards = np.array(light.direction, np.float32)
    sight = eye.astype(np.float32) - geometry.centre
    sight /= np.sqrt((sight * sight).sum(1, keepdims=True))
    normal = geometry.normal * np.where((geometry.normal * sight).sum(1, keepdims=True) < 0, np.float32(-1), 1)
    facing = np.maximum(normal @ towards, 0)
    halfway = sight + towards
    halfway /= np.sqrt((halfway * halfway).sum(1, keepdims=True))
    highlight = geometry.gloss * np.maximum((normal * halfway).sum(1), 0) ** 24 * (facing > 0) * 50
    ambient = light.ambient * (0.87 + 0.13 * normal[:, 2])
    tint = np.array(light.tint, np.float32)
    dark = geometry.colour * ambient[:, None] * tint
    bright = geometry.colour * (ambient + light.strength * facing)[:, None] * tint + highlight[:, None]
    dark[-1] = bright[-1] = geometry.colour[-1]
    return dark, bright


def _noise(scene: Scene, phase: float, shape: tuple[int, int]) -> np.ndarray:
    rng = np.random.default_rng([scene.seed, *np.array([phase], np.float64).view(np.uint32)])
    strip, size = textures.sensor_grain(), shape[0] * shape[1]
    start = rng.integers(max(len(strip) - size, 1))
    return np.float32(rng.uniform(1, 7)) * np.resize(strip[start : start + size], shape)


def _exposed(colours: np.ndarray) -> np.ndarray:
    """(H, W, 3) uint8: the colours through a lens that spreads each point over its neighbours (1 2 1)."""
    image = np.clip(colours, 0, 255).astype(np.uint16)
    wide = np.pad(image, ((1, 1), (1, 1), (0, 0)), "edge")
    rows = wide[:-2] + wide[2:] + 2 * wide[1:-1]
    return ((rows[:, :-2] + rows[:, 2:] + 2 * rows[:, 1:-1] + 8) >> 4).astype(np.uint8)


def _cross(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    (ax, ay, az), (bx, by, bz) = a.T, b.T
    return np.stack([ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx], 1)
