# SPDX-License-Identifier: Apache-2.0
"""`train` from the command line: what it lists, what it refuses, a whole run in small."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from clipseg_ros import engines
from clipseg_ros.__main__ import main
from clipseg_ros.training import ovseg_recipes, published, recipes, zegclip_recipes, zegclip_sources
from clipseg_ros.training.zegclip_views import Views

Capture = pytest.CaptureFixture[str]


def test_the_list_names_every_recipe(capsys: Capture) -> None:
    assert main(["train", "--list"]) == 0
    listed = capsys.readouterr().out
    names = (*recipes.RECIPES, *published.RECIPES, *zegclip_recipes.RECIPES, *ovseg_recipes.RECIPES)
    assert all(f"{name}  (" in listed for name in names)


def test_no_name_stands_for_two_recipes() -> None:
    lists = (recipes.RECIPES, published.RECIPES, zegclip_recipes.RECIPES, ovseg_recipes.RECIPES)
    assert len(set().union(*lists)) == sum(map(len, lists))


@pytest.mark.parametrize(
    ("words", "message"),
    [(["dmeo"], "recipe 'dmeo': `train --list`"), ([], "recipe None: `train --list`"),
     (["clipseg-pc+"], "--root: recipe clipseg-pc+ reads a data set")],
)
def test_what_cannot_be_trained_is_refused(words: list[str], message: str, capsys: Capture) -> None:
    assert main(["train", *words]) == 1
    assert message in capsys.readouterr().err


def test_a_run_prints_its_table_and_where_the_weights_are(tmp_path: Path, capsys: Capture) -> None:
    assert main(["train", "demo-smoke", "--out", str(tmp_path), "--device", "cpu"]) == 0
    printed = capsys.readouterr().out
    assert "| absent | " in printed and f"weights: {tmp_path / 'demo-smoke' / 'model'}" in printed
    assert (tmp_path / "captions" / "curves.png").stat().st_size > 1000


def test_zegclip_is_trained_on_the_clip_that_is_named(
    tiny_weights: Path, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = zegclip_recipes.RECIPES["tabletop-zegclip-dpt-nel-rd-transductive"]
    shape = replace(whole.shape, prompt_layers=(0, 11), hidden=32, side=96)
    schedule = replace(whole.schedule, steps=2, warm_up=1)
    small = replace(whole, shape=shape, batch=2, views=Views(side=48), schedule=schedule, further=schedule)
    monkeypatch.setitem(zegclip_recipes.RECIPES, whole.name, small)
    monkeypatch.setattr(zegclip_sources, "SCENES", 2)
    words = ["--clip", str(tiny_weights), "--root", str(tmp_path), "--out", str(tmp_path / "out"), "--device", "cpu"]
    assert main(["train", whole.name, *words]) == 0
    assert f"weights: {tmp_path / 'out' / 'model'}" in capsys.readouterr().out
    engine = engines.create("zegclip", str(tmp_path / "out" / "model"), "cpu")
    assert engine._templates == ("{}",) and engine._side == 96


def test_a_clip_is_refused_where_the_recipe_makes_its_own(capsys: Capture) -> None:
    assert main(["train", "clipseg-pc", "--root", ".", "--clip", "folder"]) == 1
    assert "--clip folder: recipe clipseg-pc takes none" in capsys.readouterr().err
