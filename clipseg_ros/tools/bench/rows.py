# SPDX-License-Identifier: Apache-2.0
"""What the benchmark found: rows with what they should reach, as a table for people and as JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from clipseg_ros.tools.bench.timing import Spread

HEADER = ("case", "way", "median", "quartiles", "runs", "product", "ratio", "goal", "reached", "IoU", "note")
TEXTS = {"case", "way", "note"}  # columns whose cells begin at the left


@dataclass(frozen=True)
class Goal:
    """What a row should reach. of: `value` or `ratio` of the row; one of at_least and at_most is given."""

    of: str
    at_least: float | None = None
    at_most: float | None = None

    def reached(self, number: float) -> bool:
        """Whether the number is on the right side; the limit itself is."""
        return number >= self.at_least if self.at_least is not None else number <= self.at_most

    def __str__(self) -> str:
        return f">= {self.at_least:g}" if self.at_least is not None else f"<= {self.at_most:g}"


@dataclass(frozen=True)
class Row:
    """One number of a part of the benchmark.

    case: what was measured on; way: how. value in `unit`, None where it could not be measured, and the note says why.
    low, high, count: quartiles and number of samples. product_ms: of a product of two square matrices, taken in turns
    beside it (see evaluation.speed). ratio: how many times as long the case's baseline takes. iou: of the way's masks
    with those of the exact one, in [0, 1], where weights are trained.
    """

    part: str
    case: str
    way: str
    value: float | None
    unit: str = "ms"
    low: float | None = None
    high: float | None = None
    count: int | None = None
    product_ms: float | None = None
    ratio: float | None = None
    goal: Goal | None = None
    iou: float | None = None
    note: str = ""

    @property
    def reached(self) -> bool | None:
        """Whether the goal is; None without one, or without the number that it is of."""
        number = None if self.goal is None else getattr(self, self.goal.of)
        return None if number is None or math.isnan(number) else self.goal.reached(number)


def timed(
    part: str, case: str, way: str, spread: Spread, product: Spread | None, ratio: float | None = None,
    goal: Goal | None = None, iou: float | None = None, note: str = "",
) -> Row:
    """A row of milliseconds."""
    product_ms = None if product is None else product.median
    return Row(
        part, case, way, spread.median, "ms", spread.low, spread.high, spread.count, product_ms, ratio, goal, iou, note
    )


def table(rows: Sequence[Row]) -> str:
    """Rows in columns below the name of their part; what a row lacks is left blank, what is unmeasured is a dash."""
    cells = [_cells(row) for row in rows]
    widths = [max(map(len, column)) for column in zip(HEADER, *cells)]
    lines = []
    for index, row in enumerate(rows):
        if index == 0 or rows[index - 1].part != row.part:
            lines += ["", row.part, _line(HEADER, widths)]
        lines.append(_line(cells[index], widths))
    return "\n".join(lines)


def report(settings: Mapping[str, object], rows: Sequence[Row]) -> str:
    """JSON: {"settings": ..., "rows": [...]}; null for what is missing."""
    content = [{**{key: _finite(value) for key, value in asdict(row).items()}, "reached": row.reached} for row in rows]
    return json.dumps({"settings": dict(settings), "rows": content}, indent=1) + "\n"


def _finite(value: object) -> object:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    sides = ("<" if name in TEXTS else ">" for name in HEADER)
    return "  ".join(f"{cell:{side}{width}}" for cell, side, width in zip(cells, sides, widths)).rstrip()


def _cells(row: Row) -> tuple[str, ...]:
    quartiles = "" if row.low is None else f"{number(row.low)} to {number(row.high)}"
    reached = "" if row.reached is None else "yes" if row.reached else "NO"
    return (
        row.case, row.way, f"{number(row.value)} {row.unit}", quartiles, "" if row.count is None else str(row.count),
        "" if row.product_ms is None else f"{number(row.product_ms)} ms",
        "" if row.ratio is None else f"{number(row.ratio)}x", "" if row.goal is None else str(row.goal), reached,
        "" if row.iou is None else f"{row.iou:.4f}", row.note,
    )


def number(value: float | None) -> str:
    """Three significant digits, more before the point; a dash for what is not known."""
    if value is None or not math.isfinite(value):
        return "-"
    digits = 2 - math.floor(math.log10(abs(value))) if value else 0
    return f"{value:.{min(max(digits, 0), 4)}f}"
