# SPDX-License-Identifier: Apache-2.0
"""Threshold and presence of a model, chosen together on the validation scenes of benchmark `tabletop`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from tqdm import tqdm

from clipseg_ros.engines.clipseg import ClipSegEngine
from clipseg_ros.evaluation import curves
from clipseg_ros.evaluation.metrics import LARGEST_FALSE_SHARE, iou
from clipseg_ros.evaluation.tabletop import ACCEPTED_FALSE_RATE, GROUPS, ask_all
from clipseg_ros.masks import sigmoid
from clipseg_ros.models.presence import strength

LOGITS = np.arange(-7.0, 3.01, 0.25)  # thresholds
SCORES = sigmoid(LOGITS)


@dataclass(frozen=True, eq=False)
class Answers:
    """Of Q questions: groups (Q,) names, strengths (Q,) of their logits, tables (Q, T, 4) of pixel counts at SCORES."""

    groups: np.ndarray
    strengths: np.ndarray
    tables: np.ndarray


@dataclass(frozen=True)
class Choice:
    """threshold: a score; presence: a strength of logits, None where none is needed. iou: mean over the groups; marked:
    share of the absent phrases."""

    threshold: float
    presence: float | None
    iou: float
    marked: float


def ask(engine: ClipSegEngine, seeds: Iterable[int]) -> Answers:
    """What an engine that does not judge presence says of the scenes of the seeds."""
    groups, strengths, tables = [], [], []
    for view, questions in ask_all(tqdm(seeds, "presence", unit="scene")):
        found = engine.segment(view.image, [question.prompt for question in questions])
        strengths += strength(torch.from_numpy(found.maps.logits)).tolist()
        for question, score in zip(questions, found.scores):
            truth = np.isin(view.labels, list(question.classes))
            tables.append(curves.sweep(score, truth, SCORES))
            groups.append(question.group)
    return Answers(np.array(groups), np.array(strengths), np.array(tables))


def best(answers: Answers, accepted: float = ACCEPTED_FALSE_RATE) -> Choice:
    """The threshold, and beside it the least presence with which at most a share `accepted` of the absent phrases marks
    more than 0.5 % of the pixels, of the highest mean IoU over the groups. Raises ValueError without absent phrases."""
    absent = answers.groups == "absent"
    if not absent.any():
        raise ValueError("no absent phrase among the answers: expected some")
    choices = []
    for level, threshold in enumerate(SCORES):
        false = answers.tables[absent, level, 1] > LARGEST_FALSE_SHARE * answers.tables[0, 0].sum()
        rising = np.sort(answers.strengths[absent][false])[::-1]
        spared = int(accepted * absent.sum())
        presence = float(np.nextafter(rising[spared], np.inf)) if len(rising) > spared else None
        there = answers.strengths >= (-np.inf if presence is None else presence)
        ious = [_iou(answers.tables[answers.groups == group, level], there[answers.groups == group]) for group in GROUPS]
        choices.append(Choice(float(threshold), presence, float(np.nanmean(ious)), float(np.mean(false & there[absent]))))
    return max(choices, key=lambda choice: choice.iou)


def _iou(tables: np.ndarray, there: np.ndarray) -> float:
    """Of counts (Q, 4): tp, fp, fn, tn, of which nothing is marked where a prompt is not `there` (Q,)."""
    tp, fp = (tables[:, column] @ there for column in (0, 1))
    return iou(tp, fp, tables[:, 0].sum() + tables[:, 2].sum() - tp)
