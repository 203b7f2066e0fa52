# SPDX-License-Identifier: Apache-2.0
"""`segment` on pictures, folders and videos: what it writes, says and refuses."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from clipseg_ros.__main__ import main
from clipseg_ros.masks import PALETTE

Segment = Callable[..., int]
Capture = pytest.CaptureFixture[str]


def bright_corner(height: int = 60, width: int = 80) -> np.ndarray:
    """A black picture, white in its upper left quarter."""
    picture = np.zeros((height, width, 3), np.uint8)
    picture[: height // 2, : width // 2] = 255
    return picture


@pytest.fixture
def segment(bright_weights: Path, tmp_path: Path) -> Segment:
    """Runs the command with the network that finds what is bright."""

    def run(source: Path, *words: str, query: str = "lamp") -> int:
        common = [
            "--out",
            str(tmp_path / "out"),
            "--weights",
            str(bright_weights),
            "--device",
            "cpu",
            "--option",
            "side=160",
        ]
        return main(["segment", str(source), "--query", query, *common, *words])

    return run


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "corner.png"
    cv2.imwrite(str(path), bright_corner())
    return path


@pytest.fixture
def video(tmp_path: Path) -> Path:
    """Three frames: bright corner, black, bright corner."""
    path = tmp_path / "clip.mp4"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 10.0, (80, 60))
    for frame in (bright_corner(), np.zeros((60, 80, 3), np.uint8), bright_corner()):
        writer.write(frame)
    writer.release()
    return path


def read(path: Path) -> np.ndarray:
    return cv2.imread(str(path), cv2.IMREAD_UNCHANGED)


def test_a_picture_gives_labels_masks_scores_and_an_overlay(segment: Segment, picture: Path, out: Path) -> None:
    assert segment(picture, query='red lamp; [x] ☕; {"a"}') == 0
    names = [f"corner_{kind}_{name}.png" for kind in ("mask", "score") for name in ("1_red-lamp", "2_x", "3_a")]
    assert sorted(file.name for file in out.iterdir()) == sorted(["corner_labels.png", "corner_overlay.png", *names])
    truth = bright_corner()[..., 0]
    labels, mask, score = (
        read(out / f"corner_{name}.png") for name in ("labels", "mask_1_red-lamp", "score_1_red-lamp")
    )
    assert labels.dtype == mask.dtype == np.uint8 and score.dtype == np.uint16
    assert labels.shape == mask.shape == score.shape == (60, 80)
    assert set(np.unique(labels)) == {0, 1} and set(np.unique(mask)) == {0, 255}
    assert ((labels == 1) == (truth > 0)).mean() > 0.95 and ((mask == 255) == (labels == 1)).all()
    assert score[10, 10] > 40_000 and score[50, 70] < 25_000
    overlay = read(out / "corner_overlay.png")[..., ::-1]
    np.testing.assert_allclose(overlay[10, 10], (255 + PALETTE[1].astype(float)) / 2, atol=1)
    assert not overlay[50, 70].any()


def test_the_table_says_what_was_found(segment: Segment, picture: Path, capsys: Capture, out: Path) -> None:
    assert segment(picture, query='[{"text": "lamp"}, {"text": "sun", "label": "our sun", "threshold": 0.99}]') == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines[0] == ["prompt", "found", "in", "peak", "score"]
    assert lines[1][:4] == ["lamp", "1", "of", "1"] and lines[2][:5] == ["our", "sun", "0", "of", "1"]
    assert 0.6 < float(lines[1][4]) < 0.99
    assert lines[3] == ["written", "to", str(out)]


def test_the_threshold_holds_for_masks_table_and_overlay(
    segment: Segment, picture: Path, out: Path, capsys: Capture
) -> None:
    assert segment(picture, "--threshold", "0.99") == 0
    assert not read(out / "corner_labels.png").any() and not read(out / "corner_mask_1_lamp.png").any()
    np.testing.assert_array_equal(read(out / "corner_overlay.png"), bright_corner())
    assert "0 of 1" in capsys.readouterr().out


def test_pictures_of_a_folder_do_not_collide(segment: Segment, picture: Path, out: Path, capsys: Capture) -> None:
    cv2.imwrite(str(picture.with_name("corner.bmp")), bright_corner(30, 50))
    cv2.imwrite(str(picture.with_name("wide.JPG")), bright_corner(20, 90))
    picture.with_name("notes.txt").write_text("no picture")
    assert segment(picture.parent) == 0
    sizes = {path.name: read(path).shape for path in out.glob("*_labels.png")}
    assert sizes == {"corner_bmp_labels.png": (30, 50), "corner_png_labels.png": (60, 80), "wide_labels.png": (20, 90)}
    printed = capsys.readouterr()
    assert "3 of 3" in printed.out and "3/3" in printed.err


def test_a_broken_picture_is_warned_of_and_the_others_go_on(
    segment: Segment, picture: Path, out: Path, capsys: Capture
) -> None:
    broken = picture.with_name("broken.png")
    broken.write_text("no picture")
    assert segment(picture.parent) == 1
    printed = capsys.readouterr()
    assert f"warning: {broken}: no picture that OpenCV can read" in printed.err and "1 of 1" in printed.out
    assert (out / "corner_labels.png").is_file() and not (out / "broken_labels.png").exists()


def test_a_video_gives_an_overlay_of_the_same_length_and_size(
    segment: Segment, video: Path, out: Path, capsys: Capture
) -> None:
    assert segment(video) == 0
    assert [file.name for file in out.iterdir()] == ["clip_overlay.mp4"]
    capture = cv2.VideoCapture(str(out / "clip_overlay.mp4"))
    frames = [capture.read()[1] for _ in range(int(capture.get(cv2.CAP_PROP_FRAME_COUNT)))]
    assert capture.get(cv2.CAP_PROP_FPS) == 10.0 and [frame.shape for frame in frames] == [(60, 80, 3)] * 3
    expected = (255 + PALETTE[1][::-1].astype(float)) / 2
    assert np.abs(frames[0][15, 20] - expected).max() < 30 and frames[1].max() < 30
    assert "2 of 3" in capsys.readouterr().out


def test_frames_of_a_video_are_written_when_asked_for(segment: Segment, video: Path, out: Path) -> None:
    assert segment(video, "--frames") == 0
    labels = [read(out / f"clip_{index:06d}_labels.png").any() for index in range(3)]
    assert labels == [True, False, True] and (out / "clip_000002_score_1_lamp.png").is_file()


def test_a_video_that_cannot_be_written_is_an_error(segment: Segment, video: Path, out: Path, capsys: Capture) -> None:
    (out / "clip_overlay.mp4").mkdir(parents=True)
    assert segment(video) == 1
    assert f"clipseg_ros: error: {out / 'clip_overlay.mp4'}: cannot be written" in capsys.readouterr().err


def test_words_that_the_model_never_saw_are_warned_of(
    tiny_copy: Path, picture: Path, tmp_path: Path, capsys: Capture
) -> None:
    (tiny_copy / "clipseg_ros.json").write_text('{"vocabulary": ["red", "cup"], "threshold": 0.4}')
    words = ["--out", str(tmp_path / "out"), "--weights", str(tiny_copy), "--device", "cpu", "--query", "red teapot"]
    assert main(["segment", str(picture), *words]) == 0
    assert "warning: 'red teapot': the model does not know teapot" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--threshold", "0"], "--threshold 0.0: expected above 0 to 1"),
        (["--threshold", "nan"], "--threshold nan: expected above 0 to 1"),
        (["--opacity", "2"], "--opacity 2.0: expected 0 to 1"),
        (["--option", "side"], "--option 'side': expected KEY=VALUE"),
        (["--option", "side=[1"], "--option 'side=[1': '[1' is no YAML value"),
        (["--option", "sidee=3"], "option 'sidee' of engine clipseg: expected one of extract_layers"),
        (["--option", "side=90.5"], "side 90.5: expected a multiple of the patch size 4"),
        (["--option", "keep_aspect=maybe"], "keep_aspect 'maybe': expected true or false"),
        (["--option", "template={}", "--query", "x" * 90], "text of 92 tokens: the model takes 77"),
        (["--engine", "clip"], "engine 'clip': expected one of clipseg"),
        (["--device", "gpu"], "device 'gpu': expected auto, cpu, cuda or cuda:N"),
        (["--precision", "fp8"], "precision 'fp8': expected auto"),
        (["--weights", "no/such/folder"], "weights 'no/such/folder': no such folder"),
        (["--query", ";"], "--query ';': no prompt in it"),
        (["--query", "[3"], "broken JSON"),
    ],
)
def test_a_bad_option_is_one_line_of_error(
    segment: Segment, picture: Path, capsys: Capture, words: list[str], message: str
) -> None:
    assert segment(picture, *words) == 1
    printed = capsys.readouterr().err
    assert printed.startswith(f"clipseg_ros: error: {message}")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("none.png", "no such file or folder"),
        ("empty", "no picture in it; expected .bmp"),
        ("notes.txt", "neither a picture (.bmp .jpeg"),
    ],
)
def test_an_input_without_pictures_is_an_error(
    segment: Segment, tmp_path: Path, capsys: Capture, name: str, message: str
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes.txt").write_text("no picture")
    assert segment(tmp_path / name) == 1
    assert f"clipseg_ros: error: {tmp_path / name}: {message}" in capsys.readouterr().err
