# SPDX-License-Identifier: Apache-2.0
"""The experiment of CLIPSeg's Table 2: how much CLIP's probability of an object's name gains when it is marked.

An image with several named objects is embedded as it is and with one of them marked in each way of
models.visual_prompts and models.masked_attention. The probability is CLIP's softmax over the names in the image; the
gain is the mean change of the target's.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from clipseg_ros.datasets import Sample
from clipseg_ros.evaluation import published
from clipseg_ros.evaluation.metrics import mean
from clipseg_ros.evaluation.results import Row, Score
from clipseg_ros.segmentation import Support

TEMPLATE = "a photo of a {}"
PUBLISHED = {
    "mask_cls_layer_11": "CLIP masking CLS in layer 11",
    "mask_cls_all_layers": "CLIP masking CLS in all layers",
    "mask_all_all_layers": "CLIP masking all in all layers",
    "object_red": "dye object red in grays. image",
    "object_outline": "add red object outline",
    "bg_intensity_50": "BG intensity 50%",
    "bg_intensity_10": "BG intensity 10%",
    "bg_intensity_0": "BG intensity 0%",
    "bg_blur": "BG blur",
    "bg_blur_intensity_10": "BG blur + intensity 10%",
    "crop_large_context": "crop large context",
    "crop": "crop",
    "crop_bg_blur": "crop & BG blur",
    "crop_bg_intensity_10": "crop & BG intensity 10%",
    "crop_bg_blur_intensity_10": "crop & BG intensity 10% + BG blur",
}
"""Our name of a row -> the table's."""


class Reader(Protocol):
    """What gives probabilities: clip_reader.ClipReader."""

    def probabilities(self, support: Support, sentences: Sequence[str]) -> dict[str, float]:
        """Probability of the first of the sentences, `plain` and with the support's object marked in every way."""


@dataclass(frozen=True)
class Gain:
    """Samples whose first prompt is the target, the others being the further objects in the image."""

    def pins(self) -> str:
        """What predictions depend on."""
        return TEMPLATE

    def settled(self, engine: str, threshold: float | None) -> Gain:
        """Itself. Raises ValueError for a threshold."""
        if threshold is not None:
            raise ValueError(f"--threshold {threshold}: probabilities are compared, no masks")
        return self

    def predict(self, model: Reader, sample: Sample, classes: Sequence[str]) -> dict[str, np.ndarray]:
        """The target's probability by the row's name, `plain` among them."""
        sentences = [TEMPLATE.replace("{}", prompt.text) for prompt in sample.prompts]
        found = model.probabilities(Support(sample.image, sample.target[0]), sentences)
        return {name: np.array(value) for name, value in found.items()}

    def score(self, pairs: Iterable[tuple[Sample, dict[str, np.ndarray]]], classes: Sequence[str]) -> Score:
        """A row for each way: the mean gain, and the published one where the table has it."""
        gains: dict[str, list[float]] = {}
        samples = 0
        for _, kept in pairs:
            samples += 1
            for name in kept:
                gains.setdefault(name, []).append(float(kept[name] - kept["plain"]))
        printed = {name: values["delta_p_object"] for name, values in published.table("clipseg", "table2").rows}
        rows = [
            Row(name, {"gain": mean(gains[name]), "published": printed.get(PUBLISHED.get(name), float("nan"))})
            for name in gains
            if name != "plain"
        ]
        return Score(tuple(rows), samples=samples)
