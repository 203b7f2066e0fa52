# SPDX-License-Identifier: Apache-2.0
"""Shapes of toy vehicles, driving along +x. Spans of the arguments stand in kinds.KINDS."""

from __future__ import annotations

import math

import numpy as np

from clipseg_ros.datasets.tabletop.shapes import (
    Mesh,
    Part,
    arc,
    ball,
    box,
    lathe,
    loft,
    mirrored,
    plate,
    rod,
    rotation,
    tube,
    turned,
)


def car(length: float, width: float, wheel: float, roof: float, rake: float) -> list[Part]:
    """A saloon: wheel radius, height `roof` of the cabin, rake of its front window in m."""
    h, floor, belt = length / 2, 0.55 * wheel, 0.55 * wheel + 0.15 * length
    nose = [(h, floor), (h, floor + 0.09 * length), (0.85 * h, belt - 0.012), (0.3 * h, belt)]
    tail = [(-0.96 * h, belt - 0.002), (-h, belt - 0.02), (-h, floor)]
    front, rear = (0.36 * h, 0.36 * h - rake), (-0.78 * h, -0.5 * h)
    cabin = [(front[0], belt - 0.001), (front[1], belt + roof), (rear[1], belt + roof), (rear[0], belt - 0.001)]
    parts = [Part(_side(nose + tail, width)), Part(_side(cabin, 0.84 * width))]
    low, high = 0.12 * roof, 0.82 * roof
    panes = _panes(_shrunk(cabin, low, high, 0.006), -0.08 * h)
    parts += [Part(_side(pane, 0.86 * width), "window") for pane in panes]
    parts.append(Part(_side(_shrunk(cabin, low, high, -0.0015), 0.72 * width), "window"))
    for x in (0.58 * h, -0.58 * h):
        parts += _axle(x, 0.5 * width, wheel, 0.34 * wheel + 0.004)
    for y in (-0.34 * width, 0.34 * width):
        parts.append(Part(ball((0.004, 0.008, 0.007), (h, y, floor + 0.07 * length)), "light"))
    parts.append(Part(box((0.006, 0.94 * width, 0.008), (h, 0.0, floor + 0.012)), "metal"))
    return parts


def bus(length: float, width: float, height: float, wheel: float, panes: float) -> list[Part]:
    """A long box on wheels with a row of int(panes) windows on either side and a tall windscreen."""
    h, floor, top = length / 2, 0.6 * wheel, height
    shape = [(h, floor), (h, top - 0.012), (h - 0.008, top), (-h + 0.006, top), (-h, top - 0.01), (-h, floor)]
    parts = [Part(_side(shape, width))]
    low, high, count = floor + 0.48 * (top - floor), top - 0.014, int(panes)
    step = (length - 0.02) / count
    for i in range(count):
        x = -h + 0.01 + step * (i + 0.5)
        parts.append(Part(box((step - 0.008, width + 0.002, high - low), (x, 0.0, (low + high) / 2)), "window"))
    middle = (low + high) / 2
    parts.append(Part(box((0.004, 0.84 * width, high - low + 0.012), (h - 0.001, 0.0, middle - 0.004)), "window"))
    parts.append(Part(box((0.004, 0.8 * width, high - low), (-h + 0.001, 0.0, middle)), "window"))
    for x in (0.6 * h, -0.58 * h):
        parts += _axle(x, 0.5 * width, wheel, 0.3 * wheel + 0.004)
    for y in (-0.34 * width, 0.34 * width):
        parts.append(Part(ball((0.003, 0.006, 0.005), (h, y, floor + 0.016)), "light"))
    return parts


