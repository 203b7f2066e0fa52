# SPDX-License-Identifier: Apache-2.0
"""What a benchmark comes to: named rows of numbers in [0, 1], percent only when they are printed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from clipseg_ros.evaluation.metrics import mean

AUTHORS = "counted as by the authors"
"""Name of the rows whose metrics are the paper's code's own, see clipseg_paper."""


class Row(NamedTuple):
    """A line of a table: metric -> value; nan where it was never observed. The unnamed row is the honest one."""

    name: str
    values: dict[str, float]


@dataclass(frozen=True)
class Score:
    """Rows of one pass over one data set, honest ones first, and rows of its classes. notes: what a reader must know.

    samples: how many were scored.
    """

    rows: tuple[Row, ...]
    classes: tuple[Row, ...] = ()
    notes: tuple[str, ...] = ()
    samples: int = 0


def average(scores: Sequence[Score]) -> tuple[Row, ...]:
    """Each row's mean over scores that all have it: over folds, however many samples they hold."""
    names = [row.name for row in scores[0].rows]
    values = [{row.name: row.values for row in score.rows} for score in scores]
    return tuple(
        Row(name, {metric: mean(each[name][metric] for each in values) for metric in values[0][name]})
        for name in names
    )
