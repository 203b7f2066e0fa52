# SPDX-License-Identifier: Apache-2.0
"""The noun Benchmark: what is measured how, and the numbers that a paper printed for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from clipseg_ros.evaluation import published
from clipseg_ros.evaluation.passes import Job, Outcome


class Kind(Protocol):
    """How a benchmark is run: passes.Passes over a data set in a folder, or anything else with this call."""

    def run(self, job: Job) -> Outcome | None:
        """The result; None in processes that only predict. Raises ValueError."""


@dataclass(frozen=True)
class Published:
    """A table of published.json; columns: (our metric, the table's column), in the order to be printed."""

    paper: str
    table: str
    columns: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Benchmark:
    """name: as on the command line. title: data set, split and protocol in a line. root: what --root is, "" where
    nothing is read. notes: what keeps our numbers and the published ones apart."""

    name: str
    title: str
    kind: Kind
    root: str = ""
    published: Published | None = None
    notes: tuple[str, ...] = ()

    @property
    def source(self) -> str:
        """`CLIPSeg, Table 3`, or this package's own."""
        return published.table(self.published.paper, self.published.table).number if self.published else "clipseg_ros"
