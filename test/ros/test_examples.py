# SPDX-License-Identifier: Apache-2.0
"""The examples as they are run by hand, against the test camera and the node with the demo model."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from clipseg_ros.datasets import tabletop

PICK = Path(__file__).resolve().parents[2] / "examples" / "pick_target.py"
QUERY, SEED, HEIGHT, WIDTH = "something to drink from", 90_000_004, 240, 320
CAMERA = {"image": "/camera/color/image_raw", "camera_info": "/camera/color/camera_info"}
DEPTH = {"depth": "/camera/aligned_depth_to_color/image_raw"}


def start(ros, module: str, remaps: dict[str, str], **settings: object):
    words = [word for name, value in settings.items() for word in ("-p", f"{name}:={value}")]
    words += [word for name, topic in remaps.items() for word in ("-r", f"{name}:={topic}")]
    return ros.start("-m", f"clipseg_ros.ros.{module}", "--ros-args", *words)


def pick(ros, remaps: dict[str, str]) -> str:
    """What the planner prints with a node that hears these topics and a camera that shows one scene."""
    start(ros, "camera", {}, seed=SEED, scenes=1, frames_per_scene=1, height=HEIGHT, width=WIDTH, rate=5.0)
    node = start(ros, "node", remaps, weights="demo", device="cpu")
    node.wait_for("active: images from", 300.0)  # s, on a busy machine
    planner = ros.start(str(PICK), "--query", QUERY, "--patience", "60")
    assert planner.wait(120.0) == 0, planner.text
    return planner.text


@pytest.fixture(scope="module")
def view() -> tabletop.View:
    """What the camera shows."""
    return tabletop.render(tabletop.compose(SEED), HEIGHT, WIDTH, phase=0.0)


def is_drinkable(view: tabletop.View, column: float, row: float) -> bool:
    return view.labels[round(row), round(column)] in tabletop.classes_of(QUERY)


def test_the_planner_finds_a_grasp_point_on_what_it_asked_for(ros, view: tabletop.View) -> None:
    told = re.search(r"grasp at x (\S+) y (\S+) z (\S+) m in camera_color_optical_frame", pick(ros, CAMERA | DEPTH))
    assert told, "no grasp point"
    point = np.array([float(number) for number in told.groups()])
    column, row, scale = view.intrinsics @ point
    column, row = column / scale, row / scale
    assert is_drinkable(view, column, row)
    assert abs(view.depth[round(row), round(column)] - point[2]) < 0.05


def test_without_depth_the_planner_says_that_it_takes_the_middle_of_the_mask(ros, view: tabletop.View) -> None:
    told = re.search(r"no target on segment/target .*; the mask's middle: pixel (\d+) (\d+)", pick(ros, CAMERA))
    assert told, "no middle of the mask"
    assert is_drinkable(view, *(float(number) for number in told.groups()))


def test_a_planner_without_a_node_says_so(ros) -> None:
    planner = ros.start(str(PICK), "--query", "cup", "--patience", "2")
    assert planner.wait() == 1
    assert "the node did not take up 'cup'; is it running? It says: None" in planner.text
