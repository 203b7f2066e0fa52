# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import pytest

from clipseg_ros.datasets import tabletop
from clipseg_ros.ros.sources import Clip, SourceError, open_source, repeat

CLIP = Clip(seed=7, scenes=2, frames_per_scene=2, rate=10.0)
RED, BLUE = (250, 0, 0), (0, 0, 250)


def picture(colour: tuple[int, int, int], size: tuple[int, int] = (48, 64)) -> np.ndarray:
    return np.full((*size, 3), colour[::-1], np.uint8)  # as OpenCV writes it


def video(path: Path, colours: list[tuple[int, int, int]]) -> Path:
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 10, (64, 48))
    for colour in colours:
        writer.write(picture(colour))
    writer.release()
    return path


def test_scenes_are_those_of_consecutive_seeds_and_come_with_their_truth():
    captures = list(open_source("scenes", (48, 64), CLIP))
    assert len(captures) == 4
    for capture, (seed, phase) in zip(captures, [(7, 0.0), (7, 0.1), (8, 0.0), (8, 0.1)]):
        view = tabletop.render(tabletop.compose(seed), 48, 64, phase=phase)
        np.testing.assert_array_equal(capture.image, view.image)
        np.testing.assert_array_equal(capture.labels, view.labels)
        np.testing.assert_array_equal(capture.depth, view.depth)
        np.testing.assert_array_equal(capture.intrinsics, view.intrinsics)


def test_scenes_have_the_size_of_a_common_camera_unless_told():
    assert open_source("scenes", None, Clip(7, 1, 1, 10.0))[0].image.shape == (480, 640, 3)


def test_a_folder_is_read_in_the_order_of_names_as_rgb(tmp_path: Path):
    cv2.imwrite(str(tmp_path / "b.png"), picture(BLUE))
    cv2.imwrite(str(tmp_path / "a.PNG"), picture(RED))
    (tmp_path / "notes.txt").write_text("no picture")
    captures = list(open_source(str(tmp_path), None, CLIP))
    assert [tuple(capture.image[0, 0]) for capture in captures] == [RED, BLUE]
    assert captures[0].image.shape == (48, 64, 3)
    assert captures[0].depth is None and captures[0].labels is None and not captures[0].intrinsics.any()


def test_pictures_take_the_size_that_was_asked_for(tmp_path: Path):
    cv2.imwrite(str(tmp_path / "a.png"), picture(RED))
    assert [capture.image.shape for capture in open_source(str(tmp_path), (30, 20), CLIP)] == [(30, 20, 3)]


def test_a_video_can_be_read_again_and_again(tmp_path: Path):
    source = open_source(str(video(tmp_path / "v.avi", [RED, BLUE, RED])), None, CLIP)
    assert len(list(source)) == 3
    reds = [int(capture.image[20, 20, 0]) > 128 for capture in islice(repeat(source), 6)]
    assert reds == [True, False, True] * 2


def test_an_empty_folder_is_refused(tmp_path: Path):
    with pytest.raises(SourceError, match="no picture in this folder"):
        open_source(str(tmp_path), None, CLIP)


def test_a_broken_picture_is_named(tmp_path: Path):
    (tmp_path / "broken.png").write_bytes(b"no picture")
    with pytest.raises(SourceError, match="broken.png.*not a picture"):
        next(iter(open_source(str(tmp_path), None, CLIP)))


def test_a_file_that_is_no_video_is_named(tmp_path: Path):
    (tmp_path / "notes.txt").write_text("no video")
    with pytest.raises(SourceError, match="notes.txt.*not a video file"):
        next(iter(open_source(str(tmp_path / "notes.txt"), None, CLIP)))


@pytest.mark.parametrize("name", ["97", "/dev/video97"])
def test_a_webcam_that_is_not_there_is_named(name: str):
    with pytest.raises(SourceError, match="'97'.*not a webcam"):
        next(iter(open_source(name, (48, 64), CLIP)))


def test_an_unknown_source_is_refused_with_the_kinds_there_are():
    with pytest.raises(SourceError, match="expected scenes, a folder of pictures, a video file, or a webcam"):
        open_source("secnes", None, CLIP)
