# SPDX-License-Identifier: Apache-2.0
"""Messages that nobody should send: after each the node answers a good frame, and it ends in peace.

FUZZ=all sends thousands, as `make soak` does; else a tenth of them.
"""

from __future__ import annotations

import json
import os
import random
import time
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from signal import SIGINT

import cv2
import numpy as np
import pytest
from builtin_interfaces.msg import Time
from geometry_msgs.msg import PointStamped
from lifecycle_msgs.srv import ChangeState
from rcl_interfaces.msg import Parameter, ParameterValue
from rcl_interfaces.srv import SetParameters, SetParametersAtomically
from rclpy import parameter
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, PointCloud2
from std_msgs.msg import Header, String

from clipseg_ros.encodings import ENCODINGS
from clipseg_ros.ros import conversions, qos
from clipseg_ros.ros.parameters import Parameters
from clipseg_ros.segmentation import Frame

PICTURE = np.full((12, 16, 3), 250, np.uint8)
PART = 1 if os.environ.get("FUZZ") == "all" else 10
RESEND = 1.0  # s: a result of queries that changed meanwhile is dropped
PATIENCE = 300.0  # s, on a busy machine
TEXTS = (
    "", " ", ";", "red mug", "x" * 300, "y" * 100_000, "\n\r\t", "\u202e\ufeff", "naïve ☕ 杯子", "a\x07b", "[", "[[",
    "]", "[" * 3000, '[{"text": "a"', '["\\ud800"]', "[1e999]", "[NaN]", "[null]", "{}", '"', "\\", "../../etc", "%s%n",
)
KEYS = ("text", "label", "threshold", "once", "text_weight", "support", "Text", "", "\u0000", "id")
VALUES = (None, True, False, 0, -1, 0.5, 1.0, 1e308, -1e-320, 10**40, [], {}, [[]], {"a": 1}, *TEXTS[:12])
TYPES = [getattr(parameter.Parameter.Type, name).value for name in parameter.Parameter.Type.__members__] + [42, 255]
LIVE = [entry for entry in fields(Parameters) if not entry.metadata["fixed"]]
NAMES = [entry.name for entry in fields(Parameters)] + ["", "nobody", "queries.x", "a" * 500, "☕", "qos_overrides"]


