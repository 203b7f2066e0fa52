# SPDX-License-Identifier: Apache-2.0
"""What is printed and written: percent in the table, fractions in files, published rows beside ours."""

from __future__ import annotations

import json
import math

import pytest

from clipseg_ros.evaluation.benchmark import Benchmark, Published
from clipseg_ros.evaluation.passes import Outcome
from clipseg_ros.evaluation.report import Report
from clipseg_ros.evaluation.results import Row

SHOWN = Published("clipseg", "table3", (("t", "t"), ("mIoU", "mIoU"), ("AP", "AP")))
BENCHMARK = Benchmark("mine", "one line", None, "root", SHOWN, ("a note of the benchmark",))
OUTCOME = Outcome(
    rows=(Row("ours", {"t": 0.3, "mIoU": 0.4567, "AP": math.nan, "IoU_BIN": 0.5}),),
    classes=(
        ("ours", Row("cat, tabby", {"IoU": 0.25, "pixels": 12345678})),
        ("ours", Row("dog", {"IoU": math.nan, "pixels": 0})),
    ),
    notes=("a note of the run",),
    samples=10,
    available=10,
)


@pytest.fixture
def report() -> Report:
    return Report(BENCHMARK, OUTCOME, {"engine": "clipseg", "weights": "demo", "options": {}})


def cells(text: str, name: str) -> list[str]:
    """The cells of the line that begins with `name`."""
    (line,) = [line for line in text.splitlines() if line.startswith(f"{name}  ")]
    return line.removeprefix(name).split()


def test_ours_stands_above_the_published_rows_in_the_same_columns(report: Report) -> None:
    text = report.text()
    assert cells(text, "ours") == ["0.30", "45.7", "-", "50.0"]
    assert cells(text, "CLIPSeg (PC+)") == ["0.30", "43.4", "76.7", "-"]
    assert cells(text, "MDETR") == ["-", "53.7", "-", "-"]
    lines = text.splitlines()
    assert lines[4].split() == ["t", "mIoU", "AP", "IoU_BIN"]
    assert lines.index("published (CLIPSeg, Table 3):") == 6
    assert len({line.index(cell) for line in lines for cell in ("45.7", "43.4") if cell in line}) == 1


def test_rows_that_print_none_of_the_columns_are_left_out() -> None:
    columns = Published("clipseg", "table9", (("AP", "visual AP"),))
    text = Report(Benchmark("m", "t", None, published=columns), OUTCOME, {}).text()
    assert "only layer 3" in text and "no CLIP pre-training" not in text


def test_a_try_out_says_so(report: Report) -> None:
    assert "10 samples" in report.text() and "try-out" not in report.text()
    shorter = Report(BENCHMARK, Outcome(OUTCOME.rows, samples=3, available=10), {})
    assert "3 of 10 samples: a try-out, not the benchmark" in shorter.text()


def test_notes_of_run_and_benchmark_stand_below(report: Report) -> None:
    assert report.text().endswith("\n- a note of the run\n- a note of the benchmark\n")


def test_json_holds_fractions_ours_and_percent_theirs(report: Report) -> None:
    content = json.loads(report.json())
    assert content["rows"] == [{"name": "ours", "values": {"t": 0.3, "mIoU": 0.4567, "AP": None, "IoU_BIN": 0.5}}]
    assert content["published_percent"][0] == {"name": "CLIPSeg (PC+)", "values": {"t": 0.3, "mIoU": 43.4, "AP": 76.7}}
    assert content["classes"][1] == {"pass": "ours", "class": "dog", "values": {"IoU": None, "pixels": 0}}
    assert (content["samples"], content["source"], content["settings"]["weights"]) == (10, "CLIPSeg, Table 3", "demo")


def test_classes_are_a_csv_that_survives_commas(report: Report) -> None:
    assert report.per_class() == 'pass,class,IoU,pixels\nours,"cat, tabby",0.25,12345678\nours,dog,,0\n'
    assert Report(BENCHMARK, Outcome(OUTCOME.rows), {}).per_class() == ""


def test_a_benchmark_without_a_paper_prints_ours_alone() -> None:
    alone = Report(Benchmark("m", "t", None), OUTCOME, {})
    assert "published" not in alone.text() and json.loads(alone.json())["source"] == "clipseg_ros"
