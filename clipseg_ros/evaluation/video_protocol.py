# SPDX-License-Identifier: Apache-2.0
"""Protocol of videos with an expression for each object: J&F of the masks that the engine finds, frame by frame."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from clipseg_ros.datasets import Sample
from clipseg_ros.engines import Engine
from clipseg_ros.evaluation.boundaries import RegionContour, contour_f, objects_score, region_j
from clipseg_ros.evaluation.metrics import mean
from clipseg_ros.evaluation.results import Row, Score


@dataclass(frozen=True)
class Video:
    """Every frame on its own; objects are those that the expressions name, and their masks may overlap."""

    def pins(self) -> str:
        """What predictions depend on."""
        return "video, frame by frame"

    def settled(self, engine: str, threshold: float | None) -> Video:
        """Itself. Raises ValueError for a threshold."""
        if threshold is not None:
            raise ValueError(f"--threshold {threshold}: the engine decides on its masks; see its options")
        return self

    def predict(self, engine: Engine, sample: Sample, classes: Sequence[str]) -> dict[str, np.ndarray]:
        """masks: (N, H, ceil(W / 8)) uint8 bits, an object each."""
        result = engine.segment(sample.image, list(sample.prompts))
        return {"masks": np.packbits(result.masks(), axis=2)}

    def score(self, pairs: Iterable[tuple[Sample, dict[str, np.ndarray]]], classes: Sequence[str]) -> Score:
        """One row: J&F, J and F, means over the objects of means over all their frames; a class row an object."""
        frames: dict[str, list[RegionContour]] = defaultdict(list)
        samples = 0
        for sample, kept in pairs:
            masks = np.unpackbits(kept["masks"], axis=2, count=sample.image.shape[1]).astype(bool)
            video = sample.name.rpartition("/")[0]
            for number, mask, target in zip(sample.classes, masks, sample.target):
                frames[f"{video}/{number}"].append(RegionContour(region_j(mask, target), contour_f(mask, target)))
            samples += 1
        objects = {
            name: RegionContour(mean(each.j for each in seen), mean(each.f for each in seen))
            for name, seen in frames.items()
        }
        rows = [Row(name, {**_values(each), "frames": len(frames[name])}) for name, each in objects.items()]
        return Score((Row("", _values(objects_score(list(objects.values())))),), tuple(rows), samples=samples)


def _values(score: RegionContour) -> dict[str, float]:
    return {"J&F": score.j_and_f, "J": score.j, "F": score.f}
