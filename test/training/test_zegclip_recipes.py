# SPDX-License-Identifier: Apache-2.0
"""ZegCLIP's recipes: their numbers, and each of them in small on a miniature VOC, from frozen CLIP to engine."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from clipseg_ros import engines
from clipseg_ros.datasets.class_names import COCO_STUFF171, CONTEXT60, VOC20
from clipseg_ros.datasets.coco import COCO_STUFF_UNSEEN
from clipseg_ros.datasets.context import CONTEXT60_UNSEEN
from clipseg_ros.datasets.voc import VOC20_UNSEEN
from clipseg_ros.evaluation import published
from clipseg_ros.segmentation import Prompt
from clipseg_ros.training import loop, zegclip_recipes, zegclip_student, zegclip_train
from clipseg_ros.training.zegclip_recipes import DESCRIPTORS, DEPTHS, RECIPES, Recipe
from clipseg_ros.training.zegclip_views import Views

SMALL = ("zegclip-voc", "zegclip-voc-st", "zegclip-voc-transductive", "zegclip-voc-full", "zegclip-voc-ft-rd",
         "zegclip-voc-query-product-distance-text", "zegclip-voc-layers-10-12")


@pytest.fixture(scope="session")
def small_voc(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A VOC 2012 of six pictures: a bright square of a class, an unseen one in every second, on background."""
    root, rng = tmp_path_factory.mktemp("voc"), np.random.default_rng(0)
    for folder in ("JPEGImages", "SegmentationClassAug", "ImageSets/Segmentation"):
        (root / folder).mkdir(parents=True)
    names = [f"2007_{number:06}" for number in range(6)]
    for number, name in enumerate(names):
        image, labels = rng.integers(0, 90, (60, 80, 3), np.uint8), np.zeros((60, 80), np.uint8)
        image[10:50, 10:40] += 120
        labels[10:50, 10:40], labels[5:30, 45:75] = 1 + number, 1 + (18 if number % 2 else 3)
        labels[:, 0] = 255
        cv2.imwrite(str(root / "JPEGImages" / f"{name}.jpg"), image)
        cv2.imwrite(str(root / "SegmentationClassAug" / f"{name}.png"), labels)
    (root / "ImageSets" / "Segmentation" / "trainaug.txt").write_text("\n".join(names))
    return root


def small(name: str, clip: Path) -> Recipe:
    """The recipe at 64 pixels on the golden network's CLIP, for four steps."""
    recipe = RECIPES[name]
    schedule = replace(recipe.schedule, steps=4, warm_up=2)
    return replace(
        recipe, clip=str(clip), batch=2, views=Views(side=64), schedule=schedule,
        shape=replace(recipe.shape, heads=4, hidden=32, side=64), further=recipe.further and replace(schedule, steps=2),
    )


@pytest.mark.parametrize("name", SMALL)
def test_a_recipe_trains_a_folder_that_the_engine_loads(
    name: str, tiny_weights: Path, small_voc: Path, tmp_path: Path
) -> None:
    recipe = small(name, tiny_weights)
    folder = zegclip_train.train(recipe, small_voc, tmp_path, "cpu")
    engine = engines.create("zegclip", str(folder), "cpu")
    scores = engine.segment(np.zeros((48, 80, 3), np.uint8), [Prompt("cat"), Prompt("sofa")]).scores
    assert scores.shape == (2, 48, 80) and np.isfinite(scores).all()
    assert engine._side == 64 and engine._templates == ("a photo of a {}",)
    before, after = load_file(tiny_weights / "model.safetensors"), load_file(folder / "model.safetensors")
    same = {key: torch.equal(before[key], after[key]) for key in before if key in after and "position" not in key}
    assert all(same[key] for key in same if "text" in key)
    assert all(equal is not recipe.tower for key, equal in same.items() if "q_proj.weight" in key and "vision" in key)
    assert (tmp_path / "inductive" / "checkpoint.pt").is_file() is (recipe.further is not None)
    assert any(key.startswith("prompts.") for key in after) is bool(recipe.shape.prompt_layers)


