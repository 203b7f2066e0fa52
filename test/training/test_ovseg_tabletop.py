# SPDX-License-Identifier: Apache-2.0
"""OVSeg in small: its examples, and the rows of Table 3 in two steps each, from a CLIP to the benchmark."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from clipseg_ros.datasets import IGNORE
from clipseg_ros.evaluation.benchmarks import find
from clipseg_ros.evaluation.ovseg_scenes import NAMES
from clipseg_ros.evaluation.passes import Job
from clipseg_ros.models import clip as clip_files
from clipseg_ros.models.weights import InputFormat
from clipseg_ros.training import ovseg_tabletop, ovseg_train
from clipseg_ros.training.ovseg_recipes import RECIPES
from clipseg_ros.training.ovseg_tabletop import SIZE, SceneCutOuts, Scenes, clip_at

FORM = InputFormat(16, np.full(3, 0.5, np.float32), np.full(3, 0.25, np.float32))


@pytest.fixture
def pool() -> np.ndarray:
    """A grey picture with a white square of class 9 and a black dot of class 3; another without objects."""
    pictures = np.full((2, 240, 320, 4), 128, np.uint8)
    pictures[..., 3] = 0
    pictures[0, 80:160, 100:200] = (255, 255, 255, 9)
    pictures[0, 10:12, 10:12] = (0, 0, 0, 3)
    return pictures


def test_pictures_and_labels_are_cut_together(pool: np.ndarray) -> None:
    scenes, shares = Scenes(pool, SIZE), []
    for seed in range(10):
        image, labels = scenes.draw(0, np.random.default_rng(seed))
        assert image.shape == (*SIZE, 3) and labels.shape == SIZE and set(np.unique(labels)) <= {IGNORE, 2, 8}
        assert image[labels == 8].mean() > image[labels == IGNORE].mean() + 50
        shares.append((labels == 8).mean())
    assert len(scenes) == 2 and max(shares) > 1.3 * min(shares)


def test_cut_outs_show_large_objects_and_are_blank_outside(pool: np.ndarray) -> None:
    cut_outs = SceneCutOuts(pool, FORM, 16)
    for seed in range(10):
        pixels, mask, name = cut_outs.draw(0, np.random.default_rng(seed))
        assert name == NAMES[8] and pixels.shape == (3, 16, 16) and mask.shape == (1, 16, 16)
        assert pixels[:, mask[0]].mean() > 1.0 and mask.float().mean() > 0.4
    pixels, mask, name = cut_outs.draw(1, np.random.default_rng(0))  # no object: the whole picture is none of them
    assert name == "" and mask.all()


def test_a_clip_of_another_side_has_its_positions_resized(tiny_weights: Path) -> None:
    whole, small = clip_files.load(tiny_weights, torch.float32), clip_at(tiny_weights, 64)
    tables = [one.vision_model.embeddings.position_embedding.weight for one in (whole, small)]
    patch = whole.config.vision_config.patch_size
    assert len(tables[1]) == 1 + (64 // patch) ** 2 and torch.equal(tables[0][0], tables[1][0])
    same = clip_at(tiny_weights, whole.config.vision_config.image_size).state_dict()
    assert all(torch.allclose(tensor, same[name]) for name, tensor in whole.state_dict().items())


def test_every_row_trains_and_is_measured(
    pool: np.ndarray, tiny_weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ovseg_tabletop, "render_pool", lambda folder, first, count, workers: pool[:1])

    def trained(name: str, clip: Path) -> Path:
        recipe = replace(RECIPES[f"tabletop-ovseg{name}"], clip=str(clip), batch=2)
        recipe = replace(recipe, schedule=replace(recipe.schedule, steps=1))
        return ovseg_train.train(recipe, tmp_path, tmp_path / f"run{name}", "cpu")

    base = trained("", tiny_weights)
    folders = [base, trained("-prompts", base), full := trained("-clip", base), trained("-clip-prompts", full)]
    for index, folder in enumerate(folders):
        job = Job("ovseg", str(folder), tmp_path / f"out{index}", device="cpu", limit=1)
        rows = {row.name: row.values for row in find("tabletop-ovseg").kind.run(job).rows}
        assert len(rows) == 8 and rows["true masks"]["mIoU"] <= rows["perturbed true masks, true classes"]["mIoU"] + 0.5
        assert 0.0 <= rows["proposals, true classes"]["mIoU"] <= 1.0
    assert find("tabletop-ovseg").kind.run(replace(job, rank=1)) is None
