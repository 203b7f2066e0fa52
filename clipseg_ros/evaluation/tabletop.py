# SPDX-License-Identifier: Apache-2.0
"""Benchmark `tabletop`: rendered scenes that training never saw, phrases of every group, and absent ones.

A scene asks one phrase of each group that has at least 100 visible target pixels, and two phrases of what is not
visible. IoU is taken from pixel counts summed over the scenes; an absent phrase is a false positive where it marks
more than 0.5 % of the pixels.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
from tqdm import tqdm

from clipseg_ros.datasets import tabletop
from clipseg_ros.engines import Engine
from clipseg_ros.evaluation.metrics import LARGEST_FALSE_SHARE, LEAST_VISIBLE, counts, iou
from clipseg_ros.segmentation import Prompt

GROUPS = ("object", "colour", "affordance", "attribute", "part")
ACCEPTED_FALSE_RATE = 0.06
THRESHOLDS = np.array([*np.arange(10, 95, 5), 92, 94, 96, 98, 99]) / 100.0
HEIGHT, WIDTH = 240, 320


@dataclass
class Scores:
    """Sums over scenes at each of THRESHOLDS: tp, fp, fn (T, 3) a group, and marked / asked absent phrases."""

    counts: dict[str, np.ndarray] = field(
        default_factory=lambda: {group: np.zeros((len(THRESHOLDS), 3), int) for group in GROUPS}
    )
    marked: np.ndarray = field(default_factory=lambda: np.zeros(len(THRESHOLDS), int))
    absent: int = 0

    def iou(self, threshold: int) -> dict[str, float]:
        """IoU of each group at THRESHOLDS[threshold]; nan for a group never asked."""
        return {group: iou(*map(int, rows[threshold])) for group, rows in self.counts.items()}

    def false_positive_rate(self, threshold: int) -> float:
        """Share of the absent phrases that marked more than 0.5 % of the pixels."""
        return self.marked[threshold] / self.absent if self.absent else float("nan")


def measure(engine: Engine, seeds: Iterable[int]) -> Scores:
    """Run the engine over the scenes of the seeds at 320x240."""
    scores = Scores()
    for seed in tqdm(seeds, "tabletop", unit="scene"):
        view = tabletop.render(tabletop.compose(seed), HEIGHT, WIDTH)
        phrases = ask(view.labels, np.random.default_rng([seed, 2]))
        found = engine.segment(view.image, [Prompt(phrase.text) for _, phrase in phrases]).scores
        for (group, phrase), score in zip(phrases, found):
            target = np.isin(view.labels, list(phrase.classes))
            for index, threshold in enumerate(THRESHOLDS):
                mask = score >= threshold
                if group == "absent":
                    scores.marked[index] += mask.mean() > LARGEST_FALSE_SHARE
                else:
                    scores.counts[group][index] += counts(mask, target)
            scores.absent += group == "absent"
    return scores


def ask(labels: np.ndarray, rng: np.random.Generator) -> list[tuple[str, tabletop.Phrase]]:
    """(group, phrase) pairs to ask of a view with these class labels (H, W); the group `absent` comes last, twice."""
    pixels = np.bincount(labels.ravel(), minlength=256)
    asked = []
    for group in GROUPS:
        there = [p for p in tabletop.phrases() if p.group == group and pixels[list(p.classes)].sum() >= LEAST_VISIBLE]
        if there:
            asked.append((group, there[rng.integers(len(there))]))
    visible = set(np.flatnonzero(pixels[1:]) + 1)
    return asked + [("absent", tabletop.absent(rng, visible)[0]) for _ in range(2)]


def best_threshold(scores: Scores) -> float:
    """The threshold with the highest mean IoU over the groups among those that mark at most 6 % of the absent
    phrases, else the one that marks fewest."""
    rates = np.array([scores.false_positive_rate(index) for index in range(len(THRESHOLDS))])
    ious = np.array([np.nanmean(list(scores.iou(index).values())) for index in range(len(THRESHOLDS))])
    allowed = rates <= max(ACCEPTED_FALSE_RATE, rates.min())
    return float(THRESHOLDS[np.argmax(np.where(allowed, ious, -1.0))])


def index_of(threshold: float) -> int:
    """The place of the nearest of THRESHOLDS."""
    return int(np.abs(THRESHOLDS - threshold).argmin())
