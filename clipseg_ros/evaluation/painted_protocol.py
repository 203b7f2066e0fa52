# SPDX-License-Identifier: Apache-2.0
"""Protocol of label maps whose background nobody asks for: what no class claims is background.

The engine paints its own labels: with its thresholds, its CRF and its order of stuff and things. Where the data set
counts no background, a pixel takes its best class; in a second row background is painted all the same, and is a miss
where a class is; in a third, as CLIP as RNN is evaluated, such pixels are left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from clipseg_ros.datasets import IGNORE, Labelled
from clipseg_ros.engines import Engine
from clipseg_ros.evaluation.confusion import Confusion, confusion
from clipseg_ros.evaluation.metrics import iou
from clipseg_ros.evaluation.results import AUTHORS, Row, Score
from clipseg_ros.segmentation import Prompt

BACKGROUND = "background"  # what datasets.class_names calls it; the list of benchmarks loads no data set
MISSES = "painted background is a miss"


@dataclass(frozen=True)
class Painted:
    """texts: (class, what is asked instead of its name)."""

    texts: tuple[tuple[str, str], ...] = ()

    def pins(self) -> str:
        """What predictions depend on."""
        return f"painted {self.texts}"

    def settled(self, engine: str, threshold: float | None) -> Painted:
        """Itself. Raises ValueError for a threshold."""
        if threshold is not None:
            raise ValueError(f"--threshold {threshold}: the engine paints its own labels; see its options")
        return self

    def predict(self, engine: Engine, sample: Labelled, classes: Sequence[str]) -> dict[str, np.ndarray]:
        """painted: (H, W) uint8, 0 background, i the i-th class without it; best: without background, from 0 on."""
        texts = dict(self.texts)
        prompts = [Prompt(texts.get(name, name), label=name) for name in classes if name != BACKGROUND]
        result = engine.segment(sample.image, prompts)
        kept = {"painted": result.labels()}
        if BACKGROUND not in classes:
            kept["best"] = result.scores.argmax(axis=0).astype(np.uint8)
        return kept

    def score(self, pairs: Iterable[tuple[Labelled, dict[str, np.ndarray]]], classes: Sequence[str]) -> Score:
        """The honest row; without background in the data set two more. Raises ValueError: background not 0."""
        if BACKGROUND in classes and classes[0] != BACKGROUND:
            raise ValueError(f"class {classes.index(BACKGROUND)} is the background: expected it to be 0, or none")
        honest = strict = theirs = Confusion.empty(len(classes))
        samples = 0
        for sample, kept in pairs:
            painted = kept["painted"].astype(np.int32)
            samples += 1
            if BACKGROUND in classes:
                honest += confusion(painted, sample.labels, len(classes), IGNORE)
                continue
            honest += confusion(kept["best"].astype(np.int32), sample.labels, len(classes), IGNORE)
            named = np.where(painted > 0, painted - 1, IGNORE)
            strict += confusion(named, sample.labels, len(classes), IGNORE)
            theirs += confusion(named, np.where(painted > 0, sample.labels, IGNORE), len(classes), IGNORE)
        rows = [Row("", _values(honest))]
        if BACKGROUND not in classes:
            rows += [Row(MISSES, _values(strict)), Row(AUTHORS, _values(theirs))]
        each = zip(classes, honest.per_class())
        return Score(
            tuple(rows), tuple(Row(name, {"IoU": iou(*one), "pixels": one.visible}) for name, one in each),
            samples=samples,
        )


def _values(total: Confusion) -> dict[str, float]:
    return {"mIoU": total.miou(), "pAcc": total.pacc(), "mAcc": total.macc()}
