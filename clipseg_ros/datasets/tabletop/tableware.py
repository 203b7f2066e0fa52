# SPDX-License-Identifier: Apache-2.0
"""Shapes of what one drinks and eats from, and a ball. Spans of the arguments stand in kinds.KINDS."""

from __future__ import annotations

import math

from clipseg_ros.datasets.tabletop.shapes import Part, arc, ball, lathe, rotation, tube, turned


def mug(height: float, radius: float, flare: float, handle: float) -> list[Part]:
    """An upright cup with a handle: height, foot radius, rim over foot radius, reach of the handle."""
    rim = radius * flare
    wall = [(0.0, 0.0), (radius * 0.93, 0.0), (radius, 0.04 * height), (rim, height), (rim - 0.006, height)]
    inside = [(radius - 0.007, 0.1 * height), (0.0, 0.1 * height)]
    grip = arc((0.0, 0.0, 0.0), 1.0, 100, -100, 11)
    middle = radius * (1 + flare) / 2 - 0.002
    grip = grip * (handle, 1.0, 0.33 * height) + (middle, 0.0, 0.52 * height)
    return [Part(lathe([*wall, *inside])), Part(tube(grip, 0.008))]


def bottle(height: float, radius: float, neck: float, slope: float, label: float) -> list[Part]:
    """A body, a shoulder, a thin neck and a cap; neck and slope are shares of the height; label >= 0.5 adds one."""
    throat = 0.36 * radius
    shoulder, top = height * (1 - neck - slope), height * (1 - neck)
    bend = [(0.93 * radius, shoulder + 0.4 * slope * height), (1.25 * throat, top - 0.15 * slope * height)]
    body = [(0.0, 0.0), (0.9 * radius, 0.0), (radius, 0.03 * height), (radius, shoulder), *bend, (throat, top)]
    parts = [
        Part(lathe([*body, (throat, height - 0.01), (0.0, height - 0.01)])),
        Part(lathe([(1.2 * throat, height - 0.022), (1.2 * throat, height)], 14), "metal"),
    ]
    if label >= 0.5:
        band = [(radius + 0.0008, 0.3 * shoulder), (radius + 0.0008, 0.75 * shoulder)]
        parts.append(Part(lathe(band, capped=False), "paper"))
    return parts


def glass(height: float, width: float, stem: float, belly: float) -> list[Part]:
    """A goblet on a thin stem (stem < 0.6), else a tall tumbler; width at the rim and belly over width."""
    rim = width / 2
    if stem >= 0.6:
        wall = [(0.0, 0.0), (0.62 * rim, 0.0), (rim, height), (rim - 0.003, height), (0.6 * rim, 0.06 * height)]
        return [Part(lathe([*wall, (0.0, 0.06 * height)]))]
    bottom = height * (0.42 + 0.2 * stem)
    deep = height - bottom
    foot = [(0.0, 0.0), (0.8 * rim, 0.0), (0.75 * rim, 0.004), (0.12 * rim, 0.014), (0.1 * rim, bottom - 0.004)]
    shape = ((0.45, 0.04), (0.78, 0.15), (0.97, 0.32), (1.0, 0.5), (0.7 / belly + 0.3, 0.76), (1.0 / belly, 1.0))
    cup = [(rim * belly * share, bottom + deep * rise) for share, rise in shape]
    inside = [(radius - 0.003, z) for radius, z in reversed(cup)]
    return [Part(lathe([*foot, *cup, *inside, (0.0, bottom + 0.06 * deep)]))]


def bowl(radius: float, height: float, foot: float, curve: float) -> list[Part]:
    """Wide and low: rim radius, height, foot over rim radius, and how round the wall is (1 round, 2 boxy)."""
    bends = [i * math.pi / 12 for i in range(7)]
    base = foot * radius
    shape = [(base + (radius - base) * math.sin(a) ** (1 / curve), 0.1 * height + 0.9 * height * (1 - math.cos(a)))
             for a in bends]
    inside = [(r - 0.005, z + 0.006 * (height - z) / height) for r, z in reversed(shape)]
    return [Part(lathe([(0.0, 0.0), (base, 0.0), *shape, *inside, (0.0, 0.1 * height + 0.006)], 26))]


def sphere(radius: float, stripe: float, tilt: float) -> list[Part]:
    """A ball with a white band: stripe is the band's half width over the radius, tilt its lean in radians."""
    edge = [math.asin(stripe) * t for t in (-1.0, -0.5, 0.0, 0.5, 1.0)]
    outer = 1.008 * radius
    band = lathe([(outer * math.cos(a), outer * math.sin(a)) for a in edge], 24, capped=False)
    band = turned(band, rotation("x", tilt), (0.0, 0.0, radius))
    return [Part(ball(radius, (0.0, 0.0, radius), 24)), Part(band, "paper")]
