# SPDX-License-Identifier: Apache-2.0
"""Whole training runs in small: scenes, all stages, weights folder, engine."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from clipseg_ros import engines
from clipseg_ros.datasets import tabletop
from clipseg_ros.segmentation import Prompt, Support
from clipseg_ros.training import network
from clipseg_ros.training import train as training
from clipseg_ros.training.recipes import RECIPES

SMOKES = [name for name in RECIPES if name.startswith("demo-smoke")]


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    return tmp_path_factory.mktemp("run")


@pytest.fixture(scope="module", params=SMOKES)
def finished(request, out):
    """(recipe's name, weights folder); all recipes share scenes and towers."""
    return request.param, training.train(RECIPES[request.param], out, "cpu")


def test_the_weights_folder_loads_into_the_engine_and_answers_texts_and_supports(finished):
    name, folder = finished
    engine = engines.create(RECIPES[name].engine, str(folder), "cpu")
    view = tabletop.render(tabletop.compose(1), 120, 160)
    example = Support(view.image, view.labels == view.labels.max())
    found = engine.segment(view.image, [Prompt("red mug"), Prompt(support=example), Prompt("mug", example)])
    assert found.scores.shape == (3, 120, 160) and np.isfinite(found.scores).all()
    assert engine.unknown_words("red zebra") == ("zebra",) and engine.threshold == training.THRESHOLD


def test_the_folder_tells_what_made_it_and_what_it_reaches(finished):
    name, folder = finished
    text = (folder / "README.md").read_text()
    assert f"train {name} --out" in text and "| affordance | " in text and "| absent | " in text


def test_supports_are_shown_at_the_side_of_the_object_views(finished):
    name, folder = finished
    assert json.loads((folder / "clipseg_ros.json").read_text())["support_side"] == RECIPES[name].view_side


def test_the_towers_as_captions_left_them_are_kept_for_car_where_masks_changed_them(out, finished):
    name, folder = finished
    assert (folder / "clip").is_dir() == (RECIPES[name].joint is not None)
    if RECIPES[name].joint is not None:
        taught, kept = (one / "model.safetensors" for one in (out / "captions" / "clip", folder / "clip"))
        assert kept.read_bytes() == taught.read_bytes()


def test_a_run_done_again_trains_nothing_and_writes_the_same_bytes(out, finished):
    name, folder = finished
    before = (folder / "model.safetensors").read_bytes()
    log = (out / "captions" / "log.csv").read_text()
    training.train(RECIPES[name], out, "cpu")
    assert (folder / "model.safetensors").read_bytes() == before
    assert (out / "captions" / "log.csv").read_text() == log


def test_two_processes_make_one_folder_of_which_one_tells(tmp_path):
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "-m", "clipseg_ros"]
    words = ["train", "demo-smoke", "--out", str(tmp_path), "--device", "cpu"]
    root = Path(__file__).parents[2]
    ran = subprocess.run([*command, *words], capture_output=True, text=True, timeout=300, cwd=root)
    assert ran.returncode == 0, ran.stderr
    folder = tmp_path / "demo-smoke" / "model"
    assert ran.stdout.count("| absent | ") == 1 and ran.stdout.count(f"weights: {folder}") == 1
    assert engines.create("clipseg", str(folder), "cpu").threshold == training.THRESHOLD
    assert not list(tmp_path.rglob("*.part*"))


def test_a_checkpoint_of_another_recipe_is_refused(out, finished):
    name, _ = finished
    masks = RECIPES[name].masks
    other = replace(RECIPES[name], masks=replace(masks, schedule=replace(masks.schedule, steps=3)))
    with pytest.raises(ValueError, match="another recipe's folder"):
        training.train(other, out, "cpu")


def test_the_towers_of_an_earlier_run_stand_in_for_stage_captions(out, finished, tmp_path):
    name, folder = finished
    clip = out / "captions" / "clip"
    again = training.train(replace(RECIPES[name], clip=str(clip)), tmp_path, "cpu")
    assert not (tmp_path / "captions").exists()
    assert f"train {name} --clip {clip} --out" in (again / "README.md").read_text()
    first, second = (load_file(one / "model.safetensors") for one in (folder, again))
    towers = [key for key in first if key.startswith("clip.")]  # of text alone for vitseg; given, they are float16
    assert towers and all(torch.allclose(first[key].float(), second[key].float(), atol=0.01) for key in towers)


def test_a_clip_with_other_words_is_refused(tiny_weights, tmp_path):
    with pytest.raises(ValueError, match="expected the CLIP of a tabletop recipe"):
        training.train(replace(RECIPES["demo-smoke"], clip=str(tiny_weights)), tmp_path, "cpu")


def test_moved_scores_meet_the_new_threshold_where_they_met_the_old(finished):
    name, folder = finished
    engine = engines.create(RECIPES[name].engine, str(folder), "cpu", presence=False)
    image = tabletop.render(tabletop.compose(1), 96, 128).image
    before = engine.segment(image, [Prompt("mug")]).scores
    old = float(np.median(before))
    network.move_scores(engine._model.network, old, 0.5)
    after = engine.segment(image, [Prompt("mug")]).scores
    near = np.abs(before - old) < 1e-5  # of rounding
    assert near.mean() < 0.5 and np.array_equal((after >= 0.5)[~near], (before >= old)[~near])