def boat(length: float, beam: float, depth: float, sail: float, mast: float) -> list[Part]:
    """A pointed hull with mast and sails (sail >= 0.5), else with a cabin and a funnel; mast = height above deck."""
    parts = [Part(_hull(length, beam / 2, depth)), Part(_hull(0.8 * length, 0.34 * beam, 0.1 * depth, depth), "wood")]
    if sail >= 0.5:
        foot, x = depth + 0.012, 0.08 * length
        swing = rotation("z", 0.4)
        parts.append(Part(rod((x, 0.0, depth), (x, 0.0, depth + mast), 0.0035), "wood"))
        main = [(-0.004, 0.0, foot), (-0.46 * length, 0.0, foot), (-0.004, 0.0, depth + 0.96 * mast)]
        jib = [(0.006, 0.0, foot + 0.004), (0.33 * length, 0.0, foot + 0.006), (0.006, 0.0, depth + 0.8 * mast)]
        sails = [turned(plate(corners, (0.0, 0.003, 0.0)), swing, (x, 0.0, 0.0)) for corners in (main, jib)]
        return [*parts, *(Part(mesh) for mesh in sails)]
    high = 0.3 * mast
    parts.append(Part(box((0.36 * length, 0.52 * beam, high), (-0.06 * length, 0.0, depth + high / 2)), "paper"))
    parts.append(Part(box((0.4 * length, 0.6 * beam, 0.006), (-0.06 * length, 0.0, depth + high))))
    for x in (-0.18, -0.06, 0.06):
        pane = box((0.07 * length, 0.54 * beam, 0.36 * high), (x * length, 0.0, depth + 0.62 * high))
        parts.append(Part(pane, "window"))
    foot, top, rim = ((-0.1 * length, 0.0, depth + z) for z in (high, 0.72 * mast, 0.72 * mast + 0.008))
    parts.append(Part(rod(foot, top, 0.17 * beam, sections=14)))
    return [*parts, Part(rod(top, rim, 0.18 * beam, sections=14), "black")]


def airplane(length: float, span: float, radius: float, sweep: float, tail: float) -> list[Part]:
    """A jet: wing span, fuselage radius, sweep of the wing tips in m, height of the fin."""
    h, z = length / 2, radius + 0.018
    along, rise = (-1.0, -0.8, -0.5, 0.0, 0.6, 0.82, 0.94, 1.0), (0.5, 0.25, 0.06, 0.0, 0.0, -0.04, -0.14, -0.22)
    line = [(x * h, 0.0, z + up * radius) for x, up in zip(along, rise, strict=True)]
    body = tube(line, np.multiply(radius, [0.18, 0.55, 0.92, 1.0, 1.0, 0.82, 0.52, 0.16]), 14)
    wing = _wing((0.24 * h, -0.2 * h), span / 2, sweep, 0.35, z - 0.4 * radius, 0.006)
    rear = _wing((-0.7 * h, -0.97 * h), 0.2 * span, 0.4 * sweep, 0.5, z + 0.3 * radius, 0.004)
    fin = [(-0.62 * h, 0.0, z), (-0.98 * h, 0.0, z), (-1.08 * h, 0.0, z + tail), (-0.9 * h, 0.0, z + tail)]
    parts = [Part(body), Part(plate(fin, (0.0, 0.005, 0.0)))]
    for mesh in (wing, rear):
        parts += [Part(mesh), Part(mirrored(mesh))]
    engine = rod((0.16 * h, 0.19 * span, z - 0.85 * radius), (-0.12 * h, 0.19 * span, z - 0.85 * radius), 0.42 * radius)
    panes = box((0.9 * h, 2.02 * radius, 0.007), (0.08 * h, 0.0, z + 0.004))
    nose = box((0.07 * h, 1.1 * radius, 0.35 * radius), (0.84 * h, 0.0, z + 0.5 * radius))
    parts += [Part(engine, "metal"), Part(mirrored(engine), "metal"), Part(panes, "window"), Part(nose, "window")]
    for x, y in ((0.68 * h, 0.0), (-0.1 * h, 0.5 * radius), (-0.1 * h, -0.5 * radius)):
        parts.append(Part(rod((x, y - 0.003, 0.007), (x, y + 0.003, 0.007), 0.007), "black"))
        parts.append(Part(rod((x, y, 0.007), (x, y, z - 0.7 * radius), 0.003), "metal"))
    return parts


