# SPDX-License-Identifier: Apache-2.0
"""`python -m clipseg_ros train RECIPE --out DIR`: train a model; run again, it goes on where it stopped."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """RECIPE, --out and --device."""
    parser.add_argument("recipe", help="name of a recipe of clipseg_ros.training.recipes, such as demo")
    parser.add_argument(
        "--out", type=Path, required=True, help="folder of scenes, checkpoint and log; the weights go to OUT/model"
    )
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N (default: auto)")


def run(args: argparse.Namespace) -> int:
    """Train and print where the weights are. Raises ValueError for an unknown recipe."""
    from clipseg_ros.training.recipes import RECIPES
    from clipseg_ros.training.train import train

    if args.recipe not in RECIPES:
        raise ValueError(f"recipe {args.recipe!r}: expected one of {', '.join(RECIPES)}")
    folder = train(args.recipe, RECIPES[args.recipe], args.out, args.device)
    print((folder / "README.md").read_text())
    print(f"weights: {folder}")
    return 0
