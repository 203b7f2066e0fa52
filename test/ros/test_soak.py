# SPDX-License-Identifier: Apache-2.0
"""Hours in short: everything changes every second, and the node's memory stays, no query is lost, the end is clean.

SOAK_SECONDS: how long, 25 unless set; `make soak` takes 600 and shows the curve of the memory.
"""

from __future__ import annotations

import json
import os
import random
import time
from pathlib import Path
from signal import SIGINT, SIGKILL

import cv2
import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticArray
from lifecycle_msgs.srv import ChangeState
from rcl_interfaces.srv import SetParameters
from rclpy.parameter import Parameter
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image
from std_msgs.msg import String

from clipseg_ros.ros import conversions, qos

SECONDS = float(os.environ.get("SOAK_SECONDS", "25"))
WARM_UP = 0.4 if SECONDS < 120.0 else 0.2  # share of the time: allocators and caches fill
PATIENCE = 300.0  # s for the start, on a busy machine
GROWTH = 0.05  # of the memory between the first and the last third after the warm-up, their medians
LISTENERS = ("labels", "score", "overlay", "masks", "scores", "confidence")
PROFILES = (qos.OUTPUT, QoSProfile(depth=5, reliability=ReliabilityPolicy.BEST_EFFORT))
CHANGES = (("threshold", 0.3), ("overlay_opacity", 0.8), ("max_rate", 15.0), ("threshold", 0.0), ("max_rate", 0.0))