class Victim:
    """The node, and what is thrown at it. Every draw is of one seeded generator."""

    def __init__(self, ros, process, kind: type, topic: str) -> None:
        self.ros, self.process, self.draw = ros, process, random.Random(20)
        self.images = ros.node.create_publisher(kind, topic, qos.OUTPUT)
        self.active: dict = {"queries": []}
        self._answered: set[int] = set()
        self._asked = ""
        ros.node.create_subscription(Image, "/segment/mask", self._on_mask, qos.OUTPUT)
        ros.node.create_subscription(String, "/segment/active_queries", self._on_active, qos.LATCHED)
        self._queries = ros.node.create_publisher(String, "/seg_query", qos.QUERY)
        self._parameters = ros.node.create_client(SetParameters, "/segment/set_parameters")
        self._clock = 0
        ros.spin_until(self._is_heard, "the node", PATIENCE)

    def ask(self, text: str) -> None:
        """A good query, and that it is active; sent again and again: what other publishers sent before may come after it
        and take its place, and an empty text is a good query too."""
        end, self._asked = time.monotonic() + PATIENCE, text
        while text not in [query["text"] for query in self.active["queries"]]:
            assert self.process.running and time.monotonic() < end, f"{text!r} not active:\n{self.process.text[-3000:]}"
            self._queries.publish(String(data=text))
            soon = time.monotonic() + RESEND
            while time.monotonic() < soon and text not in [query["text"] for query in self.active["queries"]]:
                self.ros.node.executor.spin_once(timeout_sec=0.01)

    def look(self, *before: tuple[object, object]) -> None:
        """A good frame, and its mask; before: publishers and messages that get its stamp and go first."""
        end = time.monotonic() + PATIENCE
        while True:
            assert self.process.running and time.monotonic() < end, f"no answer:\n{self.process.text[-3000:]}"
            self._clock += 1_000_000
            stamp = self._clock
            for publisher, message in before:
                message.header.stamp = conversions.stamp_from_ns(stamp)
                publisher.publish(message)
            self.images.publish(self.good(stamp))
            soon = time.monotonic() + RESEND
            while time.monotonic() < soon:
                if stamp in self._answered:
                    return
                self.ros.node.executor.spin_once(timeout_sec=0.01)
            if self._asked:
                self.ask(self._asked)

    def good(self, stamp: int) -> Image | CompressedImage:
        frame = Frame(PICTURE, stamp, "optical")
        if self.images.msg_type is Image:
            return conversions.image_to_ros(PICTURE, "rgb8", frame)
        return packed(cv2.imencode(".png", PICTURE)[1].tobytes(), conversions.header_of(frame))

    def set(self, *changes: Parameter) -> list:
        future = self._parameters.call_async(SetParameters.Request(parameters=changes))
        self.ros.spin_until(future.done, "the answer to parameters", PATIENCE)
        return future.result().results

    def header(self) -> Header:
        second = self.draw.choice([0, 1, -1, 2**31 - 1, -(2**31)])
        nanosecond = self.draw.choice([0, 7, 999_999_999, 1_000_000_000, 2**32 - 1])
        return Header(stamp=Time(sec=second, nanosec=nanosecond), frame_id=self.draw.choice(TEXTS[:5]))

    def image(self) -> Image:
        sizes = [0, 1, 2, 3, 7, 640, 2**16, 2**32 - 1]
        height, width, step = (self.draw.choice(sizes) for _ in range(3))
        message = Image(header=self.header(), height=height, width=width, step=step)
        message.encoding = self.draw.choice([*ENCODINGS, "32FC1", "16UC1", "8UC3", "nv21", *TEXTS[:12]])
        message.is_bigendian = self.draw.choice([0, 1, 255])
        message.data.frombytes(self.draw.randbytes(self.draw.choice([0, 1, 5, 100, 2000])))
        return message

    def query(self) -> str:
        if self.draw.random() < 0.5:
            return "".join(self.draw.choices((*TEXTS, *KEYS), k=self.draw.randint(1, 4)))
        items = [self.item() for _ in range(self.draw.choice([0, 1, 2, 3, 300]))]
        return json.dumps(items, ensure_ascii=self.draw.random() < 0.9)

    def item(self) -> object:
        if self.draw.random() < 0.3:
            return self.draw.choice(VALUES)
        keys = self.draw.sample(KEYS, self.draw.randint(0, 4))
        return {key: self.draw.choice(VALUES) for key in keys}

    def change(self) -> Parameter:
        value = ParameterValue(type=self.draw.choice(TYPES))
        value.bool_value, value.string_value = self.draw.random() < 0.5, self.draw.choice(TEXTS).replace("\0", "")
        value.integer_value = self.draw.choice([0, 1, -1, 5, 2**63 - 1, -(2**63)])
        value.double_value = self.draw.choice([0.0, -1.0, 0.5, 1.0, float("nan"), float("inf"), 1e308, -1e-320])
        value.string_array_value = self.draw.choices(TEXTS, k=self.draw.randint(0, 3))
        value.double_array_value, value.integer_array_value = [float("nan")], [2**62]
        return Parameter(name=self.draw.choice(NAMES), value=value)

    def _is_heard(self) -> bool:
        heard = self.images.get_subscription_count() and self._queries.get_subscription_count()
        return heard and self._parameters.service_is_ready() and self.ros.node.count_publishers("/segment/mask") > 0

    def _on_mask(self, message: Image) -> None:
        self._answered.add(conversions.stamp_to_ns(message.header.stamp))

    def _on_active(self, message: String) -> None:
        self.active = json.loads(message.data)


def packed(data: bytes, header: Header) -> CompressedImage:
    message = CompressedImage(header=header, format="png")
    message.data.frombytes(data)
    return message


def victim_of(ros, weights: Path, kind: type, topic: str, transport: str) -> Iterator[Victim]:
    given = {
        "weights": weights, "engine_options": "side=128", "device": "cpu", "image_transport": transport,
        "max_queries": 254, "queries": "cat",
    }
    words = [word for name, value in given.items() for word in ("-p", f"{name}:={value}")]
    process = ros.start("-m", "clipseg_ros.ros.node", "--ros-args", *words)
    process.wait_for("active: images from", PATIENCE)
    yield (victim := Victim(ros, process, kind, topic))
    victim.look()
    process.send(SIGINT)
    assert process.wait(PATIENCE) == 0 and "Traceback" not in process.text, process.text[-5000:]


@pytest.fixture
def victim(ros, bright_weights: Path) -> Iterator[Victim]:
    """A node that takes raw images."""
    yield from victim_of(ros, bright_weights, Image, "/image", "raw")


@pytest.fixture
def unpacker(ros, bright_weights: Path) -> Iterator[Victim]:
    """A node that takes picture files."""
    yield from victim_of(ros, bright_weights, CompressedImage, "/image/compressed", "compressed")


