# SPDX-License-Identifier: Apache-2.0
"""Benchmark `tabletop`: rendered scenes that training never saw, prompts of every group, and absent ones.

A scene asks one prompt of each group that has at least 100 visible target pixels, and two phrases of what is not
visible. IoU and AP are taken from pixel counts summed over the scenes; an absent phrase is a false positive where it
marks more than 0.5 % of the pixels.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np
from tqdm import tqdm

from clipseg_ros.datasets import tabletop
from clipseg_ros.engines import Engine
from clipseg_ros.evaluation import curves
from clipseg_ros.evaluation.metrics import LARGEST_FALSE_SHARE, LEAST_VISIBLE
from clipseg_ros.segmentation import Prompt, Support

GROUPS = {
    "object": "mug",
    "colour": "red mug, something red",
    "affordance": "something to sit on",
    "attribute": "something that can fly",
    "part": "something with wheels",
    "unseen pair": "colour and object, as in red mug, that no training scene shows together",
    "unseen kind": "an affordance of which only the kind is visible whose masks it was never trained with",
    "unseen phrasing": "a trait in a sentence that no training used",
    "support": "image and mask of an object of the same kind and colour in an earlier scene",
}
"""Group -> what it asks."""
ACCEPTED_FALSE_RATE = 0.025
"""Of the absent phrases on the validation scenes; on others it varies, and 3 % is the aim there."""
THRESHOLDS = np.array([*np.arange(10, 95, 5), 92, 94, 96, 98, 99]) / 100.0
HEIGHT, WIDTH = 240, 320
VALIDATION, TESTS = range(10_000_000, 10_000_500), range(20_000_000, 20_000_500)
"""Seeds of the scenes that thresholds are chosen on, and of those that are measured; training sees neither."""


@dataclass(frozen=True, eq=False)
class Question:
    """One prompt about a scene; group: of GROUPS, or `absent`; classes: the class ids that are right."""

    group: str
    prompt: Prompt
    classes: frozenset[int]


@dataclass
class Scores:
    """Sums over scenes at each of THRESHOLDS: tables (T, 4) of tp, fp, fn, tn a group, and marked / asked absent
    phrases."""

    tables: dict[str, np.ndarray] = field(
        default_factory=lambda: {group: np.zeros((len(THRESHOLDS), 4), int) for group in GROUPS}
    )
    marked: np.ndarray = field(default_factory=lambda: np.zeros(len(THRESHOLDS), int))
    absent: int = 0

    def iou(self, threshold: int) -> dict[str, float]:
        """IoU of each group at THRESHOLDS[threshold]; nan for a group never asked."""
        return {group: float(curves.ious(table)[threshold]) for group, table in self.tables.items()}

    def ap(self) -> dict[str, float]:
        """AP of each group over THRESHOLDS; nan for a group never asked."""
        return {group: curves.average_precision(table) for group, table in self.tables.items()}

    def false_positive_rate(self, threshold: int) -> float:
        """Share of the absent phrases that marked more than 0.5 % of the pixels."""
        return float(self.marked[threshold] / self.absent) if self.absent else float("nan")


def measure(engine: Engine, seeds: Iterable[int], supports: bool = True) -> Scores:
    """Run the engine over the scenes of the seeds at 320x240. supports: False asks no support prompts."""
    scores = Scores()
    for view, questions in ask_all(tqdm(seeds, "tabletop", unit="scene"), supports):
        found = engine.segment(view.image, [question.prompt for question in questions]).scores
        for question, score in zip(questions, found):
            table = curves.sweep(score, np.isin(view.labels, list(question.classes)), THRESHOLDS)
            if question.group == "absent":
                scores.marked += table[:, 1] > LARGEST_FALSE_SHARE * score.size
                scores.absent += 1
            else:
                scores.tables[question.group] += table
    return scores


def ask_all(seeds: Iterable[int], supports: bool = True) -> Iterator[tuple[tabletop.View, list[Question]]]:
    """The scenes of the seeds and what is asked of each; a support shows what an earlier scene showed last."""
    shown: dict[int, Support] = {}
    for seed in seeds:
        view = tabletop.render(tabletop.compose(seed), HEIGHT, WIDTH)
        rng = np.random.default_rng([seed, 2])
        questions = ask(view.labels, rng)
        visible = [one for one in np.unique(view.labels) if one and (view.labels == one).sum() >= LEAST_VISIBLE]
        known = [int(one) for one in visible if int(one) in shown]
        if supports and known:
            chosen = known[rng.integers(len(known))]
            questions.append(Question("support", Prompt(support=shown[chosen]), frozenset([chosen])))
        shown.update((int(one), Support(view.image, view.labels == one)) for one in visible)
        yield view, questions


def ask(labels: np.ndarray, rng: np.random.Generator) -> list[Question]:
    """What to ask by text of a view with these class labels (H, W); absent phrases come last, twice."""
    pixels = np.bincount(labels.ravel(), minlength=256)
    asked = []
    for group, phrases in _by_group(pixels).items():
        there = [phrase for phrase in phrases if pixels[list(phrase.classes)].sum() >= LEAST_VISIBLE]
        if there:
            phrase = there[rng.integers(len(there))]
            asked.append(Question(group, Prompt(phrase.text), phrase.classes))
    visible = set(np.flatnonzero(pixels[1:]) + 1)
    missing = (tabletop.absent(rng, visible)[0] for _ in range(2))
    return asked + [Question("absent", Prompt(phrase.text), phrase.classes) for phrase in missing]


def _by_group(pixels: np.ndarray) -> dict[str, list[tabletop.Phrase]]:
    pairs = {frozenset([tabletop.class_id(*pair)]) for pair in tabletop.UNSEEN_PAIRS}
    groups: dict[str, list[tabletop.Phrase]] = {group: [] for group in GROUPS if group != "support"}
    for phrase in tabletop.phrases():
        groups["unseen pair" if phrase.classes in pairs else phrase.group].append(phrase)
    kinds = set(tabletop.UNSEEN_KINDS.values())
    unseen = {index for index, name in tabletop.class_names().items() if name["kind"] in kinds}
    groups["unseen kind"] = [p for p in groups["affordance"] if not pixels[list(p.classes - unseen)].any()]
    groups["unseen phrasing"] = list(tabletop.unseen_phrasings())
    return groups


def index_of(threshold: float) -> int:
    """The place of the nearest of THRESHOLDS."""
    return int(np.abs(THRESHOLDS - threshold).argmin())
