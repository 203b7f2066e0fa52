# SPDX-License-Identifier: Apache-2.0
"""`train` from the command line: what it lists, what it refuses, a whole run in small."""

from __future__ import annotations

from pathlib import Path

import pytest

from clipseg_ros.__main__ import main
from clipseg_ros.training import published, recipes

Capture = pytest.CaptureFixture[str]


def test_the_list_names_every_recipe(capsys: Capture) -> None:
    assert main(["train", "--list"]) == 0
    listed = capsys.readouterr().out
    assert all(f"{name}  (" in listed for name in (*recipes.RECIPES, *published.RECIPES))


def test_no_name_stands_for_two_recipes() -> None:
    assert not set(recipes.RECIPES) & set(published.RECIPES)


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
