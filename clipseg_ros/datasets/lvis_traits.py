# SPDX-License-Identifier: Apache-2.0
"""Traits of things asked of LVIS pictures: affordances, attributes and parts (CLIPSeg, appendix).

TRAITS are the appendix's lists as printed, LVIS v1 names that occur twice in a list among them; they stand in
data/affordances.yaml, where the node finds them, too.
"""

from __future__ import annotations

from importlib import resources

import yaml

from clipseg_ros.datasets import DatasetError, Sample
from clipseg_ros.datasets.lvis import Lvis
from clipseg_ros.segmentation import Prompt

# The sentences that were asked are not printed in the appendix; those of the table are ours.
_TABLE: dict[str, dict[str, dict[str, object]]] = yaml.safe_load(
    resources.files("clipseg_ros").joinpath("data", "affordances.yaml").read_text(encoding="utf-8")
)
TRAITS: dict[str, dict[str, tuple[str, ...]]] = {
    group: {name: tuple(trait["objects"]) for name, trait in traits.items()} for group, traits in _TABLE.items()
}
"""group -> trait -> names of the LVIS categories that have it."""
TEXTS: dict[str, str] = {name: trait["prompt"] for traits in _TABLE.values() for name, trait in traits.items()}


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
