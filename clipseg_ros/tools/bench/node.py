# SPDX-License-Identifier: Apache-2.0
"""Part `node`: what ROS adds to the engine's time, how old images are, and what the node costs while it rests.

Camera, node and stopwatch are three processes on one machine, over DDS with the package's profile for large images.
Latency: from the stamp of the image to the arrival of its mask at the stopwatch. ROS share: its median, less that of
the engine as the node's diagnostics tell it, for a camera that is slow enough for no image to wait, without smoothing;
making the mask at the camera's size counts as ROS work, too. Input age: of images of a 30 Hz camera when the engine
begins. Idle: CPU time of the node's process with a 30 Hz camera, after it has given the camera up.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import cv2
import torch

from clipseg_ros.tools.bench import goals, networks, setting
from clipseg_ros.tools.bench.rows import Row, timed
from clipseg_ros.tools.bench.setting import PRODUCT, Setting
from clipseg_ros.tools.bench.timing import Spread, side_by_side, spread_of
from clipseg_ros.tools.demo_processes import Processes

PART = "node"
PICTURES = 8
CAMERA_HZ, SLOW_HZ = 30.0, 10.0
LOAD = 0.4  # share of the time that the engine works for the slow camera
START_LIMIT, PATIENCE = 600.0, 180.0  # seconds: until the node is active, on a busy machine; from then to its masks
ACTIVE = "active: images from"
IDLE_TIMEOUT = 1.0  # s, of the node
QUERY = "red mug"


class Watched(Processes):
    """Processes whose logs and CPU time can be looked at."""

    def __init__(self, logs: Path) -> None:
        super().__init__(logs)
        self._folder = logs

    def wait_said(self, name: str, words: str, limit: float) -> None:
        """Until it has logged the words. Raises ProcessFailed: it has not within `limit` seconds, or it ended."""
        end, log = time.monotonic() + limit, self._folder / f"{name}.txt"
        while words not in log.read_text(errors="replace"):
            if self._running[name].poll() is not None or time.monotonic() > end:
                raise self._failure(name, f"did not say {words!r}")
            time.sleep(0.1)

    def cpu_percent(self, name: str, seconds: float) -> float:
        """Of one core, from now on."""
        pid = self._running[name].pid
        before, began = cpu_seconds(pid), time.monotonic()
        time.sleep(seconds)
        return 100.0 * (cpu_seconds(pid) - before) / (time.monotonic() - began)


def cpu_seconds(pid: int) -> float:
    """What a process has used so far, in all its threads. Raises OSError where the system does not tell."""
    after_name = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(after_name[11]) + int(after_name[12])) / os.sysconf("SC_CLK_TCK")  # user, system


def measure(given: Setting) -> Iterator[Row]:
    """All rows of the part. Raises ProcessFailed, OSError."""
    if find_spec("rclpy") is None:
        yield Row(PART, "all", "", None, note="ROS 2 is not installed")
        return
    made = "tiny" if given.quick else goals.FULL_SIZE
    weights = {made: str(networks.write_clipseg(made, given.folder / made)), "demo": "demo"}
    bench = _Bench(given)
    for network in (made,) if given.quick else weights:
        for size in given.sizes[:1] if given.quick else given.sizes:
            yield from bench.busy(network, weights[network], size)
    yield from bench.idle(weights[made if given.quick else "demo"])


class _Bench:
    """Runs the three processes."""

    def __init__(self, given: Setting) -> None:
        self._given = given
        self._seconds = 1.0 if given.quick else 12.0
        self._runs = 0

    def busy(self, network: str, weights: str, size: tuple[int, int]) -> Iterator[Row]:
        """At camera rate as the node comes, then slowly and without smoothing."""
        pictures, case = self._pictures(size), f"{network}, {size[1]}x{size[0]}"
        product = side_by_side({PRODUCT: self._given.product()}, self._given.plan)[PRODUCT]
        fast = self._listen(weights, pictures, CAMERA_HZ, {})
        engine = spread_of(fast["engine_ms"])
        rate = len(fast["latency_ms"]) / fast["seconds"]
        answered = f"{rate:.1f} masks/s, {fast['replaced']} images gave way to newer ones"
        yield timed(PART, case, "latency at 30 Hz", spread_of(fast["latency_ms"]), product, note=answered)
        yield timed(PART, case, "input age at 30 Hz", spread_of(fast["input_age_ms"]), product, note="medians of 1 s")
        rate = min(SLOW_HZ, LOAD * 1e3 / engine.median)
        slow = self._listen(weights, pictures, rate, {"smoothing": 0.0})
        latency, engine = spread_of(slow["latency_ms"]), spread_of(slow["engine_ms"])
        yield timed(PART, case, f"latency at {rate:.1f} Hz", latency, product, note="smoothing 0")
        yield timed(PART, case, f"  engine at {rate:.1f} Hz", engine, product, note="medians of the last 300 frames")
        yield _share(case, size, latency, engine, product)

    def idle(self, weights: str) -> Iterator[Row]:
        """Without a query, then without a listener."""
        size = self._given.sizes[0]
        pictures, seconds = self._pictures(size), 1.0 if self._given.quick else 10.0
        for way, queries, listens in (("no query", {}, True), ("no listener", {"queries": QUERY}, False)):
            with self._processes() as processes:
                self._start(processes, weights, pictures, CAMERA_HZ, {**queries, "idle_timeout": IDLE_TIMEOUT})
                if listens:
                    self._start_stopwatch(processes, 3600.0)
                processes.wait_said("node", ACTIVE, START_LIMIT)
                time.sleep(IDLE_TIMEOUT + seconds / 5.0)  # until it has given the camera up
                percent = processes.cpu_percent("node", seconds)
                processes.end()
            goal = goals.Goal("value", at_most=goals.IDLE_PERCENT)
            yield Row(PART, f"{size[1]}x{size[0]} at 30 Hz", f"idle, {way}", percent, "% of a core", goal=goal)

    def _listen(self, weights: str, pictures: Path, rate: float, options: dict[str, object]) -> dict[str, Any]:
        """What the stopwatch writes."""
        with self._processes() as processes:
            self._start(processes, weights, pictures, rate, {"queries": QUERY, **options})
            processes.wait_said("node", ACTIVE, START_LIMIT)
            out = self._start_stopwatch(processes, PATIENCE)
            processes.wait_for("stopwatch", 2.0 * PATIENCE + 10.0 * self._seconds)
            processes.end()
        return json.loads(out.read_text())

    def _processes(self) -> Watched:
        self._runs += 1
        logs = self._logs()
        logs.mkdir(parents=True)
        return Watched(logs)

    def _logs(self) -> Path:
        return self._given.folder / f"node_{self._runs}"

    def _start(
        self, processes: Watched, weights: str, pictures: Path, rate: float, options: dict[str, object]
    ) -> None:
        node = {"weights": weights, "device": self._given.device, "image_qos": "reliable", **options}
        image = ["-r", "image:=camera/color/image_raw"]
        words = ["clipseg_ros.ros.node", *_parameters(node), *image]
        processes.start("node", words, torch.get_num_threads())
        processes.start("camera", ["clipseg_ros.ros.camera", *_parameters({"source": pictures, "rate": rate})])

    def _start_stopwatch(self, processes: Watched, patience: float) -> Path:
        out = self._logs() / "latency.json"
        words = ["--seconds", str(self._seconds), "--patience", str(patience), "--out", str(out)]
        processes.start("stopwatch", ["clipseg_ros.ros.stopwatch", *words])
        return out

    def _pictures(self, size: tuple[int, int]) -> Path:
        """A folder of pictures of `size` (H, W) that are fast to read."""
        folder = self._given.folder / f"pictures_{size[1]}x{size[0]}"
        if not folder.is_dir():
            folder.mkdir()
            for number in range(PICTURES):
                picture = cv2.cvtColor(setting.frame(size, number), cv2.COLOR_RGB2BGR)
                (folder / f"{number}.bmp").write_bytes(cv2.imencode(".bmp", picture)[1])
        return folder


def _share(case: str, size: tuple[int, int], latency: Spread, engine: Spread, product: Spread) -> Row:
    """The difference of the medians."""
    milliseconds = latency.median - engine.median
    goal = goals.of_ros_share(size)
    return Row(PART, case, "ROS share", milliseconds, product_ms=product.median, goal=goal, note="latency less engine")


def _parameters(values: dict[str, object]) -> list[str]:
    return ["--ros-args", *(word for name, value in values.items() for word in ("-p", f"{name}:={value}"))]
