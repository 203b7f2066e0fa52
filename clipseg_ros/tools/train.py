# SPDX-License-Identifier: Apache-2.0
"""`python -m clipseg_ros train RECIPE --out DIR`: train a model; run again, it goes on where it stopped.

`--list` shows the recipes. With `torchrun --nproc-per-node N -m clipseg_ros train ...` N processes share every batch.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

OUT = Path("build/train")


class Family(NamedTuple):
    """Recipes that are trained alike. about: a recipe in a line. train: recipe, root, out and device to the weights
    folder. root, out: of a recipe whose user names none; a root of None: there must be one."""

    recipes: Mapping[str, Any]
    about: Callable[[Any], str]
    train: Callable[[Any, Path, Path, str], Path]
    root: Callable[[Any], Path | None]
    out: Callable[[str], Path]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command line."""
    add = parser.add_argument
    add("recipe", nargs="?", help="one of --list, such as demo")
    add("--list", action="store_true", help="show every recipe and stop")
    add("--root", type=Path, help=f"folder of the data set; tabletop recipes render their own scenes (into {OUT})")
    add("--out", type=Path, help=f"folder of checkpoints and logs (default: {OUT}/RECIPE; {OUT} for the demo)")
    add("--clip", help="CLIP to train on, a folder or a hub model, where the recipe takes one (default: the recipe's)")
    add("--device", default="auto", help="auto, cpu, cuda or cuda:N (default: %(default)s)")


def run(args: argparse.Namespace) -> int:
    """Train and print where the weights are. Raises ValueError, DatasetError, WeightsError, DeviceError."""
    if args.list:
        print(listing())
        return 0
    for family in families():
        if args.recipe in family.recipes:
            _print(f"weights: {_train(family, args)}")
            return 0
    raise ValueError(f"recipe {args.recipe!r}: `train --list` shows the names")


def listing() -> str:
    """A line a recipe: its name and what it makes."""
    found = ((name, family.about(one)) for family in families() for name, one in family.recipes.items())
    return "\n".join(f"{name}  ({about})" for name, about in found)


def families() -> Iterator[Family]:
    """Every recipe there is; a family is imported when it is its turn."""
    from clipseg_ros.training import recipes

    def train_demo(recipe: recipes.Recipe, root: Path, out: Path, device: str) -> Path:
        from clipseg_ros.training.train import train

        folder = train(recipe, out, device)
        _print((folder / "README.md").read_text())
        return folder

    yield Family(
        recipes.RECIPES, lambda one: f"{one.engine} on rendered tabletop scenes", train_demo, lambda one: OUT,
        lambda name: OUT,
    )
    from clipseg_ros.training import published

    yield _of_papers(published.RECIPES, published.train)
    from clipseg_ros.training import zegclip_recipes, zegclip_train

    yield _of_papers(zegclip_recipes.RECIPES, zegclip_train.train)
    from clipseg_ros.training import ovseg_recipes, ovseg_train

    yield _of_papers(ovseg_recipes.RECIPES, ovseg_train.train)


def _of_papers(recipes: Mapping[str, Any], train: Callable[[Any, Path, Path, str], Path]) -> Family:
    """A paper's recipes, which read a data set, but for those of tabletop scenes."""
    return Family(
        recipes, lambda one: one.about, train, lambda one: OUT if one.name.startswith("tabletop-") else None,
        lambda name: OUT / name,
    )


def _print(text: str) -> None:
    """Once, whatever the number of processes."""
    if os.environ.get("RANK", "0") == "0":
        print(text)


def _train(family: Family, args: argparse.Namespace) -> Path:
    recipe = family.recipes[args.recipe]
    root = args.root or family.root(recipe)
    if root is None:
        raise ValueError(f"--root: recipe {args.recipe} reads a data set; name its folder")
    if args.clip is not None:
        if not hasattr(recipe, "clip"):
            raise ValueError(f"--clip {args.clip}: recipe {args.recipe} takes none")
        recipe = replace(recipe, clip=args.clip)
    return family.train(recipe, root, args.out or family.out(args.recipe), args.device)