class Soak:
    """The node, the camera, and the hands that change everything; each turn takes about a second."""

    def __init__(self, ros, pictures: Path, weights: Path) -> None:
        self.ros, self.pictures, self.draw = ros, pictures, random.Random(1)
        given = {"weights": weights, "engine_options": "side=128", "device": "cpu", "smoothing": 0.5}
        words = [word for name, value in given.items() for word in ("-p", f"{name}:={value}")]
        camera = ("-r", "image:=/camera/color/image_raw", "-r", "camera_info:=/camera/color/camera_info")
        self.node = ros.start("-m", "clipseg_ros.ros.node", "--ros-args", *words, *camera)
        self.camera = self.start_camera()
        self.active: dict = {"queries": [], "stamp": None}
        self.memory: list[tuple[float, float]] = []  # seconds since the start, MB
        self.replies: list[float] = []  # s until a query was active
        self.masks, self.newest, self.counted = 0, 0, {}
        self.began = time.monotonic()
        ros.node.create_subscription(String, "/segment/active_queries", self._on_active, qos.LATCHED)
        ros.node.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, qos.QUERY)
        self.queries = ros.node.create_publisher(String, "/seg_query", qos.QUERY)
        self.parameters = ros.node.create_client(SetParameters, "/segment/set_parameters")
        self.lifecycle = ros.node.create_client(ChangeState, "/segment/change_state")
        self.mask = self.listen("mask", qos.OUTPUT)
        self.listeners: dict[str, object] = {}
        self.node.wait_for("active: images from", PATIENCE)
        ros.spin_until(lambda: self.queries.get_subscription_count() and self.memory, "the node", PATIENCE)
        self.memory.clear()
        self.began = time.monotonic()

    @property
    def seconds(self) -> float:
        """Since the start."""
        return time.monotonic() - self.began

    def start_camera(self):
        words = ("-p", f"source:={self.pictures}", "-p", "rate:=30.0")
        return self.ros.start("-m", "clipseg_ros.ros.camera", "--ros-args", *words)

    def listen(self, topic: str, profile: QoSProfile):
        heed = self._on_mask if topic == "mask" else id
        return self.ros.node.create_subscription(Image, f"/segment/{topic}", heed, profile)

    def turn(self, number: int) -> None:
        """Another query, other parameters and listeners; at times another state, or a camera that dies."""
        self.change_listeners(number)
        self.change_parameters(number)
        if number % 10 == 6:
            self.camera.send(SIGKILL if number % 20 == 6 else SIGINT)
            self.camera.wait()
        elif number % 10 == 8:
            self.camera = self.start_camera()
        if number % 7 == 3:
            self.cycle(forgets=number % 14 == 3)
        self.ask(number)
        if self.camera.running:
            self.ros.spin_until(self.is_answered, f"a mask of query {number}")

    def ask(self, number: int) -> None:
        began, text = time.monotonic(), f"thing {number}"
        self.queries.publish(String(data=f"{text}; cat"))
        self.ros.spin_until(lambda: self.texts()[:1] == [text], f"query {number} active")
        self.replies.append(time.monotonic() - began)

    def texts(self) -> list[str]:
        return [query["text"] for query in self.active["queries"]]

    def is_answered(self) -> bool:
        """Whether a frame was segmented with the present queries and its mask came."""
        stamp = self.active["stamp"]
        return stamp is not None and self.newest >= stamp["sec"] * 1_000_000_000 + stamp["nanosec"]

    def change_listeners(self, number: int) -> None:
        topic = self.draw.choice(LISTENERS)
        if topic in self.listeners:
            self.ros.node.destroy_subscription(self.listeners.pop(topic))
        else:
            self.listeners[topic] = self.listen(topic, self.draw.choice(PROFILES))
        if number % 5 == 2:
            self.ros.node.destroy_subscription(self.mask)
            self.mask = self.listen("mask", self.draw.choice(PROFILES))

    def change_parameters(self, number: int) -> None:
        name, value = CHANGES[number % len(CHANGES)]
        wrong = Parameter("threshold", value=7.5)
        changes = [each.to_parameter_msg() for each in (Parameter(name, value=value), wrong)]
        answer = self.call(self.parameters, SetParameters.Request(parameters=changes))
        assert [result.successful for result in answer.results] == [True, False]

    def cycle(self, forgets: bool) -> None:
        for label in ("deactivate", *(("cleanup", "configure") if forgets else ()), "activate"):
            request = ChangeState.Request()
            request.transition.label = label
            assert self.call(self.lifecycle, request).success, f"{label}:\n{self.node.text[-2000:]}"

    def call(self, client, request: object) -> object:
        self.ros.spin_until(client.service_is_ready, client.srv_name)
        future = client.call_async(request)
        self.ros.spin_until(future.done, client.srv_name)
        return future.result()

    def growth(self) -> float:
        """Of the memory, as a share of what it was after the warm-up."""
        used = [megabytes for seconds, megabytes in self.memory if seconds > WARM_UP * SECONDS]
        third = len(used) // 3
        assert third > 1, self.memory
        return float(np.median(used[-third:]) / np.median(used[:third])) - 1.0

    def report(self) -> str:
        """For people."""
        step = max(1, len(self.memory) // 30)
        curve = " ".join(f"{seconds:.0f}s:{megabytes:.0f}" for seconds, megabytes in self.memory[::step])
        reply = f"median {np.median(self.replies) * 1e3:.0f} ms, slowest {max(self.replies) * 1e3:.0f} ms"
        return (
            f"\n{self.seconds:.0f} s, {len(self.replies)} queries active ({reply}), {self.masks} masks heard, "
            f"{json.dumps(self.counted)}\nmemory (MB) {curve}\ngrowth after the warm-up {100.0 * self.growth():.2f} %"
        )

    def _on_active(self, message: String) -> None:
        self.active = json.loads(message.data)

    def _on_mask(self, message: Image) -> None:
        self.masks += 1
        self.newest = max(self.newest, conversions.stamp_to_ns(message.header.stamp))

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        values = {pair.key: pair.value for pair in message.status[0].values}
        self.memory.append((self.seconds, float(values["memory (MB)"])))
        self.counted = {key: int(value) for key, value in values.items() if key.startswith("frames ")}


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """What the camera shows: a bright square that jumps."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    for place in range(6):
        picture = np.full((240, 320, 3), 20, np.uint8)
        picture[80:160, 40 * place : 40 * place + 60] = 250
        cv2.imwrite(str(folder / f"{place}.png"), picture)
    return folder


@pytest.mark.timeout(int(SECONDS) + 900)
def test_hours_of_change_leave_no_trace(ros, pictures: Path, bright_weights: Path) -> None:
    soak = Soak(ros, pictures, bright_weights)
    number = 0
    while soak.seconds < SECONDS:
        end = soak.seconds + 1.0
        soak.turn(number)
        number += 1
        ros.spin_for(end - soak.seconds)
    print(soak.report())
    assert soak.counted["frames failed"] == soak.counted["frames bad"] == 0, soak.counted
    assert soak.growth() < GROWTH, soak.memory
    soak.node.send(SIGINT)
    assert soak.node.wait() == 0, soak.node.text[-3000:]
    assert "Traceback" not in soak.node.text and "[ERROR]" not in soak.node.text, soak.node.text[-3000:]
