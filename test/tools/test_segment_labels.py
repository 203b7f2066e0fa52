# SPDX-License-Identifier: Apache-2.0
"""`segment --labels-out`: label files that other models can be trained with."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from clipseg_ros.__main__ import main
from clipseg_ros.datasets.label_folder import LabelFolder, listed
from clipseg_ros.datasets.labels import table

Label = Callable[..., int]
Capture = pytest.CaptureFixture[str]


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """A folder with three black pictures, white in their upper left quarter, named after their stamps."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    for index in range(3):
        picture = np.zeros((60 + index, 80, 3), np.uint8)
        picture[:30, :40] = 255
        cv2.imwrite(str(folder / f"1700000000.{index}25.jpg"), picture, [cv2.IMWRITE_JPEG_QUALITY, 100])
    return folder


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "labels"


@pytest.fixture
def label(bright_weights: Path, pictures: Path, out: Path) -> Label:
    """Runs the command with the network that finds what is bright."""

    def run(*words: str, query: str = "lamp; sun") -> int:
        common = ["--weights", str(bright_weights), "--device", "cpu", "--option", "side=160"]
        return main(["segment", str(pictures), "--query", query, "--labels-out", str(out), *common, *words])

    return run


def test_every_picture_gets_a_label_file_of_its_name(label: Label, out: Path, capsys: Capture) -> None:
    assert label() == 0
    names = [f"1700000000.{index}25.png" for index in range(3)]
    assert sorted(file.name for file in out.iterdir()) == [*names, "manifest.json", "names.txt"]
    assert (out / "names.txt").read_text() == "background\nlamp\nsun\n"
    for index, name in enumerate(names):
        labels = cv2.imread(str(out / name), cv2.IMREAD_UNCHANGED)
        assert labels.dtype == np.uint8 and labels.shape == (60 + index, 80)
        truth = np.zeros(labels.shape, np.uint8)
        truth[:30, :40] = 1  # both prompts find the same: the earlier one takes it
        assert (labels == truth).mean() > 0.95 and labels.max() == 1
    assert f"written to {out}" in capsys.readouterr().out


def test_the_labels_are_a_data_set_of_this_package(label: Label, out: Path, pictures: Path) -> None:
    assert label() == 0
    classes = tuple((out / "names.txt").read_text().splitlines())
    stems = [path.stem for path in sorted(pictures.iterdir())]
    data = LabelFolder(classes, listed(pictures, out, stems), table({value: value for value in range(len(classes))}))
    assert len(data) == 3 and data.classes[data[0].labels[5, 5]] == "lamp"


def test_run_again_it_makes_only_what_is_missing(label: Label, out: Path, capsys: Capture) -> None:
    assert label() == 0
    times = {path.name: path.stat().st_mtime_ns for path in out.glob("*.png")}
    (out / "1700000000.125.png").unlink()
    capsys.readouterr()
    assert label() == 0
    printed = capsys.readouterr().out
    assert "2 of 3 pictures have their labels from before" in printed and "1 of 1" in printed
    again = {path.name: path.stat().st_mtime_ns for path in out.glob("*.png")}
    assert [name for name, time in times.items() if again[name] != time] == ["1700000000.125.png"]


def test_overlays_can_be_had_beside(label: Label, out: Path, tmp_path: Path) -> None:
    assert label() == 0
    assert label("--out", str(tmp_path / "out")) == 0
    both = (out / "1700000000.025.png", tmp_path / "out" / "1700000000.025_labels.png")
    np.testing.assert_array_equal(*(cv2.imread(str(path), cv2.IMREAD_UNCHANGED) for path in both))
    assert (tmp_path / "out" / "1700000000.225_overlay.png").is_file()


@pytest.mark.parametrize(
    ("words", "query", "message"),
    [
        ([], "lamp; moon", "holds labels with names ['background', 'lamp', 'sun'], not ['background', 'lamp', 'moon']"),
        (["--threshold", "0.7"], "lamp; sun", "holds labels with threshold None, not 0.7"),
        ([], '[{"text": "lamp"}, {"text": "sun", "threshold": 0.5}]', "holds labels with thresholds [None, None]"),
    ],
)
def test_a_folder_of_other_labels_is_refused(
    label: Label, out: Path, capsys: Capture, words: list[str], query: str, message: str
) -> None:
    assert label() == 0
    kept = (out / "manifest.json").read_text()
    assert label(*words, query=query) == 1
    assert f"--labels-out {out}: {message}" in capsys.readouterr().err
    assert (out / "manifest.json").read_text() == kept
    assert json.loads(kept)["engine"] == "clipseg"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["{pictures}", "--query", "a"], "neither --out nor --labels-out"),
        (["{pictures}", "--query", "a", "--labels-out", "{pictures}"], "the pictures lie there; name another folder"),
        (["{video}", "--query", "a", "--labels-out", "labels"], "is no picture (.bmp .jpeg"),
    ],
)
def test_what_cannot_be_labelled_is_said(
    words: list[str], message: str, bright_weights: Path, pictures: Path, tmp_path: Path, capsys: Capture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    video = tmp_path / "clip.mp4"
    video.touch()
    places = [word.replace("{pictures}", str(pictures)).replace("{video}", str(video)) for word in words]
    assert main(["segment", *places, "--weights", str(bright_weights), "--device", "cpu"]) == 1
    assert message in capsys.readouterr().err
    assert not (tmp_path / "labels").exists()
