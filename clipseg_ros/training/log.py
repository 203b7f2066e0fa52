# SPDX-License-Identifier: Apache-2.0
"""What a run writes while it goes: log.csv (step, loss, seconds) and validation.csv (step, IoU), without headers."""

from __future__ import annotations

from pathlib import Path

LOSSES, VALIDATION = "log.csv", "validation.csv"


class Log:
    """The two tables of the run in folder `out`, kept up to `first`, the step that comes next.

    A run that was killed wrote rows after its last checkpoint; they will be written again.
    """

    def __init__(self, out: Path, first: int) -> None:
        self._out = out
        for path in (out / LOSSES, out / VALIDATION):
            if path.is_file():
                kept = [line for line in _whole_lines(path) if int(line.split(",")[0]) < first]
                path.write_text("".join(f"{line}\n" for line in kept))

    def loss(self, step: int, loss: float, seconds: float) -> None:
        """One step's loss and the time since the run began, pauses left out."""
        self._append(LOSSES, [step, f"{loss:.5f}", f"{seconds:.1f}"])

    def validation(self, step: int, iou: float) -> None:
        """IoU in [0, 1] after `step`."""
        self._append(VALIDATION, [step, f"{iou:.5f}"])

    def _append(self, name: str, row: list[object]) -> None:
        with (self._out / name).open("a") as table:
            table.write(",".join(map(str, row)) + "\n")


def read(path: Path) -> list[tuple[float, ...]]:
    """The rows of a table; [] where there is none."""
    lines = _whole_lines(path) if path.is_file() else []
    return [tuple(float(value) for value in line.split(",")) for line in lines]


def _whole_lines(path: Path) -> list[str]:
    """Without a last line that a kill cut short."""
    text = path.read_text()
    return text[: text.rfind("\n") + 1].splitlines()
