# SPDX-License-Identifier: Apache-2.0
"""The benchmark's part `node`: how it watches processes, and a tiny version of it over DDS."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest

from clipseg_ros.__main__ import main
from clipseg_ros.tools.bench import node, setting
from clipseg_ros.tools.demo_processes import ProcessFailed

SLEEP = ["timeit", "-n1", "-r1", "-s", "import time", "time.sleep(60)"]


def test_the_time_of_a_process_is_that_of_all_its_threads() -> None:
    assert node.cpu_seconds(os.getpid()) == pytest.approx(time.process_time(), abs=0.2)


def test_a_process_that_sleeps_takes_no_time(tmp_path: Path) -> None:
    with node.Watched(tmp_path) as processes:
        processes.start("long", ["timeit", "-n1", "-r1", "-s", "import time; print('begun', flush=True)", SLEEP[-1]])
        processes.wait_said("long", "begun", 60.0)
        assert processes.cpu_percent("long", 0.5) < 50.0


def test_a_process_that_does_not_say_it_is_reported(tmp_path: Path) -> None:
    with node.Watched(tmp_path) as processes:
        processes.start("long", SLEEP)
        with pytest.raises(ProcessFailed, match="long did not say 'ready'; the end of .*long.txt"):
            processes.wait_said("long", "ready", 0.2)
        processes.start("short", ["platform"])
        with pytest.raises(ProcessFailed, match="short did not say 'ready'"):
            processes.wait_said("short", "ready", 60.0)


def test_without_ros_the_part_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(node, "find_spec", lambda name: None)
    (row,) = node.measure(setting.Setting("cpu", True, tmp_path, "ViT-B/16"))
    assert row.value is None and row.note == "ROS 2 is not installed"


@pytest.mark.timeout(900)
def test_a_tiny_node_is_measured_over_dds(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("rclpy")
    out = tmp_path / "bench.json"
    code = main(["bench", "--quick", "--only", "node", "--device", "cpu", "--out", str(out)])
    assert code == 0, capsys.readouterr().err
    rows = {row["way"]: row for row in json.loads(out.read_text())["rows"]}
    assert rows["latency at 30 Hz"]["value"] > 0.0 and "masks/s" in rows["latency at 30 Hz"]["note"]
    assert rows["input age at 30 Hz"]["value"] > 0.0
    (latency,) = [row["value"] for way, row in rows.items() if way.startswith("latency at") and "30 Hz" not in way]
    (engine,) = [row["value"] for way, row in rows.items() if way.startswith("  engine at")]
    assert rows["ROS share"]["value"] == pytest.approx(latency - engine) and rows["ROS share"]["goal"] is None
    for way in ("idle, no query", "idle, no listener"):
        assert 0.0 <= rows[way]["value"] <= 100.0 and rows[way]["goal"]["at_most"] == 2.0
