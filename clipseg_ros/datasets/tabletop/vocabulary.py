# SPDX-License-Identifier: Apache-2.0
"""What words mean in the tabletop scenes: query text -> class ids.

Affordances, attributes and parts follow the appendix of Lüddecke & Ecker, Image Segmentation Using Text and
Image Prompts (CVPR 2022), carried over to the kinds of this data set.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from clipseg_ros.datasets.tabletop.held_out import UNSEEN_PHRASINGS
from clipseg_ros.datasets.tabletop.kinds import COLOURS, KINDS, class_id, class_names

WORDS: dict[str, tuple[str, ...]] = {
    "mug": ("mug", "cup"),
    "bottle": ("bottle", "flask"),
    "glass": ("glass", "drinking glass"),
    "bowl": ("bowl", "dish"),
    "chair": ("chair", "dining chair"),
    "stool": ("stool", "bar stool"),
    "sofa": ("sofa", "couch"),
    "horse": ("horse", "pony"),
    "motorcycle": ("motorcycle", "motorbike"),
    "airplane": ("airplane", "plane"),
    "duck": ("duck", "toy duck"),
    "car": ("car", "toy car"),
    "bus": ("bus", "coach"),
    "boat": ("boat", "ship"),
    "ball": ("ball", "toy ball"),
    "book": ("book", "closed book"),
    "lamp": ("lamp", "table lamp"),
}
"""Kind -> its names; every name belongs to one kind."""

TRAITS: dict[str, tuple[str, tuple[str, ...], tuple[str, ...]]] = {
    "sit on": (
        "affordance",
        ("chair", "stool", "sofa"),
        ("something to sit on", "a thing you can sit on", "a seat to sit on"),
    ),
    "drink from": (
        "affordance",
        ("mug", "bottle", "glass"),
        ("something to drink from", "a thing you can drink from", "a vessel to drink from"),
    ),
    "ride on": (
        "affordance",
        ("horse", "motorcycle"),
        ("something to ride on", "a thing you can ride on", "something you ride"),
    ),
    "can fly": ("attribute", ("airplane", "duck"), ("something that can fly", "a thing that flies")),
    "can be driven": ("attribute", ("car", "bus"), ("something that can be driven", "a thing you can drive")),
    "can swim": ("attribute", ("duck", "boat"), ("something that can swim", "a thing that swims")),
    "has wheels": ("part", ("car", "bus", "motorcycle"), ("something that has wheels", "something with wheels")),
    "has legs": (
        "part",
        ("chair", "stool", "sofa", "horse", "duck"),
        ("something that has legs", "something with legs"),
    ),
}
"""Trait -> group of its phrases, kinds that have it, phrases."""


class UnknownPhrase(KeyError):
    """A text outside the vocabulary of the tabletop scenes; the message holds the text and the remedy."""

    def __str__(self) -> str:
        return str(self.args[0])


@dataclass(frozen=True)
class Phrase:
    """A query text, its group (object, colour, attribute, part or affordance) and the class ids it means."""

    text: str
    group: str
    classes: frozenset[int]


@lru_cache(maxsize=1)
def phrases() -> tuple[Phrase, ...]:
    """Every phrase there is, in a fixed order; the group colour holds "red mug" as well as "something red"."""
    found = [Phrase(word, "object", _classes([kind], COLOURS)) for kind, words in WORDS.items() for word in words]
    for colour in COLOURS:
        for text in (f"something {colour}", f"a {colour} thing"):
            found.append(Phrase(text, "colour", _classes(KINDS, [colour])))
        found += [_coloured(colour, kind, word) for kind, words in WORDS.items() for word in words]
    for group, kinds, texts in TRAITS.values():
        found += [Phrase(text, group, _classes(kinds, COLOURS)) for text in texts]
    return tuple(found)


@lru_cache(maxsize=1)
def unseen_phrasings() -> tuple[Phrase, ...]:
    """Sentences for the traits that are none of phrases(), of words that stand in phrases(); no model learns them."""
    return tuple(
        Phrase(text, TRAITS[trait][0], _classes(TRAITS[trait][1], COLOURS))
        for trait, texts in UNSEEN_PHRASINGS.items() for text in texts
    )


def classes_of(text: str) -> frozenset[int]:
    """Class ids that a text means; case, spacing and the articles a, an, the do not matter.

    Raises UnknownPhrase for a text that is none of phrases() and unseen_phrasings().
    """
    meaning = _meanings().get(_normal(text))
    if meaning is None:
        raise UnknownPhrase(
            f"{text!r} is not in the vocabulary of the tabletop scenes: say an object ({', '.join(WORDS)}), "
            f"a colour and an object (red mug), something of a colour (something red), or one of "
            f"{'; '.join(texts[0] for _, _, texts in TRAITS.values())}"
        )
    return meaning


def absent(rng: np.random.Generator, visible: Collection[int]) -> tuple[Phrase, bool]:
    """A phrase none of whose classes is visible, and whether it is a near miss, as every second one is.

    Near misses are a visible kind in a colour it does not have here, or a visible colour on a kind that is not
    here. The others name neither a visible kind nor, with an object, a visible colour. Without anything visible
    there are no near misses.
    """
    seen = set(visible)
    kinds, colours = _split(seen)
    if seen and rng.uniform() < 0.5:
        return _near_miss(rng, kinds, colours, seen), True
    by_group: dict[str, list[Phrase]] = {}
    for phrase in phrases():
        if not phrase.classes & seen and not _is_near(phrase, kinds, colours):
            by_group.setdefault(phrase.group, []).append(phrase)
    group = by_group[sorted(by_group)[rng.integers(len(by_group))]]
    return group[rng.integers(len(group))], False


def _near_miss(rng: np.random.Generator, kinds: set[str], colours: set[str], seen: set[int]) -> Phrase:
    if rng.uniform() < 0.5 and len(kinds) < len(KINDS):
        pairs = [(kind, colour) for kind in KINDS if kind not in kinds for colour in COLOURS if colour in colours]
    else:
        pairs = [(kind, colour) for kind in KINDS if kind in kinds for colour in COLOURS]
    pairs = [pair for pair in pairs if class_id(*pair) not in seen]
    kind, colour = pairs[rng.integers(len(pairs))]
    words = WORDS[kind]
    return _coloured(colour, kind, words[rng.integers(len(words))])


def _is_near(phrase: Phrase, kinds: set[str], colours: set[str]) -> bool:
    """Colour and object of which one is visible."""
    if len(phrase.classes) > 1:
        return False
    own_kinds, own_colours = _split(phrase.classes)
    return bool(own_kinds & kinds or own_colours & colours)


def _coloured(colour: str, kind: str, word: str) -> Phrase:
    return Phrase(f"{colour} {word}", "colour", frozenset([class_id(kind, colour)]))


def _classes(kinds: Iterable[str], colours: Iterable[str]) -> frozenset[int]:
    shades = list(colours)
    return frozenset(class_id(kind, colour) for kind in kinds for colour in shades)


def _split(ids: Iterable[int]) -> tuple[set[str], set[str]]:
    names = _names()
    return {names[i]["kind"] for i in ids}, {names[i]["colour"] for i in ids}


@lru_cache(maxsize=1)
def _names() -> dict[int, dict[str, str]]:
    return class_names()


@lru_cache(maxsize=1)
def _meanings() -> dict[str, frozenset[int]]:
    return {_normal(phrase.text): phrase.classes for phrase in (*phrases(), *unseen_phrasings())}


def _normal(text: str) -> str:
    return " ".join(word for word in text.lower().split() if word not in ("a", "an", "the"))
