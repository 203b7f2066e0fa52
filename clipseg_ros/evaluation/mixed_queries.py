# SPDX-License-Identifier: Apache-2.0
"""Rendered scenes asked for what is there and for what is not, together: what engines that drop queries are made for.

The present queries of a call mean different things, so that no pixel belongs to two; what is labelled counts. Absent
ones are near misses every second time: a colour or a kind of the scene on the wrong thing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from clipseg_ros.datasets import tabletop as scenes
from clipseg_ros.engines import Engine
from clipseg_ros.evaluation import tabletop
from clipseg_ros.evaluation.metrics import LARGEST_FALSE_SHARE, Counts, add, counts, iou
from clipseg_ros.segmentation import Prompt

HALF = ((2, 3), (3, 2))  # present, absent; scenes take turns
MIXES: dict[str, tuple[tuple[int, int], ...]] = {
    "1, present": ((1, 0),),
    "1, absent": ((0, 1),),
    "2, half of them absent": ((1, 1),),
    "2, all absent": ((0, 2),),
    "5, half of them absent": HALF,
    "5, all absent": ((0, 5),),
}
"""How many queries of a call are present and absent, by the row's name."""


@dataclass(frozen=True, eq=False)
class Call:
    """One image and what is asked of it. classes: the class ids that are right, none for an absent query. near:
    whether an absent query is a near miss."""

    view: scenes.View
    prompts: tuple[Prompt, ...]
    classes: tuple[frozenset[int], ...]
    near: tuple[bool, ...]


@dataclass
class Tally:
    """Sums over calls. marked: absent queries that label more than 0.5 % of a scene."""

    found: list[Counts] = field(default_factory=list)
    kept: int = 0
    absent: int = 0
    dropped: int = 0
    near: int = 0
    near_dropped: int = 0
    marked: int = 0

    def values(self) -> dict[str, float]:
        """IoU and kept of present queries; dropped, near misses dropped and marked of absent ones; nan if unasked."""
        return {
            "IoU": iou(*add(self.found)),
            "kept": _share(self.kept, len(self.found)),
            "dropped": _share(self.dropped, self.absent),
            "near dropped": _share(self.near_dropped, self.near),
            "marked": _share(self.marked, self.absent),
        }


def render(seeds: Iterable[int]) -> dict[int, scenes.View]:
    """The views of the seeds' scenes at 320x240."""
    return {seed: scenes.render(scenes.compose(seed), tabletop.HEIGHT, tabletop.WIDTH) for seed in seeds}


def calls(views: Mapping[int, scenes.View], mix: Sequence[tuple[int, int]]) -> list[Call]:
    """A call for each view, by seed; a scene with fewer different things is asked for fewer of them."""
    made = [
        _call(view, np.random.default_rng([seed, 3]), *mix[index % len(mix)])
        for index, (seed, view) in enumerate(views.items())
    ]
    return [call for call in made if call.prompts]


def _call(view: scenes.View, rng: np.random.Generator, present: int, absent: int) -> Call:
    visible = {int(one) for one in np.unique(view.labels)} - {0}
    asked: list[tuple[str, frozenset[int], bool]] = []
    questions = [one for one in tabletop.ask(view.labels, rng) if one.group != "absent"]
    taken: frozenset[int] = frozenset()
    for place in rng.permutation(len(questions)):
        seen = questions[place].classes & visible
        if len(asked) < present and not seen & taken:
            asked.append((questions[place].prompt.text, questions[place].classes, False))
            taken |= seen
    words = {text for text, _, _ in asked}
    while len(words) < len(asked) + absent:
        phrase, near = scenes.absent(rng, visible)
        if phrase.text not in words:
            words.add(phrase.text)
            asked.append((phrase.text, frozenset(), near))
            absent -= 1
    order = [asked[place] for place in rng.permutation(len(asked))]
    texts, classes, near = zip(*order) if order else ((), (), ())
    return Call(view, tuple(map(Prompt, texts)), tuple(classes), tuple(near))


def measure(engine: Engine, asked: Iterable[Call]) -> Tally:
    """Run the engine over the calls."""
    tally = Tally()
    for call in asked:
        result = engine.segment(call.view.image, call.prompts)
        labels = result.labels()
        for index, (classes, near, present) in enumerate(zip(call.classes, call.near, result.present)):
            mask = labels == index + 1
            if classes:
                tally.found.append(counts(mask, np.isin(call.view.labels, list(classes))))
                tally.kept += bool(present)
                continue
            tally.absent += 1
            tally.dropped += not present
            tally.near += near
            tally.near_dropped += near and not present
            tally.marked += bool(mask.mean() > LARGEST_FALSE_SHARE)
    return tally


def _share(part: int, whole: int) -> float:
    return part / whole if whole else float("nan")
