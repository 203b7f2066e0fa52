# SPDX-License-Identifier: Apache-2.0
"""Traits of things asked of LVIS pictures: affordances, attributes and parts (CLIPSeg, appendix).

TRAITS are the appendix's lists as printed, LVIS v1 names that occur twice in a list among them.
"""

from __future__ import annotations

from clipseg_ros.datasets import DatasetError, Sample
from clipseg_ros.datasets.lvis import Lvis
from clipseg_ros.segmentation import Prompt

SEATS = (
    "armchair", "sofa", "loveseat", "deck chair", "rocking chair", "highchair", "deck chair", "folding chair", "chair",
    "recliner", "wheelchair",
)
TRAITS = {
    "affordances": {
        "sit on": SEATS,
        "drink from": ("bottle", "beer bottle", "water bottle", "wine bottle", "thermos bottle"),
        "ride on": ("horse", "pony", "motorcycle"),
    },
    "attributes": {
        "can fly": (
            "eagle", "jet plane", "airplane", "fighter jet", "bird", "duck", "gull", "owl", "seabird", "pigeon",
            "goose", "parakeet",
        ),
        "can be driven": (
            "minivan", "bus (vehicle)", "cab (taxi)", "jeep", "ambulance", "car (automobile)",
        ),
        "can swim": ("duck", "duckling", "water scooter", "penguin", "boat", "kayak", "canoe"),
    },
    "meronymy": {
        "has wheels": (
            "dirt bike", "car (automobile)", "wheelchair", "motorcycle", "bicycle", "cab (taxi)", "minivan",
            "bus (vehicle)", "cab (taxi)", "jeep", "ambulance",
        ),
        "has legs": (
            *SEATS, "horse", "pony", "eagle", "bird", "duck", "gull", "owl", "seabird", "pigeon", "goose", "parakeet",
            "dog", "cat", "flamingo", "penguin", "cow", "puppy", "sheep", "black sheep", "ostrich", "ram (animal)",
            "chicken (animal)", "person",
        ),
    },
}
"""group -> trait -> names of the LVIS categories that have it."""

# The appendix prints its traits without the sentences that were asked; these are ours, in its own manner of speaking.
TEXTS = {
    "sit on": "something to sit on",
    "drink from": "something to drink from",
    "ride on": "something to ride on",
    "can fly": "something that can fly",
    "can be driven": "something that can be driven",
    "can swim": "something that can swim",
    "has wheels": "something that has wheels",
    "has legs": "something that has legs",
}


class LvisTraits:
    """A sample for every picture with some category of a trait: one prompt, and all instances of these categories.

    A picture may show more things with the trait, in categories that LVIS did not look for there. `missing`: names of
    the trait that the annotation files do not have. Raises DatasetError for an unknown trait or where all are missing.
    """

    def __init__(self, lvis: Lvis, trait: str) -> None:
        named = {name: names for group in TRAITS.values() for name, names in group.items()}
        if trait not in named:
            raise DatasetError(f"trait {trait!r}: expected one of {', '.join(named)}")
        found = {name: lvis.find(name) for name in named[trait]}
        self.missing = tuple(name for name, category in found.items() if category is None)
        self._lvis, self._trait = lvis, trait
        self._categories = {category for category in found.values() if category is not None}
        if not self._categories:
            raise DatasetError(f"trait {trait!r}: LVIS has none of {', '.join(found)}; expected annotations of v1")
        self._pictures = [key for key, each in lvis.pictures.items() if not self._categories.isdisjoint(each.areas)]

    def __len__(self) -> int:
        return len(self._pictures)

    def __getitem__(self, index: int) -> Sample:
        picture = self._pictures[index]
        target = self._lvis.mask(picture, sorted(self._categories))
        prompt = Prompt(TEXTS[self._trait], label=self._trait)
        return Sample(self._lvis.image(picture), (prompt,), target[None], f"{self._trait}/{picture}")
