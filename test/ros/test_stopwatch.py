# SPDX-License-Identifier: Apache-2.0
"""The benchmark's stopwatch as a process; tools.bench.node runs it beside a real node."""

from __future__ import annotations

from pathlib import Path
from signal import SIGINT

from clipseg_ros.ros import qos, stopwatch
from sensor_msgs.msg import Image


def start(ros, out: Path, *words: str):
    return ros.start("-m", "clipseg_ros.ros.stopwatch", "--seconds", "1", "--out", str(out), *words)


def test_without_masks_it_says_so_and_ends_with_1(ros, tmp_path: Path) -> None:
    process = start(ros, tmp_path / "latency.json", "--patience", "0.5")
    assert process.wait() == 1
    assert f"expected {stopwatch.WARM_UP}" in process.text and "Traceback" not in process.text
    assert not (tmp_path / "latency.json").exists()


def test_an_interrupt_ends_it_in_peace(ros, tmp_path: Path) -> None:
    process = start(ros, tmp_path / "latency.json")
    with ros.repeat(Image, "/segment/mask", qos.OUTPUT, 20.0, Image) as masks:
        ros.spin_until(masks.get_subscription_count, "the stopwatch")
        process.send(SIGINT)
        assert process.wait() == 0, process.text
    assert "Traceback" not in process.text and not (tmp_path / "latency.json").exists()
