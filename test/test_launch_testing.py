# SPDX-License-Identifier: Apache-2.0
"""The launch file under launch_testing, where that is installed: test/launch/launch_segment.py, run as launch_test does.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def test_the_launch_file_starts_a_node_that_segments_and_ends_in_peace(tmp_path: Path) -> None:
    pytest.importorskip("launch_testing", reason="comes with a ROS 2 installation, not from PyPI")
    pytest.importorskip("launch_ros.actions", reason="comes with a ROS 2 installation, not from PyPI")
    (tmp_path / "share/ament_index/resource_index/packages").mkdir(parents=True)
    (tmp_path / "share/ament_index/resource_index/packages/clipseg_ros").touch()
    script = tmp_path / "lib/clipseg_ros/segment"  # as installed; this test also runs in a source tree
    script.parent.mkdir(parents=True)
    script.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m clipseg_ros.ros.node "$@"\n')
    script.chmod(0o755)
    prefixes = os.pathsep.join(filter(None, (str(tmp_path), os.environ.get("AMENT_PREFIX_PATH"))))
    paths = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    env = os.environ | {
        "AMENT_PREFIX_PATH": prefixes, "PYTHONPATH": paths, "ROS_LOG_DIR": str(tmp_path / "log"),
        "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST",
    }
    report = tmp_path / "report.xml"
    command = [sys.executable, "-m", "launch_testing.launch_test", "--junit-xml", str(report)]
    command.append(str(ROOT / "test" / "launch" / "launch_segment.py"))
    done = subprocess.run(command, env=env, cwd=tmp_path, capture_output=True, text=True, timeout=280)
    said = done.stdout + done.stderr
    assert done.returncode == 0 and report.read_text().count("<testcase") == 3, said[-5000:]
