# SPDX-License-Identifier: Apache-2.0
"""`python -m clipseg_ros train RECIPE --out DIR`: train a model; run again, it goes on where it stopped.

`--list` shows the recipes. With `torchrun --nproc-per-node N -m clipseg_ros train ...` N processes share every batch.
"""

from __future__ import annotations

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command line."""
    add = parser.add_argument
    add("recipe", nargs="?", help="one of --list, such as demo")
    add("--list", action="store_true", help="show every recipe and stop")
    add("--root", type=Path, help="folder of the data set; the demo recipes render their own scenes")
    add("--out", type=Path, help="folder of checkpoints and logs (default: build/train; the demo recipes share it)")
    add("--device", default="auto", help="auto, cpu, cuda or cuda:N (default: %(default)s)")


def run(args: argparse.Namespace) -> int:
    """Train and print where the weights are. Raises ValueError, DatasetError, WeightsError, DeviceError."""
    from clipseg_ros.training import published, recipes

    if args.list:
        print(listing())
        return 0
    if args.recipe in recipes.RECIPES:
        from clipseg_ros.training.train import train

        folder = train(args.recipe, recipes.RECIPES[args.recipe], args.out or Path("build/train"), args.device)
        print((folder / "README.md").read_text())
    elif args.recipe in published.RECIPES:
        if args.root is None:
            raise ValueError(f"--root: recipe {args.recipe} reads a data set; name its folder")
        out = args.out or Path("build/train") / args.recipe
        folder = published.train(published.RECIPES[args.recipe], args.root, out, args.device)
    else:
        raise ValueError(f"recipe {args.recipe!r}: `train --list` shows the names")
    print(f"weights: {folder}")
    return 0


def listing() -> str:
    """A line a recipe: its name and what it makes."""
    from clipseg_ros.training import published, recipes

    lines = [f"{name}  ({one.engine} on rendered tabletop scenes)" for name, one in recipes.RECIPES.items()]
    return "\n".join([*lines, *(f"{name}  ({one.about})" for name, one in published.RECIPES.items())])
