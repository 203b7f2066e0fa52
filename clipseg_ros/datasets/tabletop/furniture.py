# SPDX-License-Identifier: Apache-2.0
"""Shapes of toy furniture, a lamp and a book. Spans of the arguments stand in kinds.KINDS."""

from __future__ import annotations

import math

from clipseg_ros.datasets.tabletop.shapes import Part, arc, box, lathe, plate, rod


def chair(width: float, seat: float, back: float, rails: float, splay: float) -> list[Part]:
    """Four legs, a seat at height `seat`, a back of height `back` with int(rails) rails (0: a closed panel)."""
    half = width / 2 - 0.006
    parts = [Part(box((width, width, 0.012), (0.0, 0.0, seat)))]
    for x in (-half, half):
        for y in (-half, half):
            parts.append(Part(rod((x * (1 + splay), y * (1 + splay), 0.0), (x, y, seat), 0.006)))
    lean, top = -half - 0.12 * back, seat + back
    for y in (-half, half):
        parts.append(Part(rod((-half, y, seat), (lean, y, top), 0.006)))
    heights = [0.42 + 0.52 * i / max(int(rails) - 1, 1) for i in range(int(rails))] or [0.62]
    tall = 0.6 * back if int(rails) == 0 else 0.016
    for share in heights:
        parts.append(Part(box((0.007, 2 * half, tall), (-half - 0.12 * back * share, 0.0, seat + back * share))))
    return parts


def stool(radius: float, height: float, legs: float, splay: float, ring: float) -> list[Part]:
    """A round seat without a back on int(legs) splayed legs, a ring at the share `ring` of the height."""
    seat = [(0.0, height - 0.018), (radius, height - 0.018), (radius, height - 0.004), (radius - 0.006, height)]
    parts = [Part(lathe([*seat, (0.0, height)]))]
    top, foot = 0.72 * radius, 0.72 * radius + splay * height
    for i in range(int(legs)):
        c, s = math.cos(2 * math.pi * i / int(legs)), math.sin(2 * math.pi * i / int(legs))
        parts.append(Part(rod((c * foot, s * foot, 0.0), (c * top, s * top, height - 0.01), 0.006)))
    middle = foot + (top - foot) * ring
    hoop = arc((middle, 0.0, ring * height), 0.004, 0, 360, 7)[:, [0, 2]]
    return [*parts, Part(lathe(hoop, 18, capped=False))]


def sofa(width: float, depth: float, back: float, arm: float, seats: float) -> list[Part]:
    """A long seat of int(seats) cushions between two arms of thickness `arm`, a back, four short wooden legs."""
    leg, base, cushion = 0.014, 0.026, 0.018
    top = leg + base
    inner = width - 2 * arm
    parts = [
        Part(box((depth, width, base), (0.0, 0.0, leg + base / 2))),
        Part(box((0.028, width, back), (-depth / 2 + 0.012, 0.0, leg + back / 2))),
    ]
    for side in (-1, 1):
        y, height = side * (width - arm) / 2, 0.036
        parts.append(Part(box((depth, arm, height), (0.002, y, top + height / 2))))
        parts.append(Part(rod((-depth / 2, y, top + height), (depth / 2 + 0.004, y, top + height), arm * 0.56)))
    count = int(seats)
    for i in range(count):
        y = inner * ((i + 0.5) / count - 0.5)
        parts.append(Part(box((depth - 0.02, inner / count - 0.003, cushion), (0.012, y, top + cushion / 2))))
        height = 0.62 * (back - base - cushion)
        centre = (-depth / 2 + 0.034, y, top + cushion + height / 2)
        parts.append(Part(box((0.018, inner / count - 0.003, height), centre)))
    for x in (-depth / 2 + 0.01, depth / 2 - 0.01):
        for y in (-width / 2 + 0.012, width / 2 - 0.012):
            parts.append(Part(rod((x, y, 0.0), (x, y, leg), 0.005, 0.007), "wood"))
    return parts


def lamp(height: float, shade: float, taper: float, base: float, tall: float) -> list[Part]:
    """A table lamp: foot radius `base`, metal stem, shade of radius `shade` below and shade * taper above."""
    low = height * (1 - tall)
    foot = [(0.0, 0.0), (base, 0.0), (base, 0.008), (0.4 * base, 0.018), (0.0, 0.02)]
    top = shade * taper
    cone = [(shade, low), (top, height), (top - 0.003, height), (shade - 0.003, low)]
    return [
        Part(lathe(foot)),
        Part(rod((0.0, 0.0, 0.01), (0.0, 0.0, height - 0.02), 0.006), "metal"),
        Part(lathe([(0.0, low + 0.01), (0.014, low + 0.022), (0.016, low + 0.036), (0.0, low + 0.05)], 10), "light"),
        Part(lathe(cone, 24, capped=False)),
    ]


def book(length: float, width: float, thickness: float, plaque: float) -> list[Part]:
    """A closed book on its back: cover and spine, pages of paper, a title plate of the size `plaque` (share)."""
    board = 0.004
    pages = (width - 0.012, length - 0.012, thickness - 2 * board)
    parts = [Part(box(pages, (0.0, 0.0, thickness / 2)), "paper")]
    for z in (board / 2, thickness - board / 2):
        parts.append(Part(box((width, length, board), (0.0, 0.0, z))))
    spine = arc((0.0, 0.0, thickness / 2), thickness / 2, 90, 270, 7) * (0.5, 1.0, 1.0) - (width / 2 - 0.002, 0.0, 0.0)
    parts.append(Part(plate(spine, (0.0, length, 0.0))))
    title = (plaque * width, 0.6 * plaque * length, 0.001)
    parts.append(Part(box(title, (0.0, 0.16 * length, thickness)), "paper"))
    return parts
