# SPDX-License-Identifier: Apache-2.0
"""What is around the objects of a scene, drawn at random: table and room, clutter, paint, light and camera."""

from __future__ import annotations

import colorsys
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from clipseg_ros.datasets.tabletop.camera import Camera
from clipseg_ros.datasets.tabletop.kinds import ACCENTS
from clipseg_ros.datasets.tabletop.shapes import Mesh, Part, ball, box, lathe, rotation, turned
from clipseg_ros.datasets.tabletop.textures import PATTERNS

_DULL = (
    (0, 0.0, 0.5), (30, 0.1, 0.42), (26, 0.5, 0.4), (34, 0.3, 0.72), (66, 0.4, 0.42), (182, 0.5, 0.58), (338, 0.3, 0.86)
)

TABLE = 0.44
"""Metres around the origin that are table in every scene."""


@dataclass(frozen=True, eq=False)
class Surface:
    """A mesh in world coordinates with its paint.

    colour: (3,) RGB 0..255 in full light. contrast: share in [0, 1] by which the pattern, an index into
    textures.PATTERNS that repeats every `tile` metres, darkens or lightens it. gloss in [0, 1].
    label: class id, 0 for what belongs to no kind.
    """

    mesh: Mesh
    colour: np.ndarray
    contrast: float = 0.0
    pattern: int = 0
    tile: float = 0.1
    gloss: float = 0.0
    label: int = 0


@dataclass(frozen=True)
class Light:
    """direction: unit vector from the scene to the lamp. ambient + strength = 1: brightness of a face towards it.

    tint: factors of R, G, B. softness: radius of the lamp over its distance.
    """

    direction: tuple[float, float, float]
    ambient: float
    strength: float
    tint: tuple[float, float, float]
    softness: float


def painted(rng: np.random.Generator, parts: Sequence[Part], colour: Sequence[float], label: int) -> list[Surface]:
    """Surfaces of one thing: one shade of the colour and one faint texture all over its main parts."""
    shade = _jittered(rng, colour)
    pattern = PATTERNS.index(str(rng.choice(("grain", "cloud", "weave", "stripes"))))
    contrast = rng.uniform(0.01, 0.05)
    tile, gloss = rng.uniform(0.05, 0.15), rng.uniform(0.0, 0.7)
    accents = {name: _jittered(rng, rgb) for name, rgb in ACCENTS.items()}
    return [
        Surface(mesh, shade, contrast, pattern, tile, gloss, label)
        if paint == "main"
        else Surface(mesh, accents[paint], 0.03, 0, tile, 0.3, label)
        for mesh, paint in parts
    ]


def _jittered(rng: np.random.Generator, colour: Sequence[float]) -> np.ndarray:
    """(3,) float32 RGB near the colour: hue +-3 degrees, saturation and value within some per cent."""
    hue, saturation, value = colorsys.rgb_to_hsv(*(c / 255 for c in colour))
    turn, fade, shade = rng.uniform((-3 / 360, 0.9, 0.9), (3 / 360, 1.06, 1.03))
    rgb = colorsys.hsv_to_rgb((hue + turn) % 1, min(saturation * fade, 1), min(value * shade, 1))
    return np.array(rgb, np.float32) * 255


def muted(rng: np.random.Generator) -> tuple[float, float, float]:
    """A colour that furniture and walls have: of low saturation, or the brown of wood; never one of COLOURS."""
    if rng.uniform() < 0.4:
        hue, saturation, value = rng.uniform((22 / 360, 0.2, 0.4), (38 / 360, 0.5, 0.8))
    else:
        hue, saturation, value = rng.uniform((0.0, 0.0, 0.35), (1.0, 0.17, 0.82))
    return tuple(255 * c for c in colorsys.hsv_to_rgb(hue, saturation, value))


def dull(rng: np.random.Generator) -> tuple[float, float, float]:
    """A colour of clutter: grey, brown, beige, olive, teal or pink, which no name of COLOURS means."""
    hue, saturation, value = _DULL[rng.integers(len(_DULL))]
    return tuple(255 * c for c in colorsys.hsv_to_rgb(hue / 360, saturation, value * rng.uniform(0.85, 1.1)))


