# SPDX-License-Identifier: Apache-2.0
"""`download MODEL`: copy a model of the Hugging Face hub into the local cache, where every later start finds it."""

from __future__ import annotations

import argparse

from clipseg_ros.engines import DEFAULT_WEIGHTS


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command line."""
    parser.add_argument("model", nargs="?", default=DEFAULT_WEIGHTS, help="name on the hub (default: %(default)s)")


def run(args: argparse.Namespace) -> int:
    """Download, or complete what an interrupted download left. Raises WeightsError."""
    from clipseg_ros.models import hub

    folder = hub.download(args.model)
    size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    print(f"{args.model}: {size / 1e6:.0f} MB in {folder}")
    return 0
