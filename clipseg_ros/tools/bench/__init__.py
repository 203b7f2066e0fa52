# SPDX-License-Identifier: Apache-2.0
"""`bench`: how fast, beside what a user would write, where the time goes, and how near the device's limits.

    clipseg   engine clipseg beside transformers: times, stages, agreement of masks, memory
    car       engine car beside CLIP as RNN in the order of its authors' code
    zegclip   engine zegclip beside engine clipseg, up to the 171 classes of COCO-Stuff
    ovseg     engine ovseg at both speeds and in a video, beside engine zegclip
    growth    what more prompts, pixels, cameras, steps and frames cost; also drawn
    node      what ROS adds, age of the images, cost of an idle node; needs ROS 2
    roofline  with --roofline: operations and bytes over what the device can do

Ways that are compared take turns, after a warm-up, on the same frames and with the same number of threads; numbers are
medians with their quartiles, of as many runs as the table says. Beside each time stands that of a product of two
1024 x 1024 matrices on the same device (see evaluation.speed), taken in the same minutes. Networks are made here, of
published size with random weights, so nothing is downloaded. Every row is told and written as JSON when it is known;
the table comes at the end, and with --docs the tables of docs/performance.md.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from clipseg_ros.tools.bench.rows import Row, report, table
from clipseg_ros.tools.demo_processes import ProcessFailed

if TYPE_CHECKING:
    from clipseg_ros.tools.bench.setting import Setting

PARTS = ("clipseg", "car", "zegclip", "ovseg", "growth", "node")
CLASSIFIERS = ("ViT-B/16", "ViT-L/14")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command line."""
    add = parser.add_argument
    add("--only", nargs="*", choices=PARTS, default=PARTS, metavar="PART", help=f"{', '.join(PARTS)} (default: all)")
    add("--roofline", action="store_true", help="also state the floor of the device, and how near it is")
    add("--device", default="auto", help="auto, cpu, cuda or cuda:N (default: %(default)s)")
    add("--threads", type=int, default=0, help="for arithmetic; 0: the libraries' choice (default: %(default)s)")
    add("--classifier", choices=CLASSIFIERS, default=CLASSIFIERS[0],
        help="the CLIP that judges in part car; ViT-L/14, the paper's, takes five times as long (default: %(default)s)")
    add("--quick", action="store_true", help="a tiny version of everything, whose numbers mean nothing")
    add("--out", type=Path, default=Path("build/bench.json"), help="file to write (default: %(default)s)")
    add("--docs", type=Path, nargs="+", default=(), metavar="FILE",
        help="docs/performance.md, README.md: fill their tables; with --only and no part: from the file of --out as it is")
    add("--plots", type=Path, metavar="FOLDER", help="for growth.png of part growth (default: that of --out)")


def run(args: argparse.Namespace) -> int:
    """Measure, print and write; 1 where a process of part node failed. Raises ValueError, OSError, WeightsError,
    DeviceError."""
    if args.threads < 0:
        raise ValueError(f"--threads {args.threads}: expected 0 or more")
    parts = [*args.only, *(["roofline"] if args.roofline else [])]
    if not parts and args.docs:
        _fill(args.docs, args.out)
        return 0
    if not parts:
        raise ValueError(f"--only without a part: expected some of {', '.join(PARTS)}, --roofline or --docs")
    args.out.parent.mkdir(parents=True, exist_ok=True)
    began, failure = time.monotonic(), ""
    rows: list[Row] = []
    with _setting(args) as given:
        settings = given.machine()
        try:
            for row in _measured(parts, given):
                rows.append(row)
                seconds = round(time.monotonic() - began)
                args.out.write_text(report({**settings, "seconds": seconds}, rows))  # what is known survives an end
                print(f"{seconds:6} s  {row.part}: {row.case}: {row.way}", flush=True)
        except ProcessFailed as error:
            failure = f"bench: error: {error}"
    if "growth" in args.only:
        _draw(rows, args.plots or args.out.parent)
    if args.docs:
        _fill(args.docs, args.out)
    print(table(rows))
    print(f"\n{', '.join(f'{name} {value}' for name, value in settings.items())}\n{args.out}")
    print(failure, end="\n" if failure else "", file=sys.stderr)
    return 1 if failure else 0


def _fill(pages: Sequence[Path], report_file: Path) -> None:
    from clipseg_ros.tools.bench import docs

    for page in pages:
        docs.write(page, report_file)


def _draw(rows: list[Row], folder: Path) -> None:
    from clipseg_ros.tools.bench import growth

    folder.mkdir(parents=True, exist_ok=True)
    growth.draw(rows, folder / "growth.png")


@contextmanager
def _setting(args: argparse.Namespace) -> Iterator[Setting]:
    """With threads set and a folder for what is made; both end with it. Raises DeviceError."""
    from clipseg_ros.engines.devices import find_device
    from clipseg_ros.tools.bench import setting

    with tempfile.TemporaryDirectory(prefix="clipseg_ros_bench_") as folder, setting.threads(args.threads):
        yield setting.Setting(str(find_device(args.device)), args.quick, Path(folder), args.classifier)


def _measured(parts: list[str], given: Setting) -> Iterator[Row]:
    for part in parts:
        yield from import_module(f"clipseg_ros.tools.bench.{part}").measure(given)
