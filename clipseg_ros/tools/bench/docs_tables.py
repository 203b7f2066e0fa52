# SPDX-License-Identifier: Apache-2.0
"""What the tables of docs/performance.md show of a report: rows of cells, the header first.

Cells hold the median, and in brackets of how many runs; what a report lacks is `unmeasured`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from statistics import median
from typing import Any

from clipseg_ros.tools.bench import goals, stages
from clipseg_ros.tools.bench.car_stages import STAGES as CAR_STAGES
from clipseg_ros.tools.bench.rows import number

UNMEASURED = "unmeasured"
PEAK = "peak resident"  # what a row of memory says; its case and way are those of a row of times
SIZES, COUNTS, FULL = {"640x480": goals.VGA, "1280x720": goals.HD}, (1, 5, 20), goals.FULL_SIZE
CARS = {"cpu": "ViT-B/16 + ViT-B/16", "gpu": "ViT-B/16 + ViT-L/14"}
Table = list[list[str]]  # the header first


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


def _machine(report: Report) -> Table:
    names = ("gpu", "processor", "cores", "threads", "python", "torch", "transformers", "seconds")
    told = report.settings
    shown = [name for name in names if name != "gpu" or report.kind == "gpu"]
    products = [row["product_ms"] for row in report.rows if row.get("product_ms")]
    product = number(median(products)) if products else UNMEASURED
    return [["", "value"], *([name, str(told.get(name, UNMEASURED))] for name in shown), ["product (ms)", product]]


def _clipseg(report: Report, network: str = FULL) -> Table:
    table = [[f"{network}, fp32 (ms)", "transformers", "engine", "ratio", "goal"]]
    for size, pixels in SIZES.items():
        for count in COUNTS:
            case = f"{network}, {size}, N = {count}"
            goal = goals.of_clipseg("cpu", network, pixels, count, "fp32") if report.kind == "cpu" else None
            theirs, ours = (report.value("clipseg", case, way) for way in ("transformers", "fp32"))
            ratio = report.ratio("clipseg", case, "fp32")
            table.append([f"{size}, N = {count}", theirs, ours, ratio, str(goal or "")])
        extra = report.of("value", "clipseg", f"{network}, {size}", "fp32: each extra prompt", " % of the first")
        goal = goals.of_extra_prompt("cpu", network, pixels, "fp32") if report.kind == "cpu" else None
        table.append([f"{size}, each extra prompt", "", extra, "", str(goal or "")])
    return table


def _variants(report: Report) -> Table:
    ways = {"fp32": "`precision:=fp32`", "fp32, compiled": "`engine_options:=\"compiled=true\"`",
            "bf16": "`precision:=bf16`", "fp16": "`precision:=fp16`",
            "fp32, side 240": "`engine_options:=\"side=240\"`, demo `side=128`",
            "transformers": "transformers, fp32"}
    table = [["640x480 (ms)", *(f"full-size, N = {count}" for count in COUNTS), "demo, N = 5", "IoU"]]
    for way, words in ways.items():
        if way == "fp16" and report.kind == "cpu":
            continue
        demo = "fp32, side 128" if "side" in way else way
        cells = [report.value("clipseg", f"{FULL}, 640x480, N = {count}", way) for count in COUNTS]
        case = "demo, 640x480, N = 5"
        iou = "" if way.startswith("fp32") and "side" not in way else report.of("iou", "clipseg", case, demo)
        trained = "" if way == "fp32, compiled" else report.value("clipseg", case, demo)
        table.append([words, *cells, trained, iou])
    return table


def _stages(report: Report) -> Table:
    cases = [f"{FULL}, 640x480, N = {count}" for count in COUNTS]
    return [["full-size, 640x480 (ms)", *(f"N = {count}" for count in COUNTS)],
            *([stage, *(report.value("clipseg", case, stage) for case in cases)] for stage in stages.STAGES)]


def _memory(report: Report) -> Table:
    case = f"{FULL}, 640x480, N = 20"
    found = {row["way"]: row for row in report.rows if row["part"] == "clipseg" and row["note"] == PEAK}
    ways = ("transformers", "fp32", "bf16")
    return [["peak resident (MB)", case],
            *([way, number(found[way]["value"]) if way in found else UNMEASURED] for way in ways)]


def _car(report: Report) -> Table:
    table = [[f"{CARS[report.kind]}, 640x480 (ms)", "reference", "engine, voc", "ratio", "engine, robot"]]
    for crf in ("", ", CRF", ", CRF at half size"):
        for count in COUNTS:
            case = f"{CARS[report.kind]}, 640x480, N = {count}"
            theirs = "" if "half" in crf else report.value("car", case, f"the reference's flow{crf}")
            robot = "" if "half" in crf else report.value("car", case, f"engine, preset robot{crf}")
            ours, ratio = (read("car", case, f"engine, preset voc{crf}") for read in (report.value, report.ratio))
            table.append([f"N = {count}{crf}", theirs, ours, ratio, robot])
    return table


def _car_stages(report: Report) -> Table:
    cases = {f"N = {count}": f"{CARS[report.kind]}, 640x480, N = {count}" for count in COUNTS}
    cases["demo, 320x240, N = 5"] = "demo, 320x240, N = 5"
    table = [["(ms)", *cases]]
    for stage in CAR_STAGES:
        cells = [report.value("car", case, f"engine: {stage}") for case in cases.values()]
        table.append([stage, *(cells[:-1] if stage == "CRF" else cells), *([""] if stage == "CRF" else [])])
    whole = report.value("car", "demo, 320x240, N = 5", "engine, preset demo")
    return [*table, ["whole frame, with labels", "", "", "", whole]]


def _zegclip(report: Report) -> Table:
    ways = ("engine clipseg", "engine zegclip, side 352", "engine zegclip, side 512")
    table = [["full-size, 640x480 (ms)", *ways]]
    for count in (5, 20, 171):
        case = f"{FULL}, 640x480, N = {count}"
        table.append([f"N = {count}", *(report.value("zegclip", case, way) for way in ways)])
    return table


def _frames(report: Report) -> Table:
    ways = ("resident after 100 frames", "resident after 1000 frames", "growth from 100 to 1000 frames")
    cells = [report.of("value", "growth", "demo, 640x480, N = 5", way) for way in ways]
    goal = goals.Goal("value", at_most=goals.MEMORY_GROWTH_PERCENT)
    return [["demo, 640x480, N = 5", "after 100 frames (MB)", "after 1,000 frames (MB)", "growth (%)", "goal"],
            ["one process", *cells, str(goal)]]


def _node(report: Report) -> Table:
    ways = ("latency at 30 Hz", "input age at 30 Hz", "ROS share")
    table = [["(ms)", *ways, "goal"]]
    for network in ("demo", FULL):
        for size, pixels in SIZES.items():
            cells = (report.value("node", f"{network}, {size}", way) for way in ways)
            table.append([f"{network}, {size}", *cells, str(goals.of_ros_share(pixels))])
    return table


def _idle(report: Report) -> Table:
    ways, case = ("no query", "no listener"), "640x480 at 30 Hz"
    cells = [[way, report.of("value", "node", case, f"idle, {way}")] for way in ways]
    goal = str(goals.Goal("value", at_most=goals.IDLE_PERCENT))
    return [["idle node, camera at 30 Hz", "CPU, % of a core", "goal"], *([*pair, goal] for pair in cells)]


def _ceilings(report: Report) -> Table:
    ways = {"product of matrices, fp32": "GFLOP/s", "copy": "GB/s, read and written"}
    return [["ceiling", "value"],
            *([f"{way} ({unit})", report.value("roofline", "ceiling", way)] for way, unit in ways.items())]


def _roofline(report: Report) -> Table:
    table = [["floor over time (%)", *(f"N = {count}" for count in COUNTS)]]
    for part in ("encoder", "decoder", "whole frame"):
        cases = (f"{FULL}, 640x480, N = {count}" for count in COUNTS)
        table.append([part, *(report.value("roofline", case, f"{part}: floor over time") for case in cases)])
    return table


def _goals(report: Report) -> Table:
    """What is asked of one H200."""
    car, case, demo = (f"{network}, 640x480, N = 5" for network in (CARS["gpu"], FULL, "demo"))
    return [
        ["one frame, 640x480, from and to host memory", "measured", "goal"],
        ["full-size, N = 5, fp16 (ms)", report.value("clipseg", case, "fp16"), "<= 2.0"],
        ["IoU of fp16 masks with those of fp32", report.of("iou", "clipseg", demo, "fp16"), ">= 0.995"],
        ["8 cameras in a batch, N = 5, fp16 (ms for all)", report.value("growth", case, "8 cameras"), "<= 5.33"],
        ["engine car, N = 5, CRF at half size (ms)", report.value("car", car, "engine, preset voc, CRF at half size"),
         "<= 33"],
        ["engine car over the reference, without CRF", report.ratio("car", car, "engine, preset voc"), ">= 10"],
        ["engine car over the reference, with CRF", report.ratio("car", car, "engine, preset voc, CRF"), ">= 20"],
    ]


TABLES: dict[str, tuple[str, Callable[[Report], Table]]] = {
    "machine": ("settings", _machine),
    "clipseg": ("clipseg", _clipseg),
    "demo": ("clipseg", partial(_clipseg, network="demo")),
    "variants": ("clipseg", _variants),
    "stages": ("clipseg", _stages),
    "memory": ("clipseg", _memory),
    "car": ("car", _car),
    "car_stages": ("car", _car_stages),
    "zegclip": ("zegclip", _zegclip),
    "frames": ("growth", _frames),
    "node": ("node", _node),
    "idle": ("node", _idle),
    "ceilings": ("roofline", _ceilings),
    "roofline": ("roofline", _roofline),
    "goals": ("clipseg", _goals),
}
"""By name: the part of the benchmark that a table needs, and what makes it."""
