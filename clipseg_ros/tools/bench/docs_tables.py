# SPDX-License-Identifier: Apache-2.0
"""What the tables of docs/performance.md and the README show of a report: rows of cells, the header first."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from statistics import median

from clipseg_ros.tools.bench import goals, ovseg, stages
from clipseg_ros.tools.bench.car_stages import STAGES as CAR_STAGES
from clipseg_ros.tools.bench.docs_report import PEAK, UNMEASURED, Report
from clipseg_ros.tools.bench.rows import number

SIZES, COUNTS, FULL = {"640x480": goals.VGA, "1280x720": goals.HD}, (1, 5, 20), goals.FULL_SIZE
CARS = {"cpu": "ViT-B/16 + ViT-B/16", "gpu": "ViT-B/16 + ViT-L/14"}
Table = list[list[str]]  # the header first


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
            "fp32, side 240": "`engine_options:=\"side=240\"`, demo two thirds, too",
            "transformers": "transformers, fp32"}
    table = [["640x480 (ms)", *(f"full-size, N = {count}" for count in COUNTS), "demo, N = 5", "IoU"]]
    case = "demo, 640x480, N = 5"
    found = (row["way"] for row in report.rows if row["case"] == case and row["way"].startswith("fp32, side"))
    smaller = next(found, "fp32, side")
    for way, words in ways.items():
        if way == "fp16" and report.kind == "cpu":
            continue
        demo = smaller if "side" in way else way
        cells = [report.value("clipseg", f"{FULL}, 640x480, N = {count}", way) for count in COUNTS]
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
    more = (report.of("value", "zegclip", f"{FULL}, 640x480", f"{way}: 171 classes over 5", " %") for way in ways)
    goal = goals.of_many_classes(FULL, ways[-1])
    return [[*table[0], "goal"], *([*line, ""] for line in table[1:]), ["171 over 5", *more, str(goal)]]


def _ovseg(report: Report) -> Table:
    network = ovseg.NETWORKS[report.kind]
    ways = (ovseg.REFERENCE, ovseg.FAST, ovseg.KNOWN, "engine zegclip")
    table = [[f"{network}, 640x480 (ms)", *ways]]
    for count in ovseg.COUNTS:
        case = f"{network}, 640x480, N = {count}"
        table.append([f"N = {count}", *(report.value("ovseg", case, way) for way in ways)])
        table.append([f"N = {count}, ratio", "", *(report.ratio("ovseg", case, way) for way in ways[1:])])
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


def _short(report: Report) -> Table:
    """For the README."""
    table = [["640x480 (ms)", "measured", "beside"]]
    for network, count in ((FULL, 1), (FULL, 5), (FULL, 20), ("demo", 5)):
        case = f"{network}, 640x480, N = {count}"
        ratio = report.ratio("clipseg", case, "fp32")
        prompts = "1 prompt" if count == 1 else f"{count} prompts"
        table.append([f"CLIPSeg, {network}, {prompts}", report.value("clipseg", case, "fp32"),
                      f"transformers takes {ratio}"])
    car, network = f"{CARS[report.kind]}, 640x480, N = 5", ovseg.NETWORKS[report.kind]
    case, two_stages = f"{FULL}, 640x480, N = 171", f"{network}, 640x480, N = 171"
    ours = "engine, preset voc, CRF"
    return [
        *table,
        [f"CLIP as RNN, {CARS[report.kind]}, 5 queries, CRF", report.value("car", car, ours),
         f"the authors' order takes {report.ratio('car', car, ours)}"],
        ["CLIP as RNN, demo, 320x240, 5 queries", report.value("car", "demo, 320x240, N = 5", "engine, preset demo"), ""],
        ["ZegCLIP, 171 classes", report.value("zegclip", case, "engine zegclip, side 512"), ""],
        [f"OVSeg, {network}, 171 classes", report.value("ovseg", two_stages, ovseg.FAST),
         f"the authors' order takes {report.ratio('ovseg', two_stages, ovseg.FAST)}"],
        ["ROS around the engine, stamp to mask at another process", report.value("node", "demo, 640x480", "ROS share"),
         ""],
    ]


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


TABLES: dict[str, tuple[tuple[str, ...], Callable[[Report], Table]]] = {
    "machine": (("settings",), _machine),
    "clipseg": (("clipseg",), _clipseg),
    "demo": (("clipseg",), partial(_clipseg, network="demo")),
    "variants": (("clipseg",), _variants),
    "stages": (("clipseg",), _stages),
    "memory": (("clipseg",), _memory),
    "car": (("car",), _car),
    "car_stages": (("car",), _car_stages),
    "zegclip": (("zegclip",), _zegclip),
    "ovseg": (("ovseg",), _ovseg),
    "frames": (("growth",), _frames),
    "node": (("node",), _node),
    "idle": (("node",), _idle),
    "ceilings": (("roofline",), _ceilings),
    "roofline": (("roofline",), _roofline),
    "short": (("clipseg", "car", "zegclip", "ovseg", "node"), _short),
    "goals": (("clipseg",), _goals),
}
"""By name: the parts of the benchmark that a table needs, and what makes it."""
