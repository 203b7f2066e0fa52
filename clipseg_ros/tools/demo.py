# SPDX-License-Identifier: Apache-2.0
"""`demo --out DIR`: camera, node and client as three processes over ROS 2, on scenes that no training has seen.

Writes, in DIR:
    sheet.png    a row a query: frames with what the node marked (see demo_sheet)
    report.json  {"rmw": ..., "queries": [{"text", "kind", "frames", "iou", "false_positive_rate"}],
                  "latency_ms": {"p50", "p99"}, "frames": {"camera", "segmented"}}
    log/         the queries (see demo_queries), and what each process said
kind: object, colour, attribute, part, affordance or absent. iou: of the pixels added over the frames that show at least
100 target pixels, null for absent ones. false_positive_rate: the share of frames with more than 0.5 % of the pixels
marked, null for the others. latency: from the image's stamp to the mask's arrival at the client. frames: those that the
camera took while a query was active, and of them those that the node segmented.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from clipseg_ros.datasets import tabletop
from clipseg_ros.tools import demo_queries, demo_sheet
from clipseg_ros.tools.demo_processes import ProcessFailed, Processes, find_profiles

FIRST_SEED = 50_000_000  # training takes seeds below 10 000 000
LIMIT = 300.0  # seconds

PARTS = ("images", "labels", "truths")  # of a row of the sheet, as the client names them

Queries = Sequence[tuple[str, str]]  # text, kind


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command line."""
    parser.add_argument("--out", type=Path, default=Path("build/demo"), help="folder to write to (%(default)s)")
    parser.add_argument("--weights", default="demo", help="what the node loads (%(default)s)")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N (%(default)s)")
    parser.add_argument("--scenes", type=int, default=16, help="each is one frame of a query (%(default)s)")
    parser.add_argument("--rate", type=float, default=7.0, help="frames per second (%(default)s)")


def run(args: argparse.Namespace) -> int:
    """Ask everything and print the table; 1 where a process failed. Raises ValueError, OSError."""
    if args.scenes < 1:
        raise ValueError(f"--scenes {args.scenes}: expected at least 1")
    began = time.monotonic()
    scenes = [tabletop.compose(FIRST_SEED + index) for index in range(args.scenes)]
    queries = demo_queries.choose([[(thing.kind, thing.colour) for thing in scene.objects] for scene in scenes])
    logs = args.out / "log"
    logs.mkdir(parents=True, exist_ok=True)
    (logs / "queries.json").write_text(json.dumps(queries, indent=1))
    try:
        with Processes(logs) as processes:
            announce(len(queries), args.scenes, args.rate, processes.domain)
            start(processes, args)
            processes.wait_for("client", LIMIT)
            processes.end()
    except ProcessFailed as error:
        print(f"demo: error: {error}", file=sys.stderr)
        return 1
    report = json.loads((args.out / "report.json").read_text())
    about = f"weights {Path(args.weights).name}; {args.scenes} scenes that no training has seen"
    write_sheet(args.out, report, queries, about)
    print(table(report))
    print(f"{args.out / 'sheet.png'}, {args.out / 'report.json'}: {time.monotonic() - began:.0f} s")
    return 0


def announce(queries: int, frames: int, rate: float, domain: int) -> None:
    """What is about to happen, and what may spoil it."""
    seconds = queries * frames / rate
    print(f"{queries} queries of {frames} frames on ROS_DOMAIN_ID={domain}: {seconds:.0f} s and the start", flush=True)
    if find_profiles() is None:
        print("config/fastdds_large_images.xml is not installed: without it images may get lost")


def start(processes: Processes, args: argparse.Namespace) -> None:
    """The three programs, each as a user would start it."""
    camera = {"seed": FIRST_SEED, "scenes": args.scenes, "frames_per_scene": 1, "rate": args.rate}
    node = {"weights": args.weights, "device": args.device, "image_qos": "reliable"}
    image = ["-r", "image:=camera/color/image_raw"]
    client = ["--queries", str(args.out / "log" / "queries.json"), "--frames", str(args.scenes), "--out", str(args.out)]
    processes.start("node", ["clipseg_ros.ros.node", *_ros_arguments(node), *image], max(1, (os.cpu_count() or 1) - 1))
    processes.start("camera", ["clipseg_ros.ros.camera", *_ros_arguments(camera)])
    processes.start("client", ["clipseg_ros.ros.client", *client])


def write_sheet(out: Path, report: dict, queries: Queries, about: str) -> None:
    """sheet.png, from the frames that the client left in shown.npz, which goes."""
    rows = {(row["text"], row["kind"]): row for row in report["queries"]}
    with np.load(out / "shown.npz") as shown:
        sheet = demo_sheet.draw("clipseg_ros: words in, masks out", f"{about}; {summary(report)}", [
            demo_sheet.Row(text, kind, result(rows.get((text, kind))), *(shown[f"{part}_{place}"] for part in PARTS))
            for place, (text, kind) in enumerate(queries)
        ])
    (out / "shown.npz").unlink()
    if not cv2.imwrite(str(out / "sheet.png"), cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR)):
        raise OSError(f"cannot write {out / 'sheet.png'}")


def result(row: dict | None) -> str:
    """The number of a row of the report in words; nothing for a query that is not scored."""
    if row is None:
        return ""
    if row["frames"] == 0:
        return "no frame to score"
    if row["kind"] == "absent":
        return f"false alarms {100 * row['false_positive_rate']:.0f} %"
    return f"IoU {row['iou']:.2f}"


def summary(report: dict) -> str:
    """Latency and frames in words."""
    latency, frames = report["latency_ms"], report["frames"]
    counted = f"{frames['segmented']} of {frames['camera']} frames segmented"
    if latency["p50"] is None:
        return counted
    return f"latency {latency['p50']:.0f} ms, 99 % within {latency['p99']:.0f} ms; {counted}"


def table(report: dict) -> str:
    """The report for a terminal."""
    width = max(len(row["text"]) for row in report["queries"])
    lines = [f"{'query':{width}}  {'kind':10}  frames   IoU  false positives"]
    for row in report["queries"]:
        iou = "" if row["iou"] is None else f"{row['iou']:.2f}"
        rate = "" if row["false_positive_rate"] is None else f"{row['false_positive_rate']:.2f}"
        lines.append(f"{row['text']:{width}}  {row['kind']:10}  {row['frames']:6}  {iou:>4}  {rate:>15}")
    return "\n".join([*lines, f"{report['rmw']}: {summary(report)}"])


def _ros_arguments(parameters: dict[str, object]) -> list[str]:
    return ["--ros-args", *(word for name, value in parameters.items() for word in ("-p", f"{name}:={value}"))]
