# SPDX-License-Identifier: Apache-2.0
"""Protocol of referring expressions whose masks the engine decides: the sentences of one object joined, or each alone.

CLIP as RNN asks all sentences of an object at once and joins their masks, weighed by its classifier's confidence; other
papers score each sentence. The two are different numbers.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from clipseg_ros.datasets import Sample
from clipseg_ros.engines import Engine
from clipseg_ros.evaluation.metrics import Counts, counts, oiou, precision_at, sample_miou
from clipseg_ros.evaluation.results import Row, Score
from clipseg_ros.models.sam_masks import merged_mask


@dataclass(frozen=True)
class Referring:
    """joined: one mask of all sentences of an object; otherwise one for each."""

    joined: bool = True

    def pins(self) -> str:
        """What predictions depend on."""
        return "referring"

    def settled(self, engine: str, threshold: float | None) -> Referring:
        """Itself. Raises ValueError for a threshold."""
        if threshold is not None:
            raise ValueError(f"--threshold {threshold}: the engine decides on its masks; see its options")
        return self

    def predict(self, engine: Engine, sample: Sample, classes: Sequence[str]) -> dict[str, np.ndarray]:
        """masks: (N, H, ceil(W / 8)) uint8 bits; confidence (N,) float32 in [0, 1], 0 for what the engine dropped.

        An engine that does not judge its masks is as sure of one as its highest score.
        """
        result = engine.segment(sample.image, list(sample.prompts))
        verdicts = [0.0 if one.dropped_at is not None else one.confidence for one in result.verdicts]
        confidence = np.array(verdicts or result.scores.max(axis=(1, 2)), np.float32)
        return {"masks": np.packbits(result.masks(), axis=2), "confidence": confidence}

    def score(self, pairs: Iterable[tuple[Sample, dict[str, np.ndarray]]], classes: Sequence[str]) -> Score:
        """One row: mIoU over the items, oIoU, and P@0.5, where an item without mask counts 0."""
        observed: list[Counts] = []
        samples = 0
        for sample, kept in pairs:
            width = sample.image.shape[1]
            masks = np.unpackbits(kept["masks"], axis=2, count=width).astype(bool)
            if self.joined:
                observed.append(counts(merged_mask(masks, kept["confidence"]), sample.target[0]))
            else:
                observed += [counts(mask, target) for mask, target in zip(masks, sample.target)]
            samples += 1
        values = {
            "mIoU": sample_miou(observed, 0.0), "oIoU": oiou(observed), "P@0.5": precision_at(observed, 0.5, empty=0.0),
            "prompts": len(observed),
        }
        return Score((Row("", values),), samples=samples)
