# SPDX-License-Identifier: Apache-2.0
"""The README's tables say what the code does."""

from __future__ import annotations

import ast
import importlib.util
import json
import re
from dataclasses import fields
from pathlib import Path

import pytest

from clipseg_ros.__main__ import COMMANDS
from clipseg_ros.engines import ENGINES

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()


def rows(heading: str) -> list[list[str]]:
    """The cells of the first table below a heading, header and rule left out."""
    section = README.split(f"## {heading}\n", 1)[1].split("\n## ", 1)[0]
    lines = re.search(r"(?m)^\|.*(?:\n\|.*)*", section)[0].splitlines()
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines[2:]]


def names(heading: str) -> list[str]:
    return [re.match(r"`([^`]+)`", row[0])[1] for row in rows(heading)]


def test_every_parameter_stands_with_its_default_and_meaning():
    parameters = pytest.importorskip("clipseg_ros.ros.parameters")
    expected = []
    for entry in fields(parameters.Parameters):
        default = [""] if entry.default == () else entry.default
        live = "" if entry.metadata["fixed"] else "yes"
        expected.append([f"`{entry.name}`", f"`{json.dumps(default)}`", live, entry.metadata["description"]])
    assert rows("Parameters") == expected


def test_every_parameter_of_the_camera_stands_with_its_default_and_meaning():
    camera = pytest.importorskip("clipseg_ros.ros.camera")
    expected = [
        [f"`{entry.name}`", f"`{json.dumps(entry.default)}`", entry.metadata["description"]]
        for entry in fields(camera.CameraParameters)
    ]
    assert rows("Test camera") == expected


def test_every_launch_argument_stands_with_its_description():
    tree = ast.parse((ROOT / "launch" / "segment.launch.py").read_text())
    expected = []
    for call in ast.walk(tree):
        if isinstance(call, ast.Call) and getattr(call.func, "id", "") == "DeclareLaunchArgument":
            description = next(word.value for word in call.keywords if word.arg == "description")
            expected.append([f"`{call.args[0].value}`", ast.literal_eval(description)])
    assert rows("Launch arguments") == expected


def test_every_topic_of_the_node_stands_with_its_type():
    rclpy = pytest.importorskip("rclpy")
    from clipseg_ros.ros.node import SegmentNode

    weights = ROOT / "test" / "golden" / "clipseg" / "hf_tiny_refined"
    rclpy.init(args=["--ros-args", "-p", f"weights:={weights}", "-p", "device:=cpu"], domain_id=97)
    try:
        node = SegmentNode()
        assert node.start()
        topics = dict(node.get_publisher_names_and_types_by_node("segment", "/"))
        topics |= dict(node.get_subscriber_names_and_types_by_node("segment", "/"))
        node.stop()
        node.destroy_node()
    finally:
        rclpy.try_shutdown()
    own = {name: kinds[0].replace("/msg/", "/") for name, kinds in topics.items()
           if name not in ("/rosout", "/parameter_events", "/segment/transition_event")}
    stated = {row[0].strip("`"): row[1] for row in rows("Topics")}
    if importlib.util.find_spec("vision_msgs") is None:
        stated = {name: kind for name, kind in stated.items() if not kind.startswith("vision_msgs/")}
    named = {"/" + name.replace("~", "segment").lstrip("/"): kind for name, kind in stated.items()}
    of_camera = {"/image", "/camera_info", "/depth"}  # subscribed only while somebody listens
    assert of_camera <= set(named) and own.items() <= named.items() and named.keys() - own.keys() <= of_camera


def test_every_engine_and_every_command_stands_in_its_table():
    assert names("Engines") == list(ENGINES)
    assert names("Without ROS") == list(COMMANDS)


def test_the_numbers_of_the_demo_are_those_of_the_model_folder():
    shipped = (ROOT / "clipseg_ros" / "data" / "demo_model" / "README.md").read_text()
    for row in rows("What to expect"):
        assert f"| {' | '.join(row)} |" in shipped


def test_what_recurrence_earns_is_what_the_page_of_the_engine_says():
    page = (ROOT / "docs" / "car.md").read_text()
    for proposals, recurrence, iou, dropped, marked in rows("CLIP as RNN on rendered scenes"):
        name = f"CAM: {proposals.replace('Grad-CAM', 'gradCAM')}, {'no ' * (recurrence == 'without')}recurrence"
        assert re.search(rf"^\| {name} \| {iou} \| [\d.]+ \| {dropped} \| [\d.]+ \| {marked} \|$", page, re.MULTILINE)


def test_every_relative_link_leads_to_a_file():
    links = re.findall(r"\]\((?!http|#)([^)]+)\)", README)
    assert links and all((ROOT / link).exists() for link in links)
