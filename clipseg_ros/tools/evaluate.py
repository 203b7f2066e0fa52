# SPDX-License-Identifier: Apache-2.0
"""`evaluate BENCHMARK --engine NAME --weights W --root DIR`: measure a model and print it beside the papers' numbers.

Predictions are written once, under OUT/predictions; run again, it goes on where it stopped and scores anew. With
`torchrun --nproc-per-node N -m clipseg_ros evaluate ...` N processes share the images. `--list` shows every benchmark.
"""

from __future__ import annotations

import argparse
import logging
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from clipseg_ros import engines
from clipseg_ros.tools.segment import read_options

if TYPE_CHECKING:
    from clipseg_ros.evaluation.benchmark import Benchmark
    from clipseg_ros.evaluation.passes import Job


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command line."""
    add = parser.add_argument
    add("benchmark", nargs="?", help="one of --list")
    add("--list", action="store_true", help="show every benchmark, its source and what --root is, and stop")
    add("--engine", default="clipseg", help=f"{', '.join(engines.ENGINES)} (default: %(default)s)")
    add("--weights", default=engines.DEFAULT_WEIGHTS, help="demo, a folder, or a hub model (default: %(default)s)")
    add("--root", type=Path, help="folder of the data set")
    add("--out", type=Path, help="folder of predictions and tables (default: evaluations/BENCHMARK/ENGINE-WEIGHTS)")
    add("--device", default="auto", help="auto, cpu, cuda or cuda:N (default: %(default)s)")
    add("--precision", default="auto", help="auto, fp32, fp16 or bf16 (default: %(default)s)")
    add("--threshold", type=float, help="of scores for masks: 0.02, 0.04 .. 0.98 (default: the paper's)")
    add("--option", action="append", default=[], metavar="KEY=VALUE", help="of the engine; again for more")
    add("--limit", type=int, metavar="N", help="only the first N samples (of each fold), for a try-out")


def run(args: argparse.Namespace) -> int:
    """Print the list, or the table. Raises ValueError, DatasetError, WeightsError, DeviceError."""
    from clipseg_ros.evaluation.benchmarks import BENCHMARKS, find

    logging.basicConfig(format="%(message)s")
    if args.list:
        print(listing(BENCHMARKS.values()))
        return 0
    if args.benchmark is None:
        raise ValueError("which benchmark? `evaluate --list` shows them")
    benchmark = find(args.benchmark)
    if benchmark.root and args.root is None:
        raise ValueError(f"--root: {benchmark.name} reads {benchmark.root}; name its folder")
    from clipseg_ros.evaluation.evaluate import evaluate

    report = evaluate(benchmark, job_of(args))
    if report is not None:
        print(report.text())
        print(f"written to {folder_of(args)}")
    return 0


def listing(benchmarks: Iterable[Benchmark]) -> str:
    """Two lines a benchmark: its name and source, and what it is of; a third for the root, where it has one."""
    lines = []
    for benchmark in benchmarks:
        lines += [f"{benchmark.name}  ({benchmark.source})", f"    {benchmark.title}"]
        lines += [f"    --root: {benchmark.root}"] if benchmark.root else []
    return "\n".join(lines)


def job_of(args: argparse.Namespace) -> Job:
    """What the words ask for, shared among the processes that torchrun names in the environment."""
    from clipseg_ros.evaluation.passes import Job

    rank, world = (int(os.environ.get(name, default)) for name, default in (("RANK", "0"), ("WORLD_SIZE", "1")))
    return Job(
        engine=args.engine, weights=args.weights, folder=folder_of(args), root=args.root or Path(),
        device=device_of(args.device), precision=args.precision, options=read_options(args.option),
        limit=args.limit, threshold=args.threshold, rank=rank, world=world,
    )


def folder_of(args: argparse.Namespace) -> Path:
    """--out, or a folder of its own for each benchmark, engine and weights."""
    if args.out is not None:
        return args.out
    return Path("evaluations", args.benchmark, re.sub(r"[^\w.-]+", "-", f"{args.engine}-{args.weights}").strip("-"))


def device_of(device: str) -> str:
    """The device that was asked for; under torchrun `auto` is the GPU of this process, where there are some."""
    if device != "auto" or "LOCAL_RANK" not in os.environ:
        return device
    import torch

    count = torch.cuda.device_count()
    return f"cuda:{int(os.environ['LOCAL_RANK']) % count}" if count else "cpu"
