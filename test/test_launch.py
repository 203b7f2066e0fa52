# SPDX-License-Identifier: Apache-2.0
"""The launch file: read as source everywhere, run by `launch` where that is installed."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
LAUNCH = ROOT / "launch" / "segment.launch.py"
PROMISED = {
    "image", "query_topic", "weights", "engine", "device", "params_file", "namespace", "image_transport", "rviz",
    "venv", "log_level", "use_sim_time", "depth", "camera_info",
}
SWITCHES = {"rviz", "large_images"}  # of the launch file itself: the node knows nothing of them


def arguments(source: str) -> dict[str, dict[str, object]]:
    """Name -> the literal keyword arguments of each DeclareLaunchArgument."""
    calls = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
    declared = [call for call in calls if getattr(call.func, "id", "") == "DeclareLaunchArgument"]
    return {
        ast.literal_eval(call.args[0]): {key.arg: ast.literal_eval(key.value) for key in call.keywords}
        for call in declared
    }


@pytest.fixture(scope="module")
def declared() -> dict[str, dict[str, object]]:
    """The launch file's arguments."""
    return arguments(LAUNCH.read_text())


def test_every_promised_argument_is_declared_and_described(declared: dict[str, dict[str, object]]) -> None:
    assert PROMISED | SWITCHES == declared.keys()
    assert [name for name, given in declared.items() if len(str(given.get("description", ""))) < 20] == []


def test_no_argument_repeats_a_default_of_the_node(declared: dict[str, dict[str, object]]) -> None:
    assert {name for name, given in declared.items() if given["default_value"] != ""} == SWITCHES
    assert all(declared[name]["default_value"] == "false" for name in SWITCHES)


def test_choices_take_what_is_left_empty(declared: dict[str, dict[str, object]]) -> None:
    chosen = {name: given["choices"] for name, given in declared.items() if "choices" in given}
    assert chosen.keys() == {"image_transport", "use_sim_time", "log_level"} | SWITCHES
    assert all(declared[name]["default_value"] in choices for name, choices in chosen.items())


def test_arguments_that_are_parameters_are_the_nodes_own(declared: dict[str, dict[str, object]]) -> None:
    pytest.importorskip("rclpy")
    from dataclasses import fields

    from clipseg_ros.ros.parameters import Parameters

    known = {entry.name: entry for entry in fields(Parameters)}
    passed_on = {"engine", "weights", "device", "image_transport"}
    assert passed_on == known.keys() & declared.keys()
    assert set(declared["image_transport"]["choices"]) - {""} == set(known["image_transport"].metadata["choices"])


class TestRun:
    """Needs the launch system of a full ROS 2 install."""

    STARTER = (
        "import sys, launch\n"
        "from launch.actions import IncludeLaunchDescription\n"
        "from launch.launch_description_sources import PythonLaunchDescriptionSource\n"
        "service = launch.LaunchService()\n"
        "given = [tuple(word.split(':=', 1)) for word in sys.argv[2:]]\n"
        "source = PythonLaunchDescriptionSource(sys.argv[1])\n"
        "include = IncludeLaunchDescription(source, launch_arguments=given)\n"
        "service.include_launch_description(launch.LaunchDescription([include]))\n"
        "sys.exit(service.run())\n"
    )
    NODE = "#!{python}\nimport os, sys\nprint('ARGV', sys.argv[1:])\nprint('PYTHON', sys.executable)\n" \
           "print('PROFILES', os.environ.get('FASTRTPS_DEFAULT_PROFILES_FILE'))\n" \
           "for word in sys.argv:\n    print(open(word).read() if os.path.isfile(word) else '')\n"

    @pytest.fixture
    def start(self, tmp_path: Path):
        """start(*arguments) launches with executables that print what they were given, and returns the output."""
        pytest.importorskip("launch_ros.actions")
        for package, executable in (("clipseg_ros", "segment"), ("rviz2", "rviz2")):
            (tmp_path / "share/ament_index/resource_index/packages").mkdir(parents=True, exist_ok=True)
            (tmp_path / "share/ament_index/resource_index/packages" / package).touch()
            script = tmp_path / "lib" / package / executable
            script.parent.mkdir(parents=True)
            script.write_text(self.NODE.format(python=sys.executable))
            script.chmod(0o755)
        prefixes = os.pathsep.join(filter(None, (str(tmp_path), os.environ.get("AMENT_PREFIX_PATH"))))
        env = os.environ | {
            "AMENT_PREFIX_PATH": prefixes, "ROS_LOG_DIR": str(tmp_path / "log"),
            "OVERRIDE_LAUNCH_PROCESS_OUTPUT": "both",
        }

        def run(*words: str) -> str:
            command = [sys.executable, "-c", self.STARTER, str(LAUNCH), *words]
            done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60)
            return done.stdout + done.stderr

        return run

    def test_nothing_is_passed_on_unasked(self, start) -> None:
        told = start()
        assert "ARGV ['--ros-args', '-r', '__node:=segment']" in told, told

    def test_topics_are_remapped_and_names_spaced(self, start) -> None:
        told = start(
            "image:=/camera/color/image_raw", "query_topic:=/words", "namespace:=robot", "log_level:=warn",
            "depth:=/camera/depth", "camera_info:=/camera/info",
        )
        rules = ("image:=/camera/color/image_raw", "seg_query:=/words", "__ns:=/robot", "depth:=/camera/depth")
        for rule in (*rules, "camera_info:=/camera/info"):
            assert f"'-r', '{rule}'" in told
        assert "'--log-level', 'warn'" in told

    def test_a_given_argument_comes_after_the_file_and_keeps_its_type(self, start, tmp_path: Path) -> None:
        file = tmp_path / "mine.yaml"
        file.write_text("/**: {ros__parameters: {weights: from_the_file}}\n")
        told = start(f"params_file:={file}", "weights:=1", "use_sim_time:=true")
        assert told.index("from_the_file") < told.index("weights: '1'")
        assert "use_sim_time: true" in told

    def test_venv_runs_the_node_by_its_own_link(self, start, tmp_path: Path) -> None:
        (tmp_path / "my venv" / "bin").mkdir(parents=True)
        (tmp_path / "my venv" / "bin" / "python").symlink_to(sys.executable)
        assert f"PYTHON {tmp_path}/my venv/bin/python" in start(f"venv:={tmp_path}/my venv")

    @pytest.mark.parametrize("argument", ["venv", "params_file"])
    def test_a_missing_file_is_named(self, start, argument: str) -> None:
        assert f"launch argument {argument}: there is no file /nowhere" in start(f"{argument}:=/nowhere")

    def test_rviz_follows_the_namespace_and_the_camera(self, start) -> None:
        told = start("rviz:=true", "namespace:=robot", "image:=/camera/color/image_raw")
        for rule in (
            "/segment/mask:=/robot/segment/mask", "/segment/points:=/robot/segment/points",
            "/image:=/camera/color/image_raw",
        ):
            assert f"'-r', '{rule}'" in told
        assert "segment.rviz" in told

    def test_large_images_sets_the_profile(self, start) -> None:
        assert f"PROFILES {ROOT / 'config' / 'fastdds_large_images.xml'}" in start("large_images:=true")
        assert "PROFILES None" in start("large_images:=false")
