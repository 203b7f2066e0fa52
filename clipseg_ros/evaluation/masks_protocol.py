# SPDX-License-Identifier: Apache-2.0
"""Protocol of benchmarks with binary masks: every prompt on its own, its scores against a threshold."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from clipseg_ros.datasets import Sample
from clipseg_ros.engines import Engine
from clipseg_ros.evaluation import clipseg_paper, curves
from clipseg_ros.evaluation.curves import THRESHOLDS
from clipseg_ros.evaluation.geometry import Geometry, Whole
from clipseg_ros.evaluation.results import AUTHORS, Row, Score
from clipseg_ros.segmentation import Prompt

LEVELS = 65535  # scores are kept in 16 bits
USES = ("text", "support", "both")


@dataclass(frozen=True)
class Asking:
    """How the prompts of a data set are asked: by text, by support, or by both mixed; `{}` of template is the text.

    Raises ValueError for another use.
    """

    use: str = "text"
    template: str = "{}"

    def __post_init__(self) -> None:
        if self.use not in USES:
            raise ValueError(f"use {self.use!r} of prompts: expected one of {', '.join(USES)}")

    def of(self, prompts: Sequence[Prompt]) -> dict[int, Prompt]:
        """By their number, the prompts that can be asked so: one without support cannot be asked by support."""
        asked = {}
        for index, prompt in enumerate(prompts):
            whole = replace(prompt, text=self.template.replace("{}", prompt.text)) if prompt.text else prompt
            if self.use == "text" and prompt.text:
                asked[index] = replace(whole, support=None)
            elif self.use == "support" and prompt.support is not None:
                asked[index] = replace(whole, text="", label=prompt.name)
            elif self.use == "both" and prompt.text and prompt.support is not None:
                asked[index] = whole
        return asked


@dataclass(frozen=True)
class Masks:
    """Scores of each prompt above a threshold; None: for each metric the one that suits the test data best.

    sizes: rising shares of the image's pixels; each range between them gets a row of its targets. others: (engine,
    threshold that the paper takes for it instead).
    """

    threshold: float | None = None
    asking: Asking = Asking()
    geometry: Geometry = Whole()
    sizes: tuple[float, ...] = ()
    others: tuple[tuple[str, float], ...] = ()

    def settled(self, engine: str, threshold: float | None) -> Masks:
        """With the threshold for this engine, or the user's. Raises ValueError where that is not one of THRESHOLDS."""
        if threshold is None:
            return replace(self, threshold=dict(self.others).get(engine, self.threshold))
        if np.abs(THRESHOLDS - threshold).min() > 1e-6:
            raise ValueError(f"--threshold {threshold}: scores are counted at 0.02, 0.04 .. 0.98; give one of them")
        return replace(self, threshold=threshold)

    def pins(self) -> str:
        """What predictions depend on."""
        return f"{self.asking} {self.geometry}"

    def predict(self, engine: Engine, sample: Sample, classes: Sequence[str]) -> dict[str, np.ndarray]:
        """asked: numbers of the prompts that were asked; scores (N, h, w) uint16: 65535 is 1."""
        asked = self.asking.of(sample.prompts)
        shown = self.geometry.image(sample.image)
        scores = np.empty((0, *shown.shape[:2]), np.float32)
        if asked:
            scores = engine.segment(shown, list(asked.values())).scores
        return {"asked": np.array(list(asked), np.int64), "scores": np.rint(scores * LEVELS).astype(np.uint16)}

    def score(self, pairs: Iterable[tuple[Sample, dict[str, np.ndarray]]], classes: Sequence[str]) -> Score:
        """Rows: the honest metrics, the targets of each size, and the metrics as the authors' code counts them."""
        seen = Observed()
        for sample, kept in pairs:
            scores = self.geometry.scores(kept["scores"].astype(np.float32) / LEVELS, sample.image.shape[:2])
            valid = None if sample.ignore is None else ~self.geometry.truth(sample.ignore)
            for number, score in zip(kept["asked"].tolist(), scores):
                seen.add(sample, number, score, self.geometry.truth(sample.target[number]), valid)
            seen.left_out += len(sample.prompts) - len(scores)
            seen.samples += 1
        if not seen.tables:
            use = self.asking.use
            raise ValueError(f"no prompt of {seen.samples} samples could be asked by {use}: nothing to score")
        rows = [Row("", seen.honest(self.threshold)), *seen.by_size(self.threshold, self.sizes)]
        rows.append(Row(AUTHORS, seen.as_the_authors(self.threshold)))
        return Score(tuple(rows), tuple(seen.by_class(self.threshold)), self._notes(seen), seen.samples)

    def _notes(self, seen: Observed) -> tuple[str, ...]:
        notes = []
        if self.threshold is None:
            notes.append("mIoU, IoU_FG and IoU_BIN are each taken at the threshold that suits the test data best")
        if seen.left_out:
            notes.append(f"{seen.left_out} prompts have no {self.asking.use} and were left out")
        return tuple(notes)


