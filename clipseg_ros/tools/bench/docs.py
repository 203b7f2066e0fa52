# SPDX-License-Identifier: Apache-2.0
"""docs/performance.md and the README's table filled from a report, so that no number is copied by hand.

A table stands between `<!-- cpu: NAME -->`, or gpu, and `<!-- end -->`. A report fills those of its device and of the
parts that it has.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path

from clipseg_ros.tools.bench.docs_report import Report
from clipseg_ros.tools.bench.docs_tables import TABLES

BLOCK = re.compile(r"<!-- (cpu|gpu): (\w+) -->\n\n.*?<!-- end -->", re.DOTALL)


def write(path: Path, report: Path) -> None:
    """Fill the tables of a file from a report (JSON). Raises OSError, ValueError."""
    found = Report(json.loads(report.read_text()))
    if found.settings.get("quick"):
        raise ValueError(f"{report}: of a quick run, whose numbers mean nothing; expected that of a whole one")
    path.write_text(filled(path.read_text(), found))


def filled(text: str, report: Report) -> str:
    """The text with its tables. Raises ValueError."""
    parts = {row["part"] for row in report.rows} | {"settings"}

    def fresh(match: re.Match[str]) -> str:
        kind, name = match.groups()
        if name not in TABLES:
            raise ValueError(f"table {name!r}: expected one of {', '.join(TABLES)}")
        needed, make = TABLES[name]
        known = kind == report.kind and parts.issuperset(needed)
        return f"<!-- {kind}: {name} -->\n\n{_markdown(make(report))}\n\n<!-- end -->" if known else match[0]

    return BLOCK.sub(fresh, text)


def _markdown(table: Sequence[Sequence[str]]) -> str:
    header, *lines = ["|" + "".join(f" {cell} |" if cell else " |" for cell in cells) for cells in table]
    return "\n".join([header, "|" + "---|" * len(table[0]), *lines])
