# SPDX-License-Identifier: Apache-2.0
"""Benchmark `tabletop-video`: does a label stay on its surface while the camera moves, and what does that cost?

A rendered camera moves over scenes that training never saw, at 10 Hz, slowly (as the test camera) and four times as
fast. Points of the static surfaces are carried from each picture to the next by depth and pose; one that is visible
and of the same true class in both is a stable point. Flicker is the share of the stable points whose label changes,
per second. IoU is of pixels of labels summed over prompts, pictures and scenes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from tqdm import tqdm

from clipseg_ros.datasets import tabletop
from clipseg_ros.engines import Engine
from clipseg_ros.evaluation.metrics import LEAST_VISIBLE, Counts, add, counts, iou
from clipseg_ros.segmentation import Frame, Prompt, Segmentation
from clipseg_ros.video import Stream

HEIGHT, WIDTH = 480, 640
RATE, FRAMES = 10.0, 20  # pictures a second, pictures of a scene
SPEEDS = {"slow": 1.0, "fast": 4.0}
"""Name -> units of the camera's phase a second; 1 is the test camera's own speed, 8 degrees of orbit at most."""
SMOOTHINGS = (0.0, 0.5, 0.6, 0.7, 0.8, 0.9)
MOST_PROMPTS = 5
VALIDATION, TESTS = range(10_000_000, 10_000_020), range(20_000_000, 20_000_020)
"""Seeds of the scenes that settings are chosen on, and of those that are measured; training sees neither."""
DEPTH_TOLERANCE = 0.01  # of its depth: how far behind the surface of a pixel a point may lie and still be seen there


@dataclass(frozen=True)
class Question:
    """A prompt and the class ids that are right."""

    prompt: Prompt
    classes: frozenset[int]


@dataclass
class Tally:
    """Sums over pictures. changes: of the labels of stable points; points: stable ones, a pair of pictures each."""

    changes: int = 0
    points: int = 0
    counts: list[Counts] = field(default_factory=list)

    def add(
        self,
        labels: Sequence[np.ndarray],
        views: Sequence[tabletop.View],
        questions: Sequence[Question],
        pairs: Sequence[tuple[np.ndarray, np.ndarray]],
    ) -> None:
        """Add labels (H, W) of consecutive views, i + 1 for questions[i]; pairs: stable() of each view and the next."""
        for before, after, (start, end) in zip(labels, labels[1:], pairs):
            self.changes += int(np.count_nonzero(before.ravel()[start] != after.ravel()[end]))
            self.points += len(start)
        for found, view in zip(labels, views):
            for index, question in enumerate(questions):
                self.counts.append(counts(found == index + 1, np.isin(view.labels, list(question.classes))))

    @property
    def flicker(self) -> float:
        """Share of the stable points that change their label, per second; nan without points."""
        return RATE * self.changes / self.points if self.points else float("nan")

    @property
    def iou(self) -> float:
        """IoU of the summed pixels; nan without any."""
        return iou(*add(self.counts))


def measure(
    engine: Engine,
    seeds: Iterable[int],
    smoothings: Sequence[float] = SMOOTHINGS,
    threshold: float | None = None,
    frames: int = FRAMES,
) -> dict[tuple[str, float], Tally]:
    """Every speed of SPEEDS with every smoothing over the scenes of the seeds, all of the same answers of the engine.

    threshold: of the labels, None for the engine's. frames: pictures of a scene.
    """
    tallies = {(speed, smoothing): Tally() for speed in SPEEDS for smoothing in smoothings}
    for seed in tqdm(seeds, "tabletop-video", unit="scene"):
        scene = tabletop.compose(seed)
        for speed, step in SPEEDS.items():
            views = [tabletop.render(scene, HEIGHT, WIDTH, index * step / RATE) for index in range(frames)]
            questions = ask(views[0].labels, np.random.default_rng([seed, 3]))
            found = [engine.segment(view.image, [question.prompt for question in questions]) for view in views]
            pairs = [stable(*pair) for pair in zip(views, views[1:])]
            for smoothing in smoothings:
                labels = [each.labels(threshold) for each in smoothed(views, found, smoothing)]
                tallies[speed, smoothing].add(labels, views, questions, pairs)
    return tallies


def smoothed(views: Sequence[tabletop.View], found: Sequence[Segmentation], smoothing: float) -> Iterator[Segmentation]:
    """What a stream makes of an engine's answers about consecutive views, RATE a second."""
    stream = Stream()
    for index, (view, result) in enumerate(zip(views, found)):
        yield stream.smooth(Frame(view.image, round(index * 1e9 / RATE)), result, smoothing)


def ask(labels: np.ndarray, rng: np.random.Generator) -> list[Question]:
    """Up to MOST_PROMPTS prompts about what these class labels (H, W) show, of any group, no class in two of them."""
    pixels = np.bincount(labels.ravel(), minlength=256)
    visible = set(np.flatnonzero(pixels).tolist())
    taken: set[int] = set()
    asked: list[Question] = []
    while len(asked) < MOST_PROMPTS and (groups := _askable(pixels, taken)):
        phrases = groups[rng.integers(len(groups))]
        phrase = phrases[rng.integers(len(phrases))]
        asked.append(Question(Prompt(phrase.text), phrase.classes))
        taken |= phrase.classes & visible
    return asked


def _askable(pixels: np.ndarray, taken: set[int]) -> list[list[tabletop.Phrase]]:
    """The phrases, by group, of at least LEAST_VISIBLE pixels of the classes and of no class that is taken."""
    groups: dict[str, list[tabletop.Phrase]] = {}
    for phrase in tabletop.phrases():
        if not phrase.classes & taken and pixels[list(phrase.classes)].sum() >= LEAST_VISIBLE:
            groups.setdefault(phrase.group, []).append(phrase)
    return list(groups.values())


def stable(view: tabletop.View, later: tabletop.View) -> tuple[np.ndarray, np.ndarray]:
    """Flat pixel indices of the surface points of `view` that `later` shows with the same class, and where it does."""
    height, width = view.depth.shape
    columns, rows = np.meshgrid(np.arange(width), np.arange(height))
    pixels = np.stack([columns.ravel(), rows.ravel(), np.ones(columns.size)])
    seen = np.flatnonzero(np.isfinite(view.depth))
    rays = np.linalg.solve(view.intrinsics, pixels[:, seen])
    points = np.vstack([rays * view.depth.ravel()[seen], np.ones(len(seen))])
    moved = (np.linalg.solve(later.pose, view.pose) @ points)[:3]
    column, row = np.rint((later.intrinsics @ moved)[:2] / moved[2]).astype(int)
    inside = (moved[2] > 0) & (column >= 0) & (column < width) & (row >= 0) & (row < height)
    start, end = seen[inside], (row * width + column)[inside]
    depth, there = moved[2][inside], later.depth.ravel()[end]
    same = view.labels.ravel()[start] == later.labels.ravel()[end]
    same &= np.abs(there - depth) <= DEPTH_TOLERANCE * depth
    return start[same], end[same]
