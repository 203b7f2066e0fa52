# SPDX-License-Identifier: Apache-2.0
"""`colcon build`, with the colcon of ROS or of PyPI: what it installs starts without the source tree."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

pytestmark = pytest.mark.skipif(not find_spec("colcon_core"), reason="colcon is not installed")


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the package built into its install/."""
    folder = tmp_path_factory.mktemp("workspace")
    colcon = [sys.executable, "-m", "colcon", "--log-base", "log"]
    build = ["build", "--paths", str(ROOT), "--packages-select", "clipseg_ros"]
    done = subprocess.run([*colcon, *build], cwd=folder, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def _in_workspace(workspace: Path, command: str) -> subprocess.CompletedProcess[str]:
    """Run as after `source install/setup.bash`, away from the source tree."""
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    env |= {"ROS_LOG_DIR": str(workspace / "log"), "ROS_DOMAIN_ID": str(os.getpid() % 100 + 1)}
    shell = ["bash", "-c", f"source install/local_setup.bash && {command}"]
    return subprocess.run(shell, cwd=workspace, env=env, capture_output=True, text=True, timeout=60)


def test_colcon_installs_what_ros_looks_for(workspace: Path) -> None:
    prefix = workspace / "install" / "clipseg_ros"
    share = prefix / "share"
    assert (share / "ament_index" / "resource_index" / "packages" / "clipseg_ros").is_file()
    for name in ("package.xml", "launch/segment.launch.py", "config/segment.yaml", "config/segment.rviz"):
        assert (share / "clipseg_ros" / name).read_bytes() == (ROOT / name).read_bytes()
    for executable in ("segment", "camera"):
        assert os.access(prefix / "lib" / "clipseg_ros" / executable, os.X_OK)


def test_installed_code_is_what_runs(workspace: Path) -> None:
    code = "import clipseg_ros; print(clipseg_ros.__file__)"
    done = _in_workspace(workspace, f"{sys.executable} -c '{code}'")
    assert done.stdout.startswith(str(workspace / "install")), done.stdout + done.stderr


def test_data_files_are_beside_the_installed_code(workspace: Path) -> None:
    (code,) = (workspace / "install" / "clipseg_ros").glob("lib/python*/site-packages/clipseg_ros")
    data = [path.relative_to(ROOT) for path in (ROOT / "clipseg_ros" / "data").rglob("*") if path.is_file()]
    assert [name for name in data if not (code.parent / name).is_file()] == []


def test_installed_node_starts_and_refuses_a_wrong_parameter(workspace: Path) -> None:
    pytest.importorskip("rclpy")
    done = _in_workspace(workspace, "install/clipseg_ros/lib/clipseg_ros/segment --ros-args -p threshold:=2.0")
    assert done.returncode == 1
    assert "threshold" in done.stderr and "Traceback" not in done.stderr


def test_installed_camera_publishes_and_ends_by_itself(workspace: Path) -> None:
    pytest.importorskip("rclpy")
    pytest.importorskip("embreex", exc_type=ImportError)
    settings = "-p frames:=1 -p scenes:=1 -p width:=64 -p height:=48"
    done = _in_workspace(workspace, f"install/clipseg_ros/lib/clipseg_ros/camera --ros-args {settings}")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