def motorcycle(base: float, wheel: float, tank: float, fork: float, bars: float) -> list[Part]:
    """Two wheels `base` apart, tank length, rake of the fork in m, width of the handlebar."""
    f, r, up = base / 2, wheel, 2 * wheel
    parts = []
    for x in (-f, f):
        tread = arc((r - 0.006, 0.0, 0.0), 0.007, 0, 360, 7)[:, [0, 2]]
        parts.append(Part(turned(lathe(tread, 18, capped=False), rotation("x", math.pi / 2), (x, 0.0, r)), "black"))
        parts.append(Part(rod((x, -0.002, r), (x, 0.002, r), r - 0.012, sections=14), "metal"))
        parts.append(Part(rod((x, -0.009, r), (x, 0.009, r), 0.006), "metal"))
    head = (f - fork, 0.0, up + 0.016)
    for y in (-0.011, 0.011):
        parts.append(Part(rod((f, y, r), (f - fork, y, up + 0.02), 0.0032), "metal"))
        parts.append(Part(rod((-f, y, r), (-0.1 * base, y, r - 0.002), 0.004), "metal"))
    guards = [tube(arc((x, 0.0, r), r + 0.006, a, b, 7), 0.0085, 8) for x, a, b in ((f, 40, 125), (-f, 30, 165))]
    frame = rod((0.02, 0.0, up - 0.002), (-f + 0.01, 0.0, up + 0.004), 0.01, 0.007)
    body = ball((tank / 2, 0.019, 0.018), (head[0] - 0.5 * tank - 0.004, 0.0, up + 0.012))
    side = plate([(-0.34 * base, 0, up), (-0.3 * base, 0, r), (0.02, 0, r + 0.008), (0.03, 0, up)], (0.0, 0.026, 0.0))
    parts += [Part(mesh) for mesh in (*guards, frame, body, side, rod(head, (f - 0.4 * fork, 0.0, r + 0.022), 0.009))]
    parts.append(Part(ball((0.3 * base, 0.016, 0.008), (-0.28 * base, 0.0, up + 0.016)), "black"))
    parts.append(Part(box((0.04, 0.03, 0.6 * r), (0.006, 0.0, 0.85 * r)), "metal"))
    parts.append(Part(rod((0.0, 0.02, 0.6 * r), (-f - 0.01, 0.022, 0.75 * r), 0.005, 0.007), "metal"))
    bar = (head[0] - 0.012, 0.0, up + 0.034)
    parts.append(Part(rod((bar[0], -bars / 2, bar[2]), (bar[0], bars / 2, bar[2]), 0.0035), "black"))
    parts.append(Part(rod(head, bar, 0.005), "metal"))
    parts.append(Part(ball((0.009, 0.012, 0.012), (head[0] + 0.014, 0.0, up + 0.016)), "light"))
    return parts


def _side(outline: list[tuple[float, float]], width: float) -> Mesh:
    """A side view, points (x, z), extruded over the width."""
    return plate([(x, 0.0, z) for x, z in outline], (0.0, width, 0.0))


def _shrunk(cabin: list[tuple[float, float]], low: float, high: float, inset: float) -> list[tuple[float, float]]:
    """The slice of a four-cornered cabin between two heights above its foot, narrower by inset at both ends."""
    (fx, z), (gx, top), (hx, _), (bx, _) = cabin
    front = [fx + (gx - fx) * v / (top - z) - inset for v in (low, high)]
    back = [bx + (hx - bx) * v / (top - z) + inset for v in (low, high)]
    return [(front[0], z + low), (front[1], z + high), (back[1], z + high), (back[0], z + low)]


def _panes(window: list[tuple[float, float]], middle: float) -> list[list[tuple[float, float]]]:
    """The two side windows, before and behind a pillar of 6 mm at x = middle."""
    a, b, c, d = window
    before, behind = middle + 0.003, middle - 0.003
    return [[a, b, (before, b[1]), (before, a[1])], [(behind, d[1]), (behind, c[1]), c, d]]


def _axle(x: float, reach: float, radius: float, tread: float) -> list[Part]:
    """A pair of black wheels with metal hubs, their outer faces a little beyond +-reach."""
    parts = []
    for sign in (-1, 1):
        outer, inner = sign * (reach + 0.003), sign * (reach + 0.003 - tread)
        parts.append(Part(rod((x, inner, radius), (x, outer, radius), radius, sections=16), "black"))
        parts.append(Part(rod((x, inner, radius), (x, outer + sign * 0.001, radius), 0.5 * radius), "metal"))
    return parts


def _wing(root: tuple[float, float], reach: float, sweep: float, taper: float, z: float, thick: float) -> Mesh:
    """One half of a wing: x of its front and rear edge at the root, tip swept back and `taper` as long."""
    front, rear = root
    tip = front - sweep
    corners = [(front, 0, z), (rear, 0, z), (tip - taper * (front - rear), reach, z), (tip, reach, z)]
    return plate(corners, (0.0, 0.0, thick))


def _hull(length: float, half: float, depth: float, foot: float = 0.0) -> Mesh:
    """Sections from stern to bow; the sheer rises towards the bow, and foot lifts the whole."""
    rings = []
    for t, wide in ((0.0, 0.72), (0.15, 0.92), (0.4, 1.0), (0.62, 0.9), (0.8, 0.62), (0.92, 0.3), (1.0, 0.03)):
        w, top, low = half * wide, depth * (1 + 0.25 * t**3), depth * 0.45 * t**4
        section = [(w, top), (0.8 * w, low + 0.35 * depth), (0.4 * w, low)]
        rings.append([((t - 0.5) * length, s * y, foot + z) for s in (1, -1) for y, z in section[::s]])
    return loft(np.array(rings))
