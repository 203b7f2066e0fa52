# SPDX-License-Identifier: Apache-2.0
"""What training never sees, so that it can be asked about: pairs, kinds under an affordance, and phrasings."""

from __future__ import annotations

from clipseg_ros.datasets.tabletop.kinds import COLOURS, KINDS

UNSEEN_PAIRS: frozenset[tuple[str, str]] = frozenset(
    (kind, list(COLOURS)[index % len(COLOURS)]) for index, kind in enumerate(KINDS) if kind != "mug"
)
"""(kind, colour): one colour of every kind but the mug, of which people ask first; no scene that a model learns from
holds such an object."""

UNSEEN_KINDS: dict[str, str] = {"sit on": "stool", "drink from": "glass", "ride on": "motorcycle"}
"""Affordance -> the kind whose masks are never shown under it; captions may say that it has it."""

UNSEEN_PHRASINGS: dict[str, tuple[str, ...]] = {
    "sit on": ("something you can sit on", "a thing to sit on"),
    "drink from": ("something you can drink from", "a thing to drink from"),
    "ride on": ("something you can ride on", "a thing to ride on"),
    "can fly": ("a thing that can fly",),
    "can be driven": ("a thing that can be driven",),
    "can swim": ("a thing that can swim",),
    "has wheels": ("a thing that has wheels", "a thing with wheels"),
    "has legs": ("a thing that has legs", "a thing with legs"),
}
"""Trait -> sentences that no text tower was trained on, of words that it knows from others."""
