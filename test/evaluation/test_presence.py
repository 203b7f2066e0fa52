# SPDX-License-Identifier: Apache-2.0
"""Threshold and presence are chosen together: whole objects, and few of what is not there."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from clipseg_ros import engines
from clipseg_ros.evaluation import presence, tabletop
from clipseg_ros.evaluation.presence import SCORES, Answers, best

PIXELS = 1000


def answers(*questions: tuple[str, float, float, float]) -> Answers:
    """Of a group, with a strength, that mark their 100 pixels of target up to a score, and 200 besides up to another;
    absent ones have no target."""
    tables = np.zeros((len(questions), len(SCORES), 4), int)
    for table, (group, _, right, wrong) in zip(tables, questions):
        target = 0 if group == "absent" else 100
        table[:, 0], table[:, 1] = target * (SCORES <= right), 200 * (SCORES <= wrong)
        table[:, 2], table[:, 3] = target - table[:, 0], PIXELS - target - table[:, 1]
    groups, strengths, *_ = zip(*questions)
    return Answers(np.array(groups), np.array(strengths), tables)


def test_a_low_threshold_is_taken_where_presence_keeps_out_what_is_absent() -> None:
    found = best(answers(("object", 3.0, 0.2, 0.0), ("colour", 2.0, 0.2, 0.0), ("absent", 1.0, 0.0, 0.9)), 0.0)
    assert found.threshold <= 0.2 and 1.0 < found.presence < 1.001
    assert (found.iou, found.marked) == (1.0, 0.0)


def test_what_presence_denies_is_missed() -> None:
    found = best(answers(("object", 3.0, 0.2, 0.0), ("object", 1.0, 0.2, 0.0), ("absent", 2.0, 0.0, 0.9)), 0.0)
    assert found.iou == pytest.approx(0.5) and 2.0 < found.presence < 3.0


def test_as_many_absent_phrases_as_accepted_are_spared() -> None:
    asked = [("object", 1.0, 0.2, 0.0), *(("absent", strength, 0.0, 0.9) for strength in (0.5, 2.0))]
    found = best(answers(*asked), 0.5)
    assert (found.iou, found.marked) == (1.0, 0.5) and 0.5 < found.presence < 1.0


def test_no_presence_is_needed_where_nothing_absent_is_marked() -> None:
    found = best(answers(("object", 1.0, 0.6, 0.3), ("absent", 9.0, 0.0, 0.1)), 0.0)
    assert found.presence is None and 0.3 < found.threshold <= 0.6


def test_absent_phrases_are_needed() -> None:
    with pytest.raises(ValueError, match="no absent phrase"):
        best(answers(("object", 1.0, 0.6, 0.3)))


def test_an_engine_is_asked_what_the_benchmark_asks(tiny_weights: Path) -> None:
    engine, seeds = engines.create("clipseg", str(tiny_weights), "cpu", side=96), tabletop.VALIDATION[:2]
    found = presence.ask(engine, seeds)
    asked = [question for _, questions in tabletop.ask_all(seeds) for question in questions]
    assert found.groups.tolist() == [question.group for question in asked]
    assert found.tables.shape == (len(asked), len(SCORES), 4) and found.strengths.shape == (len(asked),)
    assert (found.tables.sum(axis=2) == tabletop.HEIGHT * tabletop.WIDTH).all()
