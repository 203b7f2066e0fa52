# SPDX-License-Identifier: Apache-2.0
"""Protocol of benchmarks with label maps: every class is asked as a text, a pixel takes the class of highest score."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from clipseg_ros.datasets import IGNORE, Labelled
from clipseg_ros.engines import Engine
from clipseg_ros.evaluation.confusion import Confusion, confusion
from clipseg_ros.evaluation.geometry import Geometry, Whole
from clipseg_ros.evaluation.metrics import Counts, iou
from clipseg_ros.evaluation.results import Row, Score
from clipseg_ros.segmentation import Prompt


@dataclass(frozen=True)
class Labels:
    """argmax over binary score maps, one a class.

    template: the sentence around a class name. texts: (class, what is asked instead of its name). factors: (class,
    what its scores are multiplied by). unseen: classes of which mIoU(U) is the mean; the others make mIoU(S).
    """

    template: str = "{}"
    texts: tuple[tuple[str, str], ...] = ()
    factors: tuple[tuple[str, float], ...] = ()
    unseen: tuple[str, ...] = ()
    geometry: Geometry = Whole()

    def pins(self) -> str:
        """What predictions depend on."""
        return f"{self.template!r} {self.texts} {self.factors} {self.geometry}"

    def settled(self, engine: str, threshold: float | None) -> Labels:
        """Itself. Raises ValueError for a threshold."""
        if threshold is not None:
            raise ValueError(f"--threshold {threshold}: a pixel takes the class of highest score, whatever it is")
        return self

    def predict(self, engine: Engine, sample: Labelled, classes: Sequence[str]) -> dict[str, np.ndarray]:
        """labels: (h, w) uint16 class numbers; ties go to the earlier class."""
        texts, factors = dict(self.texts), dict(self.factors)
        prompts = [Prompt(self.template.replace("{}", texts.get(name, name)), label=name) for name in classes]
        found = engine.segment(self.geometry.image(sample.image), prompts).scores
        scores = self.geometry.scores(found, sample.image.shape[:2])
        weights = np.array([factors.get(name, 1.0) for name in classes], np.float32)
        return {"labels": (scores * weights[:, None, None]).argmax(axis=0).astype(np.uint16)}

    def score(self, pairs: Iterable[tuple[Labelled, dict[str, np.ndarray]]], classes: Sequence[str]) -> Score:
        """One row: mIoU and pAcc; with unseen classes mIoU(S), mIoU(U), hIoU too. Raises ValueError: an unknown one."""
        unknown = sorted(set(self.unseen) - set(classes))
        if unknown:
            raise ValueError(f"unseen class {unknown[0]!r}: the data set has {', '.join(classes)}")
        total, samples = Confusion.empty(len(classes)), 0
        for sample, kept in pairs:
            truth = self.geometry.truth(sample.labels)
            total += confusion(kept["labels"].astype(np.int32), truth, len(classes), IGNORE)
            samples += 1
        values = {"mIoU": total.miou(), "pAcc": total.pacc(), "mAcc": total.macc()}
        if self.unseen:
            zero_shot = total.zero_shot([index for index, name in enumerate(classes) if name in self.unseen])
            values = {"mIoU(S)": zero_shot.seen, "mIoU(U)": zero_shot.unseen, "hIoU": zero_shot.harmonic, **values}
        rows = [self._class_row(name, counted) for name, counted in zip(classes, total.per_class())]
        return Score((Row("", values),), tuple(rows), samples=samples)

    def _class_row(self, name: str, counted: Counts) -> Row:
        return Row(name, {"IoU": iou(*counted), "unseen": name in self.unseen, "pixels": counted.visible})