@dataclass
class Observed:
    """Counts of each prompt at curves.THRESHOLDS, honest and strict as the authors', with its class if it has one."""

    tables: list[np.ndarray] = field(default_factory=list)
    strict: list[np.ndarray] = field(default_factory=list)
    classes: list[int | None] = field(default_factory=list)
    shares: list[float] = field(default_factory=list)
    names: dict[int, str] = field(default_factory=dict)
    samples: int = 0
    left_out: int = 0

    def add(
        self, sample: Sample, number: int, scores: np.ndarray, target: np.ndarray, valid: np.ndarray | None
    ) -> None:
        """Count prompt `number` of a sample: scores (H, W) in [0, 1], target (H, W) bool, where valid."""
        self.tables.append(curves.sweep(scores, target, valid=valid))
        self.strict.append(clipseg_paper.sweep(scores, target, valid))
        self.shares.append(float(target.mean()))
        self.classes.append(sample.classes[number] if sample.classes else None)
        if sample.classes:
            self.names.setdefault(sample.classes[number], sample.prompts[number].name)

    def honest(self, threshold: float | None, chosen: Sequence[int] | None = None) -> dict[str, float]:
        """Metrics of all prompts, or of those chosen. Without classes mIoU is the mean over the prompts."""
        indices = range(len(self.tables)) if chosen is None else chosen
        tables = np.stack([self.tables[index] for index in indices])
        groups = Counter(self.classes[index] for index in indices)
        if None in groups:
            each = curves.ious(tables)
        else:
            classes = np.array([self.classes[index] for index in indices])
            each = curves.ious(np.stack([tables[classes == number].sum(axis=0) for number in groups]))
        total = tables.sum(axis=0)
        known = ~np.isnan(each)
        miou = curves.ratio(np.where(known, each, 0).sum(axis=0), known.sum(axis=0))
        by_name = {"mIoU": miou, "IoU_FG": curves.ious(total), "IoU_BIN": curves.ious_bin(total)}
        return {**_at(by_name, threshold), "AP": curves.average_precision(total)}

    def as_the_authors(self, threshold: float | None) -> dict[str, float]:
        """As clipseg_paper computes them: without classes every prompt is one."""
        classes = [index if number is None else number for index, number in enumerate(self.classes)]
        scores = clipseg_paper.Scores(np.stack(self.strict), np.array(classes))
        by_name = {"mIoU": scores.miou(), "IoU_FG": scores.iou_fg(), "IoU_BIN": scores.iou_bin()}
        area = scores.ap() if scores.curve()[0].size else float("nan")
        return {**_at(by_name, threshold), "AP": area}

    def by_size(self, threshold: float | None, edges: Sequence[float]) -> Iterable[Row]:
        """A row for the targets of each range of sizes that has some; the threshold is chosen in each by itself."""
        for low, high in zip((0.0, *edges), (*edges, 1.0)) if edges else ():
            chosen = [index for index, share in enumerate(self.shares) if low < share <= high]
            if chosen:
                name = f"targets of {100 * low:g} to {100 * high:g} % of the image"
                yield Row(name, {**self.honest(threshold, chosen), "prompts": len(chosen)})

    def by_class(self, threshold: float | None) -> Iterable[Row]:
        """A row for each class."""
        for number, name in sorted(self.names.items()):
            chosen = [index for index, other in enumerate(self.classes) if other == number]
            values = self.honest(threshold, chosen)
            yield Row(name, {"IoU": values["IoU_FG"], "AP": values["AP"], "prompts": len(chosen)})


def _at(by_name: dict[str, np.ndarray], threshold: float | None) -> dict[str, float]:
    """Values at the threshold, or the best of each."""
    if threshold is None:
        return {name: curves.best(values)[0] for name, values in by_name.items()}
    index = int(np.abs(THRESHOLDS - threshold).argmin())
    return {"t": threshold, **{name: float(values[index]) for name, values in by_name.items()}}
