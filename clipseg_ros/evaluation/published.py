# SPDX-License-Identifier: Apache-2.0
"""Numbers that papers print, to stand beside ours; the numbers are data/published.json, in percent as printed."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

Row = tuple[str, dict[str, float | None]]
"""A row's name and its value in each column; None where the paper prints none."""


@dataclass(frozen=True)
class Table:
    """A table of a paper. labels: column of words -> one word a row, None where the paper prints none."""

    paper: str
    source: str
    name: str
    title: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    labels: dict[str, list[str | bool | None]]
    note: str

    @property
    def number(self) -> str:
        """The table's name as a reader looks for it: `CLIPSeg, Table 3`."""
        return f"{self.paper}, Table {self.name.removeprefix('table')}"


def table(paper: str, name: str) -> Table:
    """The table `name`, such as table3, of `paper`, such as clipseg. Raises ValueError with those there are."""
    papers = _papers()
    if paper not in papers:
        raise ValueError(f"paper {paper!r}: expected one of {', '.join(papers)}")
    tables = papers[paper]["tables"]
    if name not in tables:
        raise ValueError(f"table {name!r} of {paper}: expected one of {', '.join(tables)}")
    found = tables[name]
    columns = tuple(found["columns"])
    rows = tuple((row[0], dict(zip(columns, row[1:]))) for row in found["rows"])
    return Table(
        papers[paper]["name"], papers[paper]["source"], name, found["title"], columns, rows,
        found.get("labels", {}), found.get("note", ""),
    )


@cache
def _papers() -> dict[str, dict]:
    return json.loads((files("clipseg_ros") / "data" / "published.json").read_text(encoding="utf-8"))
