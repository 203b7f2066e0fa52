# SPDX-License-Identifier: Apache-2.0
"""The kinds and colours of the tabletop scenes, and the class ids that stand for their pairs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from clipseg_ros.datasets.tabletop import animals, furniture, tableware, vehicles
from clipseg_ros.datasets.tabletop.shapes import Mesh, Part

COLOURS: dict[str, tuple[int, int, int]] = {
    "red": (204, 26, 32),
    "green": (34, 150, 58),
    "blue": (30, 78, 205),
    "yellow": (248, 226, 30),
    "orange": (246, 126, 16),
    "purple": (128, 46, 168),
    "white": (240, 240, 238),
    "black": (32, 32, 35),
}
"""Name -> RGB as seen in full light; objects vary a little around it."""

ACCENTS: dict[str, tuple[int, int, int]] = {
    "black": (30, 30, 32),
    "metal": (158, 162, 168),
    "window": (116, 142, 160),
    "paper": (232, 228, 214),
    "wood": (136, 92, 54),
    "hair": (70, 48, 36),
    "beak": (240, 140, 24),
    "light": (248, 238, 196),
}
"""Paint of the parts that do not carry an object's colour."""


@dataclass(frozen=True)
class Kind:
    """What an object is: shape builds its parts from one value for each of spans.

    spans: argument -> (lowest, highest), metres unless the shape says otherwise, drawn evenly.
    topples: the chance that it lies on its side.
    """

    name: str
    shape: Callable[..., list[Part]]
    spans: Mapping[str, tuple[float, float]] = field(repr=False)
    topples: float = 0.0

    def build(self, rng: np.random.Generator) -> list[Part]:
        """Parts of one random object, standing on z = 0 with the middle of its footprint at the origin."""
        low, high = np.array(list(self.spans.values())).T
        parts = self.shape(**dict(zip(self.spans, rng.uniform(low, high).tolist(), strict=True)))
        lower = np.min([part.mesh.vertices.min(0) for part in parts], axis=0)
        upper = np.max([part.mesh.vertices.max(0) for part in parts], axis=0)
        shift = np.array([(lower[0] + upper[0]) / 2, (lower[1] + upper[1]) / 2, lower[2]], np.float32)
        return [Part(Mesh(mesh.vertices - shift, mesh.faces), paint) for mesh, paint in parts]


def _span(**spans: tuple[float, float]) -> dict[str, tuple[float, float]]:
    return spans


_ALL = (
    Kind("mug", tableware.mug, _span(height=(0.1, 0.13), radius=(0.044, 0.054), flare=(0.96, 1.14),
                                     handle=(0.034, 0.044)), 0.12),
    Kind("bottle", tableware.bottle, _span(height=(0.2, 0.24), radius=(0.03, 0.038), neck=(0.18, 0.32),
                                           slope=(0.1, 0.22), label=(0.0, 1.0)), 0.15),
    Kind("glass", tableware.glass, _span(height=(0.15, 0.19), width=(0.076, 0.09), stem=(0.0, 0.9),
                                         belly=(1.0, 1.22)), 0.12),
    Kind("bowl", tableware.bowl, _span(radius=(0.072, 0.1), height=(0.048, 0.066), foot=(0.4, 0.56),
                                       curve=(1.0, 1.6))),
    Kind("chair", furniture.chair, _span(width=(0.09, 0.115), seat=(0.085, 0.11), back=(0.095, 0.125),
                                         rails=(0.0, 3.99), splay=(0.0, 0.16))),
    Kind("stool", furniture.stool, _span(radius=(0.045, 0.06), height=(0.12, 0.165), legs=(3.0, 4.99),
                                         splay=(0.06, 0.2), ring=(0.25, 0.45))),
    Kind("sofa", furniture.sofa, _span(width=(0.19, 0.24), depth=(0.09, 0.11), back=(0.085, 0.105),
                                       arm=(0.02, 0.03), seats=(2.0, 3.99))),
    Kind("horse", animals.horse, _span(body=(0.11, 0.13), leg=(0.068, 0.086), girth=(0.025, 0.029),
                                       neck=(0.052, 0.066), step=(-0.014, 0.014))),
    Kind("motorcycle", vehicles.motorcycle, _span(base=(0.125, 0.145), wheel=(0.034, 0.04), tank=(0.056, 0.07),
                                                  fork=(0.022, 0.036), bars=(0.06, 0.085))),
    Kind("airplane", vehicles.airplane, _span(length=(0.19, 0.24), span=(0.19, 0.24), radius=(0.015, 0.02),
                                              sweep=(0.025, 0.06), tail=(0.045, 0.06))),
    Kind("duck", animals.duck, _span(body=(0.054, 0.066), leg=(0.022, 0.034), head=(0.024, 0.03),
                                     neck=(0.02, 0.036), tail=(0.012, 0.03))),
    Kind("car", vehicles.car, _span(length=(0.17, 0.21), width=(0.075, 0.09), wheel=(0.018, 0.022),
                                    roof=(0.03, 0.038), rake=(0.018, 0.034))),
    Kind("bus", vehicles.bus, _span(length=(0.2, 0.24), width=(0.06, 0.07), height=(0.085, 0.1),
                                    wheel=(0.014, 0.018), panes=(4.0, 6.99))),
    Kind("boat", vehicles.boat, _span(length=(0.18, 0.22), beam=(0.066, 0.08), depth=(0.036, 0.046),
                                      sail=(0.0, 1.0), mast=(0.12, 0.16))),
    Kind("ball", tableware.sphere, _span(radius=(0.06, 0.075), stripe=(0.06, 0.14), tilt=(0.2, 1.5))),
    Kind("book", furniture.book, _span(length=(0.16, 0.2), width=(0.115, 0.14), thickness=(0.024, 0.038),
                                       plaque=(0.35, 0.65)), 0.3),
    Kind("lamp", furniture.lamp, _span(height=(0.19, 0.23), shade=(0.055, 0.07), taper=(0.45, 0.72),
                                       base=(0.038, 0.05), tall=(0.4, 0.5))),
)

KINDS: dict[str, Kind] = {kind.name: kind for kind in _ALL}
"""Name -> Kind; the order is part of every class id."""


def class_id(kind: str, colour: str) -> int:
    """1..254: kind index * number of colours + colour index + 1. Raises ValueError for an unknown name."""
    for name, known in ((kind, KINDS), (colour, COLOURS)):
        if name not in known:
            raise ValueError(f"{name!r} is none of {', '.join(known)}")
    return list(KINDS).index(kind) * len(COLOURS) + list(COLOURS).index(colour) + 1


def class_names() -> dict[int, dict[str, str]]:
    """Every class id -> {"kind": ..., "colour": ...}."""
    return {class_id(kind, colour): {"kind": kind, "colour": colour} for kind in KINDS for colour in COLOURS}
