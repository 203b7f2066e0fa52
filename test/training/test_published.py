# SPDX-License-Identifier: Apache-2.0
"""The published recipes: their numbers, and each of them run in small, from frozen CLIP to engine."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import load_file

from clipseg_ros import engines
from clipseg_ros.segmentation import Prompt
from clipseg_ros.training import log, published
from clipseg_ros.training.published import RECIPES, Recipe
from clipseg_ros.training.segment_task import Sampling

# Folds differ by their examples alone.
SMOKED = [name for name in RECIPES if "fold" not in name and not name.endswith(("1", "2", "3")) or "layer3" in name]


def small(recipe: Recipe, clip: Path, blobs: type, steps: int = 2) -> Recipe:
    """The recipe on examples of 64 pixels and the golden network's CLIP, for two steps."""
    return replace(
        recipe, source=f"{blobs.__module__}:source", sampling=Sampling(batch=2),
        architecture=replace(recipe.architecture, clip=str(clip), backbone=str(clip), side=64),
        schedule=replace(recipe.schedule, steps=steps),
    )


@pytest.mark.parametrize("name", SMOKED)
def test_every_recipe_trains_a_folder_that_its_engine_loads(
    name: str, tiny_weights: Path, blobs: type, tmp_path: Path
) -> None:
    recipe = small(RECIPES[name], tiny_weights, blobs)
    folder = published.train(recipe, tmp_path, tmp_path / "out", "cpu")
    engine = engines.create(recipe.architecture.engine, str(folder), "cpu")
    found = engine.segment(np.zeros((48, 80, 3), np.uint8), [Prompt("red cup"), Prompt("a jar")])
    assert found.scores.shape == (2, 48, 80) and np.isfinite(found.scores).all()
    assert engine.threshold == recipe.threshold and engine.unknown_words("anything") == ()
    assert engine._model.extract_layers == recipe.architecture.extract_layers and engine._side == 64
    assert len(log.read(tmp_path / "out" / "log.csv")) == 2 and (tmp_path / "out" / "curves.png").is_file()


def test_a_run_is_validated_where_the_recipe_says_so(tiny_weights: Path, blobs: type, tmp_path: Path) -> None:
    recipe = replace(small(RECIPES["clipseg-pc+"], tiny_weights, blobs), validation=2)
    published.train(recipe, tmp_path, tmp_path / "out", "cpu")
    ((step, iou),) = log.read(tmp_path / "out" / "validation.csv")
    assert step == 1 and 0.0 <= iou <= 1.0


def test_the_folder_of_another_recipe_is_refused(tiny_weights: Path, blobs: type, tmp_path: Path) -> None:
    first, other = (small(RECIPES[name], tiny_weights, blobs) for name in ("clipseg-pc", "clipseg-pc+"))
    published.train(first, tmp_path, tmp_path / "out", "cpu")
    before = load_file(tmp_path / "out" / "model" / "model.safetensors")
    with pytest.raises(ValueError, match=r"recipe.txt: another recipe's folder; train clipseg-pc\+ into an empty one"):
        published.train(other, tmp_path, tmp_path / "out", "cpu")
    published.train(first, tmp_path, tmp_path / "out", "cpu")
    after = load_file(tmp_path / "out" / "model" / "model.safetensors")
    assert all((tensor == after[name]).all() for name, tensor in before.items())


def test_the_numbers_are_those_of_the_authors_files() -> None:
    """github.com/timojl/clipseg, experiments/phrasecut.yaml, pascal_1shot.yaml and coco.yaml."""
    steps = {"clipseg-pc+": 20_000, "clipseg-refined": 50_000, "clipseg-coco+n": 7_000}
    assert {name: RECIPES[name].schedule.steps for name in steps} == steps
    rates = {"clipseg-pc": 1e-3, "vitseg": 1e-4, "vitseg-pc+": 3e-4, "clipseg-pc+-no-pretraining": 3e-4}
    assert {name: RECIPES[name].schedule.learning_rate for name in rates} == rates
    negatives = {"clipseg-pc+": 0.2, "clipseg-pc": 0.2, "clipseg-pc-d128": 0.0, "clip-deconv": 0.0, "vitseg": 0.0,
                 "vitseg-pc+": 0.2, "clipseg-coco": 0.0, "clipseg-coco+n": 0.2, "clipseg-pc-pascal2": 0.0}
    assert {name: RECIPES[name].drawing.negatives for name in negatives} == negatives
    mixed = {"clipseg-pc+": (0.0, 0.5), "clipseg-pc-pascal2": (0.0, 1.0), "clipseg-coco": (0.0, 1.0),
             "vitseg-pascal1": (0.0, 0.5), "vitseg-pc+": (0.0, 0.0)}
    assert {name: RECIPES[name].drawing.text_weight for name in mixed} == mixed
    sizes = {"clipseg-pc+": 64, "clipseg-pc-d128": 128, "clipseg-pc+-d16": 16}
    assert {name: RECIPES[name].architecture.reduce_dim for name in sizes} == sizes
    for recipe in RECIPES.values():
        assert (recipe.sampling.batch, recipe.schedule.final_rate, recipe.schedule.weight_decay) == (64, 1e-4, 0.01)
        assert recipe.drawing.side == recipe.architecture.side == (384 if "vitseg" in recipe.name else 352)


def test_folds_and_unseen_pairs_have_recipes_of_their_own() -> None:
    assert {RECIPES[f"clipseg-pc+-pascal{fold}"].without for fold in range(4)} == {f"pascal {i}" for i in range(4)}
    assert RECIPES["clipseg-pc+-unseen10"].without == "pairs 5" and RECIPES["clipseg-pc+-unseen4"].without == "pairs 2"
    assert [RECIPES[f"clipseg-coco{end}"].fold for end in ("", "-fold1", "-fold2", "-fold3")] == [0, 1, 2, 3]
    assert all(recipe.about.endswith(f"-{recipe.fold}: Table 6") for name, recipe in RECIPES.items() if "coco" in name)
