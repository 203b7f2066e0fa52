# SPDX-License-Identifier: Apache-2.0
"""Thresholds of CLIP as RNN for a CLIP, chosen on rendered scenes by queries that are asked alone.

A query alone is the hardest case: nothing competes with it, and yet it is to be dropped where nothing shows it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from clipseg_ros import engines
from clipseg_ros.engines import Engine
from clipseg_ros.evaluation.metrics import Counts, add, counts, iou
from clipseg_ros.evaluation.mixed_queries import Call

UNDECIDED: dict[str, object] = {"confidence_threshold": 0.0, "max_steps": 1}
"""Options that keep all that is judged at all, so that every threshold can be tried on one run."""


@dataclass(frozen=True)
class Answer:
    """A query alone: the judge's confidence, 0 where there was nothing to judge, and of a present one the pixels found
    if it is kept and if it is dropped."""

    confidence: float
    kept: Counts | None = None
    dropped: Counts | None = None


@dataclass(frozen=True)
class Choice:
    """options and confidence_threshold, with the IoU and the share kept of present queries, the share dropped of absent
    ones."""

    options: tuple[tuple[str, object], ...]
    threshold: float
    iou: float
    kept: float
    dropped: float


def answers(engine: Engine, asked: Iterable[Call]) -> list[Answer]:
    """Ask calls of one query each of an engine car with the options UNDECIDED. Raises ValueError for other calls."""
    found = []
    for call in asked:
        if len(call.prompts) != 1:
            raise ValueError(f"a call of {len(call.prompts)} queries: expected one")
        result = engine.segment(call.view.image, call.prompts)
        verdict = result.verdicts[0]
        sure = 0.0 if verdict.dropped_at is not None else verdict.confidence
        if not call.classes[0]:
            found.append(Answer(sure))
            continue
        truth = np.isin(call.view.labels, list(call.classes[0]))
        found.append(Answer(sure, counts(result.labels() == 1, truth), Counts(0, 0, int(truth.sum()))))
    return found


def best_threshold(found: Sequence[Answer], least_dropped: float) -> tuple[float, float, float, float]:
    """(confidence_threshold, IoU, kept, dropped) of the highest IoU among the thresholds that drop the share
    `least_dropped` of the absent queries. Raises ValueError unless both kinds were asked.
    """
    absent = np.array([one.confidence for one in found if one.kept is None])
    present = [one for one in found if one.kept is not None]
    if not len(absent) or not present:
        raise ValueError(f"{len(present)} present and {len(absent)} absent queries: expected some of both")
    tried = [_at(threshold, absent, present) for threshold in sorted({0.0, *(_rounded_up(one) for one in absent)})]
    return max((one for one in tried if one[3] >= least_dropped), key=lambda one: one[1])


def calibrate(
    weights: str, device: str, options: Mapping[str, object], swept: Iterable[Mapping[str, object]],
    asked: Sequence[Call], least_dropped: float,
) -> list[Choice]:
    """The best threshold for each of the options `swept`, beside `options`; in their order."""
    choices = []
    for changes in swept:
        engine = engines.create("car", weights, device, **{**options, **changes, **UNDECIDED})
        choices.append(Choice(tuple(changes.items()), *best_threshold(answers(engine, asked), least_dropped)))
        engine.close()
    return choices


def _at(threshold: float, absent: np.ndarray, present: Sequence[Answer]) -> tuple[float, float, float, float]:
    stays = [one.confidence > threshold for one in present]
    pixels = [one.kept if kept else one.dropped for one, kept in zip(present, stays)]
    return threshold, iou(*add(pixels)), float(np.mean(stays)), float(np.mean(absent <= threshold))


def _rounded_up(value: float) -> float:
    """The next number of two digits, so that what is chosen can be written down."""
    if value <= 0.0:
        return 0.0
    unit = 10.0 ** (math.floor(math.log10(value)) - 1)
    return min(1.0, round(math.ceil(value / unit) * unit, 12))
