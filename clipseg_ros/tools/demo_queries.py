# SPDX-License-Identifier: Apache-2.0
"""Which queries the demo asks, decided by what its scenes hold and never by what the node finds.

Objects: the kinds in most scenes. Colours: the pairs of colour and kind in most scenes, no kind and no colour twice.
Attributes, parts and affordances: always the same. Absent: two near misses, the kind in most scenes and the third
rarest, each in the most frequent colour that it has in none of the scenes; and the two rarest kinds, of which the
frames without them count. Ties go to the earlier kind, then to the earlier colour, in the order of the scenes'
vocabulary. At last some of these together, as one query of several prompts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence

from clipseg_ros.datasets import tabletop

OBJECTS, COLOURS = 4, 3
FIXED = (
    ("something that can fly", "attribute"),
    ("something that can swim", "attribute"),
    ("something with wheels", "part"),
    ("something with legs", "part"),
    ("something to sit on", "affordance"),
    ("something to drink from", "affordance"),
    ("something to ride on", "affordance"),
)

Pair = tuple[str, str]  # kind, colour


def choose(scenes: Sequence[Collection[Pair]]) -> list[tuple[str, str]]:
    """Texts and kinds of the queries for scenes that hold these pairs of kind and colour."""
    pairs = Counter(pair for scene in scenes for pair in set(scene))
    kinds = Counter(kind for scene in scenes for kind in {kind for kind, _ in scene})
    common = sorted(tabletop.KINDS, key=lambda kind: -kinds[kind])
    rare = sorted(tabletop.KINDS, key=lambda kind: kinds[kind])
    objects = common[:OBJECTS]
    coloured = [f"{colour} {kind}" for kind, colour in _distinct(pairs)]
    misses = [_near_miss(common, pairs), _near_miss(rare[2:], pairs)]
    together = "; ".join([coloured[0], next(k for k in objects if k not in coloured[0]), FIXED[5][0]])
    return [
        *((text, "object") for text in objects),
        *((text, "colour") for text in coloured),
        *FIXED,
        *((text, "absent") for text in (*misses, *rare[:2])),
        (together, "together"),
    ]


def _distinct(pairs: Counter[Pair]) -> list[Pair]:
    """The most frequent pairs that share no kind and no colour."""
    order = list(tabletop.KINDS), list(tabletop.COLOURS)
    ranked = sorted(pairs, key=lambda pair: (-pairs[pair], order[0].index(pair[0]), order[1].index(pair[1])))
    chosen: list[Pair] = []
    for kind, colour in ranked:
        if all(kind != k and colour != c for k, c in chosen) and len(chosen) < COLOURS:
            chosen.append((kind, colour))
    return chosen


def _near_miss(kinds: Sequence[str], pairs: Counter[Pair]) -> str:
    """The first of the kinds that some colour is unseen on, in the most frequent such colour."""
    colours: Counter[str] = Counter()
    for (_, colour), count in pairs.items():
        colours[colour] += count
    for kind in kinds:
        unseen = [colour for colour in tabletop.COLOURS if (kind, colour) not in pairs]
        if unseen:
            return f"{max(unseen, key=lambda colour: colours[colour])} {kind}"
    raise ValueError("the scenes hold every kind in every colour, and nothing is absent: take fewer scenes")
