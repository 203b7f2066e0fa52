# SPDX-License-Identifier: Apache-2.0
"""Benchmarks over a data set in a folder: predict what is not yet predicted, then score all that is."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import quote

import numpy as np
from tqdm import tqdm

from clipseg_ros import engines
from clipseg_ros.datasets import LabelMaps, Samples
from clipseg_ros.evaluation.predictions import Predictions, pin
from clipseg_ros.evaluation.results import Row, Score, average

Data = Samples | LabelMaps


@dataclass(frozen=True)
class Job:
    """What is evaluated and where: engine and options as engines.create takes them, root of the data set (unread
    by benchmarks that need none), folder of what is written, limit on the samples of a data set.

    threshold: of scores for masks, None for the benchmark's own; scoring again with another needs no new predictions.
    rank, world: this process among those that share the work; rank 0 scores. settings: what else the predictions
    depend on, such as a digest of the weights.
    """

    engine: str
    weights: str
    folder: Path
    root: Path = Path()
    device: str = "auto"
    precision: str = "auto"
    options: Mapping[str, Any] = field(default_factory=dict)
    limit: int | None = None
    threshold: float | None = None
    rank: int = 0
    world: int = 1
    settings: Mapping[str, Any] = field(default_factory=dict)

    def create(self, fixed: Mapping[str, Any]) -> engines.Engine:
        """The engine, with options that the benchmark fixes. Raises ValueError where the user's options fix another."""
        return engines.create(self.engine, self.weights, self.device, self.precision, **self.joined(fixed))

    def joined(self, fixed: Mapping[str, Any]) -> dict[str, Any]:
        """The user's options and those that the benchmark fixes. Raises ValueError where they disagree."""
        for key in fixed.keys() & self.options.keys():
            if fixed[key] != self.options[key]:
                raise ValueError(f"--option {key}={self.options[key]!r}: this benchmark sets it to {fixed[key]!r}")
        return {**self.options, **fixed}


@dataclass(frozen=True)
class Outcome:
    """Rows of the table, ours alone; rows of the classes by pass and part; samples scored and samples there are."""

    rows: tuple[Row, ...]
    classes: tuple[tuple[str, Row], ...] = ()
    notes: tuple[str, ...] = ()
    samples: int = 0
    available: int = 0


class Asked(Protocol):
    """A protocol: what is kept of a prediction, and what it is worth."""

    def pins(self) -> str:
        """What predictions depend on: another value refuses the old ones."""

    def settled(self, engine: str, threshold: float | None) -> Asked:
        """How this engine is scored, with the user's threshold if there is one. Raises ValueError."""

    def predict(self, engine: Any, sample: Any, classes: Sequence[str]) -> dict[str, np.ndarray]:
        """The arrays to keep of one sample."""

    def score(self, pairs: Any, classes: Sequence[str]) -> Score:
        """Rows of (sample, kept arrays) pairs."""


def create_engine(job: Job, options: Mapping[str, Any]) -> engines.Engine:
    """The engine that the user named."""
    return job.create(options)


@dataclass(frozen=True)
class Pass:
    """One way to run the data set: its row's name (none where there is one pass), engine options that it fixes."""

    protocol: Asked
    name: str = ""
    options: tuple[tuple[str, Any], ...] = ()


@dataclass(frozen=True)
class Passes:
    """Passes over the parts (folds) of a data set; a row is the mean over the parts, whose own rows follow.

    open: root -> data set by the part's name. model: what predicts, by default the engine.
    """

    open: Callable[[Path], Mapping[str, Data]]
    passes: tuple[Pass, ...]
    model: Callable[[Job, Mapping[str, Any]], Any] = create_engine

    def run(self, job: Job) -> Outcome | None:
        """Predict this process' share; the result of all, None but in rank 0. Raises ValueError, DatasetError."""
        for each in self.passes:
            each.protocol.settled(job.engine, job.threshold)  # what is refused is refused before hours of work
        parts = self.open(job.root)
        pinned = {each.name: [each.protocol.pins(), job.joined(dict(each.options))] for each in self.passes}
        pin(job.folder, {**job.settings, "passes": pinned})
        for each in self.passes:
            self._predict(job, each, parts)
        if job.rank:
            return None
        return self._score(job, parts)

    def _predict(self, job: Job, each: Pass, parts: Mapping[str, Data]) -> None:
        work = [
            (data, index, kept)
            for data, kept in ((data, kept_in(job, each, part)) for part, data in parts.items())
            for index in kept.missing(counted(job, data))
            if index % job.world == job.rank
        ]
        if not work:
            return
        model = self.model(job, dict(each.options))
        for data, index, kept in tqdm(work, each.name or "predicting", unit="sample", disable=job.rank > 0):
            sample = data[index]
            kept.write(index, sample.name, each.protocol.predict(model, sample, getattr(data, "classes", ())))
        model.close()

    def _score(self, job: Job, parts: Mapping[str, Data]) -> Outcome:
        rows, classes, notes, scored = [], [], {}, 0
        for each in self.passes:
            scores = {part: self._score_part(job, each, part, data) for part, data in parts.items()}
            rows += [Row(_label(each.name, row.name), row.values) for row in average(list(scores.values()))]
            for part, score in scores.items():
                if len(scores) > 1:
                    rows += [Row(_label(each.name, part, row.name), row.values) for row in score.rows[:1]]
                classes += [(_label(each.name, part), row) for row in score.classes]
                notes |= dict.fromkeys(score.notes)
            scored = sum(score.samples for score in scores.values())
        return Outcome(tuple(rows), tuple(classes), tuple(notes), scored, sum(map(len, parts.values())))

    def _score_part(self, job: Job, each: Pass, part: str, data: Data) -> Score:
        kept, count = kept_in(job, each, part), counted(job, data)
        if not count:
            raise ValueError(f"{job.root}: no sample{f' in {part}' if part else ''}: nothing to score")
        kept.wait(count)
        pairs = scored_pairs(data, kept, count, _label(each.name, part))
        return each.protocol.settled(job.engine, job.threshold).score(pairs, getattr(data, "classes", ()))


def scored_pairs(data: Data, kept: Predictions, count: int, name: str) -> Iterator[tuple[Any, dict[str, np.ndarray]]]:
    """Samples and what was kept of them, in order."""
    for index in tqdm(range(count), f"scoring {name}", unit="sample"):
        sample = data[index]
        yield sample, kept.read(index, sample.name)


def counted(job: Job, data: Data) -> int:
    """How many samples of a data set are evaluated: the first ones, up to the limit."""
    return len(data) if job.limit is None else min(job.limit, len(data))


def kept_in(job: Job, each: Pass, part: str) -> Predictions:
    """Where the predictions of a pass over a part lie."""
    # quoted, so that no two sentences have one folder
    return Predictions(job.folder / "predictions" / (quote(each.name, " ") or "all") / quote(part, " "))


def _label(name: str, *words: str) -> str:
    """The pass' name, or `ours`, and the words that there are, with commas."""
    return ", ".join((name or "ours", *filter(None, words)))
