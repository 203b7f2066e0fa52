# SPDX-License-Identifier: Apache-2.0
"""Shapes of toy animals, looking along +x. Spans of the arguments stand in kinds.KINDS."""

from __future__ import annotations

import numpy as np

from clipseg_ros.datasets.tabletop.shapes import Part, ball, plate, rod, tube


def horse(body: float, leg: float, girth: float, neck: float, step: float) -> list[Part]:
    """Length of the trunk, leg height, radius of the trunk, neck length, stride of the legs in m."""
    h, z = body / 2, leg + 0.7 * girth
    trunk = [(-h, 0, z + 0.1 * girth), (-0.85 * h, 0, z + 0.1 * girth), (-0.5 * h, 0, z), (0, 0, z - 0.06 * girth),
             (0.5 * h, 0, z), (0.85 * h, 0, z + 0.12 * girth), (h, 0, z + 0.2 * girth)]
    parts = [Part(tube(trunk, np.multiply(girth, [0.4, 0.85, 1.0, 0.95, 1.0, 0.85, 0.4]), 14))]
    poll = (h + 0.5 * neck, 0.0, z + 0.2 * girth + 0.8 * neck)
    parts.append(Part(rod((0.72 * h, 0.0, z + 0.15 * girth), poll, 0.75 * girth, 0.44 * girth, 12)))
    x, _, top = poll
    bone = ((-0.25, 0.1), (0.0, 0.1), (0.8, -0.4), (1.5, -0.95), (1.65, -1.1))
    muzzle = [(x + ahead * girth, 0, top + rise * girth) for ahead, rise in bone]
    parts.append(Part(tube(muzzle, np.multiply(girth, [0.25, 0.47, 0.4, 0.3, 0.16]), 10)))
    for side in (-1, 1):
        y = side * 0.52 * girth
        ear = (x - 0.1 * girth, side * 0.24 * girth, top + 0.35 * girth)
        parts.append(Part(rod(ear, (ear[0], ear[1], ear[2] + 0.5 * girth), 0.13 * girth, 0.02 * girth, 6)))
        parts.append(Part(ball(0.1 * girth, (x + 0.45 * girth, side * 0.4 * girth, top), 6), "black"))
        for hip, move in ((0.72 * h, side * step), (-0.76 * h, -side * step)):
            path = [(hip, y, z - 0.2 * girth), (hip + 0.2 * move, y, 0.55 * leg), (hip + move, y, 0.012)]
            parts.append(Part(tube(path, np.multiply(girth, [0.42, 0.25, 0.2]), 8)))
            foot = (hip + move, y, 0.013)
            parts.append(Part(rod((foot[0] + 0.002, y, 0.0), foot, 0.26 * girth, 0.21 * girth, 8), "black"))
    crest = [(0.62 * h, 0, z + 0.85 * girth), (0.66 * h, 0, z + 1.15 * girth), (x - 0.55 * girth, 0, top + 0.5 * girth),
             (x + 0.1 * girth, 0, top + 0.62 * girth), (x - 0.2 * girth, 0, top)]
    parts.append(Part(plate(crest, (0.0, 0.3 * girth, 0.0)), "hair"))
    tail = [(-0.95 * h, 0, z + 0.4 * girth), (-h - 0.4 * girth, 0, z + 0.2 * girth), (-h - 0.65 * girth, 0, z - girth),
            (-h - 0.6 * girth, 0, z - 1.9 * girth)]
    parts.append(Part(tube(tail, np.multiply(girth, [0.16, 0.26, 0.28, 0.06]), 8), "hair"))
    return parts


def duck(body: float, leg: float, head: float, neck: float, tail: float) -> list[Part]:
    """Half length of the trunk, leg height, head radius, neck length, rise of the tail in m."""
    z, wide = leg + 0.6 * body, 0.68 * body
    parts = [Part(ball((body, wide, 0.66 * body), (0.0, 0.0, z), 16))]
    rump, tip = (-0.55 * body, 0.0, z + 0.12 * body), (-1.35 * body, 0.0, z + 0.2 * body + tail)
    parts.append(Part(rod(rump, tip, 0.42 * body, 0.06 * body)))
    crown = (0.85 * body, 0.0, z + 0.45 * body + neck)
    parts.append(Part(rod((0.5 * body, 0.0, z + 0.15 * body), crown, 0.46 * body, 0.72 * head, 12)))
    parts.append(Part(ball(head, crown)))
    beak = ball((0.8 * head, 0.52 * head, 0.2 * head), (crown[0] + 1.35 * head, 0.0, crown[2] - 0.18 * head), 10)
    parts.append(Part(beak, "beak"))
    for side in (-1, 1):
        wing = (-0.12 * body, side * 0.9 * wide, z + 0.12 * body)
        parts.append(Part(ball((0.66 * body, 0.16 * body, 0.36 * body), wing, 10)))
        eye = (crown[0] + 0.62 * head, side * 0.68 * head, crown[2] + 0.36 * head)
        parts.append(Part(ball(0.17 * head, eye, 8), "black"))
        y = side * 0.36 * body
        parts.append(Part(rod((0.05 * body, y, 0.004), (0.0, y, z - 0.4 * body), 0.09 * body, 0.13 * body, 8), "beak"))
        web = [(-0.1 * body, y, 0.003), (0.5 * body, y - 0.26 * body, 0.003), (0.58 * body, y, 0.003),
               (0.5 * body, y + 0.26 * body, 0.003)]
        parts.append(Part(plate(web, (0.0, 0.0, 0.006)), "beak"))
    return parts
