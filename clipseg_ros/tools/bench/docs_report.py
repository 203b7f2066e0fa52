# SPDX-License-Identifier: Apache-2.0
"""A report of the benchmark as cells of tables: the median, and in brackets of how many runs; what it lacks is
`unmeasured`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from clipseg_ros.tools.bench.rows import number

UNMEASURED = "unmeasured"
PEAK = "peak resident"  # what a row of memory says; its case and way are those of a row of times


class Report:
    """A benchmark's JSON, looked into by part, case and way."""

    def __init__(self, content: Mapping[str, Any]) -> None:
        self.settings: dict[str, object] = content["settings"]
        self.rows: list[dict[str, Any]] = content["rows"]
        self.kind = "gpu" if str(self.settings.get("device", "cpu")).startswith("cuda") else "cpu"
        told = (row for row in self.rows if row["note"] != PEAK)
        self._found = {(row["part"], row["case"], row["way"].strip()): row for row in told}

    def value(self, part: str, case: str, way: str) -> str:
        """The median with its number of runs, or the number."""
        row = self._found.get((part, case, way), {})
        if row.get("value") is None:
            return UNMEASURED
        return number(row["value"]) + (f" ({row['count']})" if row["count"] else "")

    def of(self, field: str, part: str, case: str, way: str, end: str = "") -> str:
        """Another number of a row."""
        found = self._found.get((part, case, way), {}).get(field)
        return UNMEASURED if found is None else number(found) + end

    def ratio(self, part: str, case: str, way: str) -> str:
        """How many times as long the baseline takes."""
        return self.of("ratio", part, case, way, "x")
