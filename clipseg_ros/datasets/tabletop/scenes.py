# SPDX-License-Identifier: Apache-2.0
"""Random scenes: a table in a room, objects and clutter on it, a light and a camera; one seed is one scene."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from clipseg_ros.datasets.tabletop import surroundings
from clipseg_ros.datasets.tabletop.camera import Camera
from clipseg_ros.datasets.tabletop.held_out import UNSEEN_PAIRS
from clipseg_ros.datasets.tabletop.kinds import COLOURS, KINDS, Kind, class_id
from clipseg_ros.datasets.tabletop.shapes import Mesh, Part, rotation, turned
from clipseg_ros.datasets.tabletop.surroundings import Light, Surface


@dataclass(frozen=True, eq=False)
class SceneObject:
    """One object: its kind and colour, the (3,) centre of its bounding box and the radius of its footprint in m."""

    kind: str
    colour: str
    centre: np.ndarray
    radius: float

    @property
    def class_id(self) -> int:
        """The value of its pixels in View.labels."""
        return class_id(self.kind, self.colour)


@dataclass(frozen=True, eq=False)
class Scene:
    """What render() draws. objects: the labelled ones; surfaces: all meshes; backdrop: (3,) RGB behind everything."""

    seed: int
    objects: tuple[SceneObject, ...]
    camera: Camera
    light: Light
    surfaces: tuple[Surface, ...] = field(repr=False)
    backdrop: np.ndarray = field(repr=False)


def compose(seed: int, unseen_pairs: bool = True) -> Scene:
    """The scene of a seed (>= 0): 3 to 7 objects of even kinds and colours, up to 5 pieces of clutter.

    unseen_pairs: False leaves out the pairs of kind and colour that are held out of training.
    """
    rng = np.random.default_rng(seed)
    camera = surroundings.camera(rng)
    light = surroundings.light(rng, camera.azimuth)
    surfaces = surroundings.room(rng, camera.azimuth)
    layout = _Layout(rng, camera)
    objects, draws, wanted = [], 0, rng.integers(3, 8)
    while draws < wanted or len(objects) < 3:
        draws += 1
        name, colour = rng.choice(list(KINDS)), rng.choice(list(COLOURS))
        if not unseen_pairs and (name, colour) in UNSEEN_PAIRS:
            colour = rng.choice([other for other in COLOURS if (name, other) not in UNSEEN_PAIRS])
        placed = layout.place(_posed(rng, KINDS[name]), required=len(objects) < 3)
        if placed is not None:
            parts, centre, radius = placed
            thing = SceneObject(str(name), str(colour), centre, radius)
            objects.append(thing)
            surfaces += surroundings.painted(rng, parts, COLOURS[thing.colour], thing.class_id)
    for _ in range(rng.integers(0, 6)):
        placed = layout.place(_centred([Part(surroundings.clutter(rng))]), required=False)
        if placed is not None:
            surfaces += surroundings.painted(rng, placed[0], surroundings.dull(rng), 0)
    return Scene(seed, tuple(objects), camera, light, tuple(surfaces), np.array(surroundings.muted(rng), np.float32))


class _Layout:
    """Where things stand: circles on the table that stay apart, and discs in the first view that overlap little."""

    def __init__(self, rng: np.random.Generator, camera: Camera) -> None:
        self._rng, self._pose = rng, camera.pose()
        self._slope = math.tan(camera.field / 2)
        self._circles: list[tuple[float, float, float]] = []
        self._discs: list[tuple[float, float, float]] = []

    def place(self, parts: list[Part], required: bool) -> tuple[list[Part], np.ndarray, float] | None:
        """Parts moved to a free place, the centre and the footprint radius; None where there seems to be none.

        A required thing may cover more and more of the others in the view, yet never stands in another.
        """
        upper = np.max([part.mesh.vertices.max(0) for part in parts], axis=0).astype(float)
        radius = math.hypot(upper[0], upper[1])
        half = np.array([0.0, 0.0, upper[2] / 2])
        for attempt in range(1000 if required else 200):
            angle = self._rng.uniform(0, 2 * math.pi)
            reach = (surroundings.TABLE - radius) * math.sqrt(self._rng.uniform())
            spot = np.array([reach * math.cos(angle), reach * math.sin(angle), 0.0])
            apart = 0.6 * 0.97 ** max(attempt - 200, 0)
            if self._free(spot, half, radius, apart):
                moved = [Part(Mesh(m.vertices + spot.astype(np.float32), m.faces), paint) for m, paint in parts]
                return moved, spot + half, radius
        return None

    def _free(self, spot: np.ndarray, half: np.ndarray, radius: float, apart: float) -> bool:
        x, y = spot[:2]
        if any(math.hypot(x - a, y - b) < radius + r + 0.008 for a, b, r in self._circles):
            return False
        right, below, depth = ((spot + half - self._pose[:3, 3]) @ self._pose[:3, :3]).tolist()
        scale = 1 / (depth * self._slope)
        across, down, size = right * scale, below * scale, max(radius, half[2]) * scale
        if depth < 0.34 or max(abs(across) + 0.5 * size, (abs(down) + 0.5 * size) * 4 / 3) > 1.0:
            return False
        if any(math.hypot(across - a, down - b) < apart * (size + s) for a, b, s in self._discs):
            return False
        self._circles.append((x, y, radius))
        self._discs.append((across, down, size))
        return True


def _posed(rng: np.random.Generator, kind: Kind) -> list[Part]:
    """An object of the kind at the origin, toppled at times, turned at random, its footprint centred."""
    matrix = rotation("z", rng.uniform(0, 2 * math.pi))
    parts = kind.build(rng)
    if rng.uniform() < kind.topples:
        matrix = matrix @ rotation("x", math.pi / 2)
    return _centred([Part(turned(mesh, matrix), paint) for mesh, paint in parts])


def _centred(parts: list[Part]) -> list[Part]:
    lower = np.min([part.mesh.vertices.min(0) for part in parts], axis=0)
    upper = np.max([part.mesh.vertices.max(0) for part in parts], axis=0)
    shift = np.array([(lower[0] + upper[0]) / 2, (lower[1] + upper[1]) / 2, lower[2]], np.float32)
    return [Part(Mesh(mesh.vertices - shift, mesh.faces), paint) for mesh, paint in parts]
