# SPDX-License-Identifier: Apache-2.0
"""Benchmarks of queries that are there and queries that are not, on rendered scenes; see mixed_queries."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from tqdm import tqdm

from clipseg_ros.evaluation.passes import Job, Outcome
from clipseg_ros.evaluation.results import Row

Options = tuple[tuple[str, Any], ...]


@dataclass(frozen=True)
class MixedTabletop:
    """Rows by variant (name, engine options) and mix, one of mixed_queries.MIXES or all; no prediction is kept."""

    variants: tuple[tuple[str, Options], ...] = (("", ()),)
    mix: str = ""
    scenes: int = 100

    def run(self, job: Job) -> Outcome | None:
        """Rank 0 does all; writes table.md, the rows as Markdown. Raises ValueError: variants of another engine."""
        if job.engine != "car" and any(options for _, options in self.variants):
            raise ValueError(f"--engine {job.engine}: these are variants of engine car; take --engine car")
        if job.threshold is not None:
            raise ValueError(f"--threshold {job.threshold}: the engine labels by its own; see its options")
        if job.rank:
            return None
        from clipseg_ros.evaluation import mixed_queries, tabletop

        seeds = tabletop.TESTS[: self.scenes][: job.limit]
        views = mixed_queries.render(tqdm(seeds, "rendering", unit="scene"))
        mixes = [self.mix] if self.mix else list(mixed_queries.MIXES)
        asked = {mix: mixed_queries.calls(views, mixed_queries.MIXES[mix]) for mix in mixes}
        rows = []
        for name, options in tqdm(self.variants, "measuring", unit="variant"):
            engine = job.create(dict(options))
            for mix, several in asked.items():
                label = ", ".join(filter(None, (name, f"N = {mix}" if len(asked) > 1 else "")))
                rows.append(Row(label, mixed_queries.measure(engine, several).values()))
            engine.close()
        job.folder.mkdir(parents=True, exist_ok=True)
        (job.folder / "table.md").write_text(markdown(rows), encoding="utf-8")
        notes = (
            "IoU: of labelled pixels, summed over the scenes; kept, dropped: shares of present and of absent queries",
            "near dropped: of absent ones that name a colour or a kind of the scene; marked: label over 0.5 % of it",
            f"the rows as Markdown: {job.folder / 'table.md'}",
        )
        return Outcome(tuple(rows), notes=notes, samples=len(seeds), available=self.scenes)


def markdown(rows: Iterable[Row]) -> str:
    """The rows as a table in percent; a dash for what was not asked."""
    listed = list(rows)
    columns = list(dict.fromkeys(name for row in listed for name in row.values))
    lines = [["", *columns], ["---", *["---:"] * len(columns)]]
    lines += [[row.name, *(_percent(row.values, column) for column in columns)] for row in listed]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def _percent(values: Mapping[str, float], column: str) -> str:
    value = values.get(column, float("nan"))
    return "-" if np.isnan(value) else f"{100 * value:.1f}"
