# SPDX-License-Identifier: Apache-2.0
"""What is printed and written of a benchmark: a text table with the published rows, JSON, CSV of the classes."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from clipseg_ros.evaluation import published
from clipseg_ros.evaluation.benchmark import Benchmark
from clipseg_ros.evaluation.passes import Outcome

PLAIN = {"t"}  # neither percent nor a count
COUNTS = {"prompts", "pixels"}
PRINTED = {"published"}  # already in percent


@dataclass(frozen=True)
class Report:
    """A benchmark's outcome; settings: what made it, word by word."""

    benchmark: Benchmark
    outcome: Outcome
    settings: Mapping[str, Any]

    def text(self) -> str:
        """The table, percent but for t, ours first; what is missing is a dash."""
        columns = self._columns()
        rows = [(row.name, [_cell(name, row.values.get(name)) for name in columns]) for row in self.outcome.rows]
        theirs = [(name, [_cell(c, values.get(c), False) for c in columns]) for name, values in self._published()]
        width = max(len(name) for name, _ in (*rows, *theirs, ("published", [])))
        widths = [max(6, len(name)) for name in columns]

        def line(name: str, cells: list[str]) -> str:
            return "  ".join([f"{name:{width}}", *(f"{cell:>{wide}}" for cell, wide in zip(cells, widths))]).rstrip()

        lines = [*self._head(), "", line("", list(columns)), *(line(*row) for row in rows)]
        if theirs:
            lines += [f"published ({self.benchmark.source}):", *(line(*row) for row in theirs)]
        notes = (*self.outcome.notes, *self.benchmark.notes)
        return "\n".join([*lines, *([""] if notes else []), *(f"- {note}" for note in notes)]) + "\n"

    def json(self) -> str:
        """Ours in [0, 1], published in percent as printed; null for what was never observed."""
        content = {
            "benchmark": self.benchmark.name,
            "title": self.benchmark.title,
            "source": self.benchmark.source,
            "settings": dict(self.settings),
            "samples": self.outcome.samples,
            "available": self.outcome.available,
            "rows": [{"name": row.name, "values": _finite(row.values)} for row in self.outcome.rows],
            "classes": [
                {"pass": name, "class": row.name, "values": _finite(row.values)} for name, row in self.outcome.classes
            ],
            "published_percent": [{"name": name, "values": values} for name, values in self._published()],
            "notes": [*self.outcome.notes, *self.benchmark.notes],
        }
        return json.dumps(content, indent=1, ensure_ascii=False) + "\n"

    def per_class(self) -> str:
        """CSV of the classes, values in [0, 1]; empty where there are none."""
        if not self.outcome.classes:
            return ""
        columns = list(dict.fromkeys(name for _, row in self.outcome.classes for name in row.values))
        table = io.StringIO()
        writer = csv.writer(table, lineterminator="\n")
        writer.writerow(["pass", "class", *columns])
        for name, row in self.outcome.classes:
            writer.writerow([name, row.name, *(_plain(row.values.get(column, math.nan)) for column in columns)])
        return table.getvalue()

    def _head(self) -> list[str]:
        outcome = self.outcome
        made = ", ".join(f"{name} {value}" for name, value in self.settings.items() if value not in ("", {}, None))
        lines = [f"{self.benchmark.name}: {self.benchmark.title}", made, f"{outcome.samples} samples"]
        if outcome.samples < outcome.available:
            lines[-1] = f"{outcome.samples} of {outcome.available} samples: a try-out, not the benchmark"
        return lines

    def _columns(self) -> tuple[str, ...]:
        """The published columns in their order, then what else we measured."""
        shown = [ours for ours, _ in self.benchmark.published.columns] if self.benchmark.published else []
        measured = dict.fromkeys(name for row in self.outcome.rows for name in row.values)
        return tuple(dict.fromkeys([name for name in (*shown, *measured) if name in measured]))

    def _published(self) -> list[tuple[str, dict[str, float | None]]]:
        """Published rows under our names of the metrics; rows without any of them are left out."""
        if self.benchmark.published is None:
            return []
        found = published.table(self.benchmark.published.paper, self.benchmark.published.table)
        columns = self.benchmark.published.columns
        rows = [(name, {ours: values[theirs] for ours, theirs in columns}) for name, values in found.rows]
        return [(name, values) for name, values in rows if any(value is not None for value in values.values())]


def _cell(name: str, value: float | None, fraction: bool = True) -> str:
    if value is None or math.isnan(value):
        return "-"
    if name in PLAIN:
        return f"{value:.2f}"
    if name in COUNTS:
        return f"{value:.0f}"
    return f"{100 * value if fraction and name not in PRINTED else value:.1f}"


def _finite(values: Mapping[str, float]) -> dict[str, float | None]:
    return {name: None if math.isnan(value) else value for name, value in values.items()}


def _plain(value: float) -> str:
    if isinstance(value, int):
        return str(int(value))  # counts in full, and whether a class is unseen as 0 or 1
    return "" if math.isnan(value) else f"{value:.6g}"