def clutter(rng: np.random.Generator) -> Mesh:
    """A block, slab, cone or pebble of 1 to 9 cm around the z axis."""
    a, b, c = rng.uniform(0.03, 0.08, 3)
    form = rng.integers(4)
    if form == 0:
        mesh = box((a, b, c), (0.0, 0.0, c / 2))
    elif form == 1:
        mesh = box((1.1 * a, 1.1 * b, 0.2 * c), (0.0, 0.0, 0.1 * c))
    elif form == 2:
        mesh = lathe([(0.0, 0.0), (0.5 * a, 0.0), (0.04 * a, 1.1 * c), (0.0, 1.1 * c)], 14)
    else:
        height = 0.3 * c
        mesh = ball((0.5 * a, 0.5 * b, height), (0.0, 0.0, 0.9 * height), 10)
        vertices = mesh.vertices * rng.uniform(0.9, 1.1, mesh.vertices.shape).astype(np.float32)
        mesh = Mesh(vertices, mesh.faces)
    return turned(mesh, rotation("z", rng.uniform(0, math.pi)))


def camera(rng: np.random.Generator) -> Camera:
    """A camera like those on robots: 55 to 69 degrees wide, 0.55 to 1.1 m away, 20 to 60 degrees up."""
    x, y = rng.uniform(-0.03, 0.03, 2)
    return Camera(
        azimuth=rng.uniform(0, 2 * math.pi),
        elevation=math.radians(rng.uniform(20, 60)),
        distance=rng.uniform(0.55, 1.1),
        target=(x, y, rng.uniform(0.02, 0.07)),
        field=math.radians(rng.uniform(55, 69)),
        swing=math.radians(rng.uniform(12, 25)),
    )


def light(rng: np.random.Generator, azimuth: float) -> Light:
    """A lamp on the camera's side, so that the wall does not shade the table."""
    azimuth, elevation = azimuth + rng.uniform(-1.5, 1.5), math.radians(rng.uniform(38, 80))
    level = math.cos(elevation)
    ambient, warmth = rng.uniform(0.56, 0.74), rng.uniform(-0.03, 0.03)
    exposure = rng.uniform(0.88, 1.12)
    tint = (exposure * (1 + warmth), exposure, exposure * (1 - warmth))
    direction = (level * math.cos(azimuth), level * math.sin(azimuth), math.sin(elevation))
    return Light(direction, ambient, 1 - ambient, tint, rng.uniform(0.01, 0.05))


def room(rng: np.random.Generator, azimuth: float) -> list[Surface]:
    """The table, its top at z = 0, the floor under it and a wall behind it as the camera sees it."""
    width, depth, thick = rng.uniform((1.0, 0.96, 0.02), (1.7, 1.3, 0.05))
    turn = rotation("z", azimuth + rng.uniform(-0.5, 0.5))
    x, y = rng.uniform(-0.04, 0.04, 2)
    top = box((depth, width, thick), (x, y, -thick / 2))
    back = -rng.uniform(1.2, 3.0)
    floor, wall = box((9.0, 9.0, 0.02), (0.0, 0.0, -0.74)), box((0.02, 9.0, 2.6), (back, 0.0, 0.56))
    pieces = (
        (top, (0.25, 1.2), 0.2, ("wood", "wood", "planks", "checks", "speckle", "cloud", "grain", "weave")),
        (floor, (0.8, 2.0), 0.18, ("planks", "checks", "cloud", "speckle", "wood")),
        (wall, (0.8, 2.0), 0.1, ("cloud", "grain", "stripes")),
    )
    surfaces = []
    for mesh, tiles, contrast, patterns in pieces:
        pattern, tile = PATTERNS.index(str(rng.choice(patterns))), rng.uniform(*tiles)
        colour = np.array(muted(rng), np.float32)
        surfaces.append(Surface(turned(mesh, turn), colour, rng.uniform(0.02, contrast), pattern, tile, 0.1))
    return surfaces
