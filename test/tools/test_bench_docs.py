# SPDX-License-Identifier: Apache-2.0
"""docs/performance.md is filled from reports: its tables are those that the benchmark knows, cell by cell."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from clipseg_ros.__main__ import main
from clipseg_ros.tools.bench import docs
from clipseg_ros.tools.bench.docs_report import PEAK, Report
from clipseg_ros.tools.bench.docs_tables import TABLES

ROOT = Path(__file__).parents[2]
PAGE, README = ROOT / "docs" / "performance.md", ROOT / "README.md"
PARTS = sorted({part for parts, _ in TABLES.values() for part in parts} - {"settings"})


def row(part: str, case: str, way: str, value: float | None, **more: object) -> dict[str, object]:
    nothing = {"count": None, "ratio": None, "iou": None, "note": ""}
    return {"part": part, "case": case, "way": way, "value": value, **nothing, **more}


def report(*rows: dict[str, object], device: str = "cpu") -> Report:
    return Report({"settings": {"device": device, "threads": 2}, "rows": list(rows)})


def labels(text: str) -> list[list[str]]:
    """Of each table between its marks: its name, its header and the first cell of every line."""
    found = []
    for block in docs.BLOCK.finditer(text):
        lines = [line for line in block[0].splitlines() if line.startswith("|")]
        found.append([block[1] + block[2], lines[0], *(line.split("|")[1] for line in lines[2:])])
    return found


def test_the_pages_have_every_table_and_all_their_lines() -> None:
    text = README.read_text() + PAGE.read_text()
    empty = [row(part, "", "", None) for part in PARTS]
    fresh = docs.filled(docs.filled(text, report(*empty)), report(*empty, device="cuda"))
    assert labels(fresh) == labels(text)
    assert {name[3:] for name, *_ in labels(text)} == set(TABLES)
    assert [name for name, *_ in labels(README.read_text())] == ["cpushort"]
    assert len(labels(text)) == text.count("<!-- end -->")


def test_what_both_pages_tell_is_the_same() -> None:
    short, page = (dict(_blocks(path.read_text())) for path in (README, PAGE))
    cells = re.findall(r"(?:\d[\d.]* \(\d+\)|\d[\d.]*x)", short["cpu: short"])
    everything = " ".join(block for name, block in page.items() if name.startswith("cpu"))
    assert not [cell for cell in cells if cell not in everything]


def test_a_report_fills_what_it_has_on_its_device_and_leaves_the_rest() -> None:
    text = PAGE.read_text()
    case = "full-size, 640x480, N = 5"
    known = report(
        row("clipseg", case, "transformers", 1234.4, count=4), row("clipseg", case, "fp32", 190.04, count=7, ratio=6.5)
    )
    filled = docs.filled(text, known)
    assert "| 640x480, N = 5 | 1234 (4) | 190 (7) | 6.50x | >= 6 |" in filled
    assert "| 640x480, N = 20 | unmeasured | unmeasured | unmeasured | >= 18 |" in filled
    assert "| threads | 2 |" in filled
    changed = {old[0] for old, new in zip(_blocks(text), _blocks(filled), strict=True) if old[1] != new[1]}
    assert changed <= {f"cpu: {name}" for name, (parts, _) in TABLES.items() if set(parts) <= {"clipseg", "settings"}}
    assert docs.filled(filled, known) == filled


def _blocks(text: str) -> list[tuple[str, str]]:
    return [(f"{block[1]}: {block[2]}", block[0]) for block in docs.BLOCK.finditer(text)]


def test_peaks_of_memory_do_not_take_the_place_of_times() -> None:
    case = "full-size, 640x480, N = 20"
    both = report(row("clipseg", case, "fp32", 1000.0, count=3), row("clipseg", case, "fp32", 1127.0, note=PEAK))
    assert "1000 (3)" in str(TABLES["clipseg"][1](both)) and "1127" not in str(TABLES["clipseg"][1](both))
    assert "1127" in str(TABLES["memory"][1](both))


@pytest.mark.parametrize("name", TABLES)
def test_every_table_has_lines_as_long_as_its_header(name: str) -> None:
    header, *lines = TABLES[name][1](report())
    assert lines and all(len(line) == len(header) for line in lines)


def test_a_table_of_no_name_is_refused() -> None:
    with pytest.raises(ValueError, match="table 'cars': expected one of machine, clipseg"):
        docs.filled("<!-- cpu: cars -->\n\n| a |\n\n<!-- end -->", report())


def test_the_command_fills_the_page_from_a_report_that_is_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page, found = tmp_path / "performance.md", tmp_path / "bench.json"
    page.write_text("<!-- cpu: idle -->\n\n<!-- end -->\n")
    rows = [row("node", "640x480 at 30 Hz", "idle, no query", 1.25)]
    words = ["bench", "--only", "--docs", str(page), "--out", str(found)]
    found.write_text(json.dumps({"settings": {"device": "cpu", "quick": False}, "rows": rows}))
    assert main(words) == 0
    assert re.search(r"^\| no query \| 1\.25 \| <= 2 \|$", page.read_text(), re.MULTILINE)
    found.write_text(json.dumps({"settings": {"device": "cpu", "quick": True}, "rows": rows}))
    assert main(words) == 1
    assert "of a quick run, whose numbers mean nothing" in capsys.readouterr().err
