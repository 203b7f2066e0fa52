# SPDX-License-Identifier: Apache-2.0
"""`evaluate` from the command line to the tables: PhraseCut in miniature and a network that finds what is bright."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from clipseg_ros.__main__ import main
from clipseg_ros.evaluation.benchmarks import BENCHMARKS
from clipseg_ros.tools.evaluate import device_of

Evaluate = Callable[..., int]
Capture = pytest.CaptureFixture[str]
SIDE = 176
BOX = [44, 88, 132, 176]  # left, top, right, bottom of what is white


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """PhraseCut with five pictures, each with a white box; the phrase of the last one means the other half."""
    folder = tmp_path / "VGPhraseCut_v0"
    (folder / "images").mkdir(parents=True)
    tasks = []
    for number in range(5):
        picture = Image.new("RGB", (SIDE, SIDE))
        picture.paste((255, 255, 255), tuple(BOX))
        picture.save(folder / "images" / f"{number}.jpg", quality=100)
        left, top, right, bottom = BOX if number < 4 else [0, 0, SIDE, 88]
        polygon = [[left, top], [right - 1, top], [right - 1, bottom - 1], [left, bottom - 1]]
        tasks.append({"task_id": f"{number}__0", "image_id": number, "phrase": "lamp", "Polygons": [[polygon]]})
    sizes = [{"image_id": number, "width": SIDE, "height": SIDE, "split": "test"} for number in range(5)]
    (folder / "image_data_split.json").write_text(json.dumps(sizes))
    (folder / "refer_test.json").write_text(json.dumps(tasks))
    return folder


@pytest.fixture
def words(bright_weights: Path, root: Path, tmp_path: Path) -> list[str]:
    """What every call says after the benchmark's name."""
    return ["--weights", str(bright_weights), "--device", "cpu", "--root", str(root), "--out", str(tmp_path / "out")]


def test_the_list_names_every_benchmark_with_source_and_root(capsys: Capture) -> None:
    assert main(["evaluate", "--list"]) == 0
    listed = capsys.readouterr().out
    assert all(f"{name}  ({each.source})\n" in listed for name, each in BENCHMARKS.items())
    assert "--root: VGPhraseCut_v0\n" in listed


def test_a_run_prints_and_writes_its_table(words: list[str], tmp_path: Path, capsys: Capture) -> None:
    assert main(["evaluate", "phrasecut", *words, "--option", f"side={SIDE}"]) == 0
    printed, out = capsys.readouterr().out, tmp_path / "out"
    table = (out / "table.txt").read_text()
    assert table in printed and f"written to {out}" in printed
    assert "CLIPSeg (PC+)" in table and "5 samples" in table
    row = json.loads((out / "results.json").read_text())["rows"][0]
    assert row["name"] == "ours" and row["values"]["mIoU"] == pytest.approx(4 / 5, abs=0.02)
    assert row["values"]["IoU_FG"] == pytest.approx(4 / 7, abs=0.02)  # the fifth finds one box, misses two
    assert len(list((out / "predictions").rglob("*.npz"))) == 5
    assert not (out / "per_class.csv").exists()


def test_a_run_is_scored_again_at_another_threshold_without_new_predictions(
    words: list[str], tmp_path: Path
) -> None:
    table = tmp_path / "out" / "table.txt"
    assert main(["evaluate", "clipseg-phrasecut", *words]) == 0
    assert table.read_text().count("0.30") > 2
    times = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*.npz")}
    assert main(["evaluate", "clipseg-phrasecut", *words, "--threshold", "0.9"]) == 0
    assert "0.90" in table.read_text()
    assert times == {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*.npz")}


def test_predictions_of_other_options_are_refused(words: list[str], capsys: Capture) -> None:
    assert main(["evaluate", "phrasecut", *words, "--limit", "1"]) == 0
    assert main(["evaluate", "phrasecut", *words, "--limit", "1", "--option", "side=160"]) == 1
    assert "choose another --out, or delete that folder" in capsys.readouterr().err


def test_every_size_of_figure_5_is_a_row(words: list[str], capsys: Capture) -> None:
    assert main(["evaluate", "clipseg-image-size", *words, "--limit", "1"]) == 0
    printed = capsys.readouterr().out
    assert all(f"\n{side} px  " in printed for side in (128, 352, 448))
    assert "1 of 5 samples: a try-out" in printed


def test_supports_of_a_phrase_come_from_other_pictures(words: list[str], capsys: Capture) -> None:
    assert main(["evaluate", "clipseg-ablation-image", *words, "--limit", "2"]) == 0
    assert "left out" not in capsys.readouterr().out


def test_two_processes_share_the_samples_and_one_prints_the_table(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    command = [sys.executable, "-m", "clipseg_ros", "evaluate", "phrasecut", *words]
    environment = {**os.environ, "RANK": "1", "LOCAL_RANK": "1", "WORLD_SIZE": "2"}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as other:
        monkeypatch.setenv("RANK", "0")
        monkeypatch.setenv("WORLD_SIZE", "2")
        assert main(["evaluate", "phrasecut", *words]) == 0
        assert other.communicate(timeout=120) == ("", None) and other.returncode == 0
    assert "\n5 samples\n" in capsys.readouterr().out
    assert len(list((tmp_path / "out" / "predictions").rglob("*.npz"))) == 5


def test_auto_is_the_processs_own_device_under_torchrun(monkeypatch: pytest.MonkeyPatch) -> None:
    assert device_of("auto") == "auto"
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert device_of("cuda:0") == "cuda:0"
    assert device_of("auto") == "cpu" or device_of("auto").startswith("cuda:")


def test_rendered_scenes_need_no_root_and_have_a_folder_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["evaluate", "tabletop", "--weights", "demo", "--device", "cpu", "--limit", "1"]) == 0
    assert (tmp_path / "evaluations" / "tabletop" / "clipseg-demo" / "results.json").exists()
    assert "1 of 500 samples" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ([], "which benchmark?"),
        (["phrasecutt"], "benchmark 'phrasecutt': expected one of"),
        (["phrasecut"], "--root: phrasecut reads VGPhraseCut_v0"),
        (["phrasecut", "--root", "nowhere"], "nowhere/image_data_split.json: not there"),
        (["tabletop", "--engine", "sam"], "engine 'sam': expected one of clipseg"),
        (["tabletop", "--limit", "0"], "--limit 0: expected at least 1"),
    ],
)
def test_what_cannot_be_done_is_said_with_the_remedy(
    wrong: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["evaluate", *wrong]) == 1
    assert message in capsys.readouterr().err