def test_a_good_frame_is_answered_after_every_bad_image(victim: Victim) -> None:
    for _ in range(1000 // PART):
        victim.images.publish(victim.image())
        victim.ros.node.executor.spin_once(timeout_sec=0.002)  # else the good one takes its place unread
        victim.look()


def test_a_good_frame_is_answered_after_every_bad_picture_file(unpacker: Victim) -> None:
    draw, files = unpacker.draw, [cv2.imencode(kind, PICTURE)[1].tobytes() for kind in (".png", ".jpg")]
    for _ in range(500 // PART):
        data = bytearray(draw.choice(files)[: draw.randint(0, 700)])
        for _ in range(draw.randint(0, 3)):
            if len(data) > 30:
                data[draw.randrange(25, len(data))] = draw.randrange(256)
        unpacker.images.publish(packed(bytes(data), unpacker.header()))
        unpacker.ros.node.executor.spin_once(timeout_sec=0.002)
        unpacker.look()


def test_a_good_frame_is_answered_whatever_depth_and_calibration_come_with_it(victim: Victim) -> None:
    node, numbers = victim.ros.node, [0.0, -1.0, 1e-308, float("nan"), float("inf"), 100.0]
    depth = node.create_publisher(Image, "/depth", qos.OUTPUT)
    info = node.create_publisher(CameraInfo, "/camera_info", qos.OUTPUT)
    for kind, topic in ((PointCloud2, "points"), (PointStamped, "target"), (CameraInfo, "camera_info")):
        node.create_subscription(kind, f"/segment/{topic}", id, qos.OUTPUT)
    for _ in range(150 // PART):
        calibration = CameraInfo(height=victim.draw.choice([0, 12, 99]), width=victim.draw.choice([0, 16, 99]))
        calibration.k = [victim.draw.choice(numbers) for _ in range(9)]
        calibration.p = [victim.draw.choice(numbers) for _ in range(12)]
        surface = victim.image()
        if victim.draw.random() < 0.5:
            values = np.array(victim.draw.choices(numbers, k=12 * 16), np.float32)
            surface = Image(height=12, width=16, encoding="32FC1", step=64)
            surface.data.frombytes(values.view(np.uint8))
        victim.look((depth, surface), (info, calibration))


def test_a_good_frame_is_answered_after_every_bad_query(victim: Victim) -> None:
    node = victim.ros.node
    topics = [node.create_publisher(String, f"/{topic}", qos.QUERY) for topic in ("seg_query", "seg_affordance")]
    supports = [node.create_publisher(Image, f"/seg_support/{part}", qos.QUERY) for part in ("image", "mask")]
    for turn in range(150 // PART):
        for _ in range(9):  # the queue of the node holds ten
            victim.draw.choice(topics).publish(String(data=victim.query().replace("\0", "")))
        for publisher in supports:
            message = victim.image()
            message.header = Header(stamp=Time(sec=turn))
            publisher.publish(message)
        victim.ask(f"good {turn}")
        victim.look()


def test_a_good_frame_is_answered_after_every_bad_parameter(victim: Victim) -> None:
    numbers = [entry for entry in LIVE if type(entry.default) in (int, float)]
    defaults = [parameter.Parameter(entry.name, value=entry.default) for entry in numbers]
    defaults.append(parameter.Parameter("queries", value=[""]))
    for turn in range(75 // PART):
        changes = [victim.change() for _ in range(20)]
        assert len(victim.set(*changes)) == len(changes)
        assert all(result.successful for result in victim.set(*(each.to_parameter_msg() for each in defaults)))
        victim.ask(f"good {turn}")
        victim.look()


def test_values_of_no_known_type_are_refused_beside_those_that_are_taken(victim: Victim) -> None:
    odd = Parameter(name="threshold", value=ParameterValue(type=42))
    good = parameter.Parameter("threshold", value=0.25).to_parameter_msg()
    assert [result.successful for result in victim.set(good, odd, good)] == [True, False, True]
    for changes, taken in (([good, odd], False), ([good], True)):
        request = SetParametersAtomically.Request(parameters=changes)
        result = victim.ros.call(SetParametersAtomically, "/segment/set_parameters_atomically", request).result
        assert result.successful == taken and (taken or "threshold, threshold: 42 is not a valid" in result.reason)


def test_a_transition_that_is_none_is_refused(victim: Victim) -> None:
    for number in range(100, 256, 5):
        request = ChangeState.Request()
        request.transition.id, request.transition.label = number, TEXTS[number % 5]
        assert not victim.ros.call(ChangeState, "/segment/change_state", request).success
    victim.look()