@pytest.mark.parametrize("name", ["zegclip-voc-st", "zegclip-voc-transductive"])
def test_a_run_cut_short_ends_bit_for_bit_where_the_whole_one_ends(
    name: str, tiny_weights: Path, small_voc: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, cut, run = tmp_path / "whole", tmp_path / "cut", loop.run
    recipe = small(name, tiny_weights)
    zegclip_train.train(recipe, small_voc, whole, "cpu")
    for stage, step in (("inductive", 1), ("cut", 1)):
        def stopped(task, schedule, out, device, until=None, at=(stage, step)):
            run(task, schedule, out, device, until=at[1] if out.name == at[0] else until)
            if out.name == at[0]:
                raise KeyboardInterrupt

        monkeypatch.setattr(loop, "run", stopped)
        with pytest.raises(KeyboardInterrupt):
            zegclip_train.train(recipe, small_voc, cut, "cpu")
        assert torch.load((cut if stage == "cut" else cut / stage) / "checkpoint.pt", weights_only=True)["step"] == step
    monkeypatch.setattr(loop, "run", run)
    zegclip_train.train(recipe, small_voc, cut, "cpu")
    first, second = (load_file(out / "model" / "model.safetensors") for out in (whole, cut))
    assert all(torch.equal(tensor, second[key]) for key, tensor in first.items())


def test_the_folder_of_another_recipe_is_refused(tiny_weights: Path, tmp_path: Path) -> None:
    (tmp_path / "recipe.txt").write_text("another\n")
    with pytest.raises(ValueError, match="recipe.txt: another recipe's folder; train zegclip-voc into an empty one"):
        zegclip_train.train(small("zegclip-voc", tiny_weights), tmp_path, tmp_path, "cpu")


def test_the_numbers_are_those_of_the_authors_files() -> None:
    """github.com/ZiqinZhou66/ZegCLIP, configs/; Pascal Context's are the paper's."""
    for name, steps, prompts, templates in (
        ("voc", 20_000, 10, "single"), ("coco", 80_000, 100, "multi"), ("context", 40_000, 35, "multi"),
    ):
        rows = [RECIPES[f"zegclip-{name}{end}"] for end in ("", "-st", "-transductive", "-full")]
        assert [row.setting for row in rows] == ["inductive", "self-training", "transductive", "full"]
        assert [row.further.steps if row.further else 0 for row in rows] == [0, steps // 2, steps // 2, 0]
        for row in rows:
            schedule = row.schedule
            assert (schedule.steps, row.shape.prompts, row.templates) == (steps, prompts, templates)
            assert (schedule.learning_rate, schedule.final_rate, schedule.power) == (2e-4, 1e-6, 0.9)
            assert (schedule.warm_up, schedule.warm_up_from, schedule.weight_decay) == (1500, 1e-6, 0.01)
            assert (schedule.clip, schedule.amp, row.batch, row.views) == (0.0, False, 16, Views())
            assert (row.loss, row.shape.descriptor) == ("focal+dice", "t*g,t")
            assert row.shape.prompt_layers == tuple(range(12))


def test_every_row_of_the_ablations_has_a_recipe() -> None:
    rows = {number: [row for row, _ in published.table("zegclip", f"table{number}").rows] for number in (4, 5, 6, 8, 9)}
    assert len(rows[4]) == len(DESCRIPTORS) + 1  # the published one
    for data in ("VOC", "COCO"):
        title = f"zegclip-{data.lower()}"
        told = {one.about.removesuffix(", of Table 5") for name, one in RECIPES.items() if name.startswith(title)}
        assert set(rows[5][:-1]) <= told
    for row in rows[6]:
        assert (f"zegclip-{row.split()[0].lower()}{'-binary' if 'plain' in row else ''}") in RECIPES
    spans = {f"{first}-{last}" if last > first else str(first) for first, last in DEPTHS}
    assert spans | {"1-12"} == set(rows[8])
    assert RECIPES["zegclip-voc-layers-7-12"].shape.prompt_layers == (6, 7, 8, 9, 10, 11)
    for row in rows[9]:
        assert (f"zegclip-{row.split()[0].lower()}{'-single' if 'single' in row else ''}") in RECIPES
    assert RECIPES["zegclip-coco-prompts-10"].shape.prompts == 10 and "zegclip-voc-prompts-10" not in RECIPES


def test_designs_differ_by_what_table_5_names() -> None:
    fix, ft, dpt = (RECIPES[f"zegclip-coco-{tower}"] for tower in ("fix", "ft", "dpt"))
    assert (fix.loss, fix.shape.descriptor, fix.shape.prompt_layers, fix.tower) == ("exclusive", "t", (), False)
    assert replace(ft, name=fix.name, about=fix.about, tower=False) == fix and ft.tower
    assert dpt.shape.prompts == 100 and len(dpt.shape.prompt_layers) == 12 and not dpt.tower
    assert RECIPES["zegclip-voc-ft-nel-rd"].about == "Baseline-FT + NEL + RD, of Table 5"
    last = zegclip_recipes.designed(zegclip_recipes.VOC, "DPT", "-nel-rd", "")
    assert replace(last, name="zegclip-voc", about=RECIPES["zegclip-voc"].about) == RECIPES["zegclip-voc"]


def test_the_guide_has_the_recipes_numbers_and_names_none_that_is_not_there() -> None:
    guide = (Path(__file__).parents[2] / "docs" / "zegclip.md").read_text()
    sizes = {"zegclip-voc": (VOC20, VOC20_UNSEEN), "zegclip-coco": (COCO_STUFF171, COCO_STUFF_UNSEEN),
             "zegclip-context": (CONTEXT60, CONTEXT60_UNSEEN)}
    rows = [[cell.strip() for cell in line.split("|")[2:-1]] for line in guide.splitlines() if "| zegclip-" in line]
    assert {row[0] for row in rows} == set(sizes)
    for name, *cells in rows:
        recipe, own = RECIPES[name], RECIPES[f"{name}-transductive"]
        assert cells == [
            str(recipe.schedule.steps), f"{own.schedule.steps // 2} + {own.further.steps}", str(recipe.shape.prompts),
            recipe.templates, *(str(len(each)) for each in sizes[name]),
        ]
    for end in re.findall(r"`(-[a-z][a-z0-9-]*)`", guide):
        assert any(name.endswith(end) for name in RECIPES), end
    told = {cells[1].strip(): cells[2].strip() for cells in (line.split("|") for line in guide.splitlines())
            if len(cells) > 2 and cells[1].startswith(" tabletop-")}
    own = {name: recipe for name, recipe in RECIPES.items() if name.startswith("tabletop-")}
    assert told.keys() == own.keys()
    assert all(own[name].about.startswith((row, "Baseline-DPT + NEL + RD")) for name, row in told.items())


def test_a_tower_that_learns_on_scenes_has_a_tenth_of_the_rate(tiny_weights: Path) -> None:
    recipe = RECIPES["tabletop-zegclip-ft"]
    shape = replace(recipe.shape, hidden=32, side=64)
    names = [name for name, _ in zegclip_student.build(
        str(tiny_weights), shape, recipe.tower, recipe.templates, 0
    ).learned.named_parameters()]
    ((pattern, rate, decay),) = recipe.schedule.groups
    slow = {name.split(".")[0] for name in names if re.search(pattern, name)}
    assert slow == {"vision", "projection"} and (rate, decay) == (0.1, 1.0)
    assert {name.split(".")[0] for name in names} == {*slow, "decoder"}
