# SPDX-License-Identifier: Apache-2.0
"""A running node, in its own process, spoken to over DDS. Its network marks what is brighter than grey."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from signal import SIGINT

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticArray
from rcl_interfaces.srv import SetParameters
from rclpy.parameter import Parameter
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image
from std_msgs.msg import String

from clipseg_ros.ros import conversions, qos
from clipseg_ros.segmentation import Frame

VOCABULARY = ["a", "cat", "dog", "bird", "red", "something", "to", "ride", "on", "horse", "pony", "motorcycle"]
DTYPES = {"mono8": (np.uint8, ()), "rgb8": (np.uint8, (3,)), "32FC1": (np.float32, ())}


class Bench:
    """The running node and the hands to play with it."""

    RELIABLE = QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE)
    BEST_EFFORT = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
    SHAPE = np.s_[8:24, 40:56]
    DARK, BRIGHT = 20, 250

    def __init__(self, ros, process) -> None:
        self.ros, self.process = ros, process
        self.seen = ros.collect(String, "/segment/active_queries", qos.LATCHED)
        self._reports = ros.collect(DiagnosticArray, "/diagnostics", qos.QUERY)
        topics = ("seg_query", "seg_affordance")
        self._queries = {topic: ros.node.create_publisher(String, f"/{topic}", qos.QUERY) for topic in topics}
        ros.spin_until(
            lambda: self.seen and all(each.get_subscription_count() for each in self._queries.values()), "the node"
        )

    @classmethod
    def picture(
        cls, height: int = 48, width: int = 64, shape: tuple[slice, slice] = SHAPE, level: int = BRIGHT
    ) -> np.ndarray:
        image = np.full((height, width, 3), cls.DARK, np.uint8)
        image[shape] = level
        return image

    @staticmethod
    def array(message: Image) -> np.ndarray:
        dtype, channels = DTYPES[message.encoding]
        return np.frombuffer(message.data, dtype).reshape(message.height, message.width, *channels)

    @property
    def active(self) -> dict:
        return json.loads(self.seen[-1].data)

    @property
    def texts(self) -> list[str]:
        return [query["text"] for query in self.active["queries"]]

    def send(self, text: str, topic: str = "seg_query") -> None:
        self._queries[topic].publish(String(data=text))

    def query(self, text: str, *texts: str, topic: str = "seg_query") -> dict:
        """What is active once the node has these texts, of all sources."""
        self.send(text, topic)
        wanted = list(texts) if texts or not text else [text]
        self.ros.spin_until(lambda: self.texts == wanted, f"the answer to {text!r}")
        return self.active

    def refusal(self, text: str, topic: str = "seg_query") -> str:
        self.send(text, topic)
        self.ros.spin_until(lambda: self.active["refused"] and self.active["refused"]["text"] == text, "the refusal")
        assert self.active["refused"]["source"] == topic
        return self.active["refused"]["reason"]

    def set(self, name: str, value: object):
        request = SetParameters.Request(parameters=[Parameter(name, value=value).to_parameter_msg()])
        return self.ros.call(SetParameters, "/segment/set_parameters", request).results[0]

    def report(self, place: int = 0) -> dict[str, str]:
        """The next diagnosis, of the camera at this place."""
        count = len(self._reports)
        self.ros.spin_until(lambda: len(self._reports) > count, "a diagnosis")
        status = self._reports[-1].status[place]
        words = {"name": status.name, "level": status.level, "message": status.message}
        return {**words, **{pair.key: pair.value for pair in status.values}}

    def camera(self, image: np.ndarray, profile: QoSProfile = RELIABLE, rate: float = 20.0, topic: str = "/image"):
        def make() -> Image:
            frame = Frame(image, self.ros.node.get_clock().now().nanoseconds, "optical")
            return conversions.image_to_ros(image, "rgb8", frame)

        return self.ros.repeat(Image, topic, profile, rate, make)

    def listen(self, topic: str = "mask"):
        return self.ros.listen(Image, f"/segment/{topic}", qos.OUTPUT)

    def next_of(self, messages: list, count: int = 1) -> Image:
        """The newest after `count` more came: the first may still show what was before."""
        wanted = len(messages) + count
        self.ros.spin_until(lambda: len(messages) >= wanted, "an image of the node")
        return messages[-1]

    def clear(self) -> None:
        """Neither a query nor an affordance is left."""
        self.send("", "seg_affordance")
        self.send("")
        self.ros.spin_until(lambda: not self.texts, "an empty set")


@pytest.fixture(scope="module")
def settings() -> dict[str, object]:
    """Parameters of the node of a test file, by name; a file may have its own."""
    return {}


@pytest.fixture(scope="module")
def running(
    shared_ros, bright_weights: Path, tmp_path_factory: pytest.TempPathFactory, settings: dict[str, object]
) -> Iterator[Bench]:
    folder = shutil.copytree(bright_weights, tmp_path_factory.mktemp("known") / "weights")
    (folder / "clipseg_ros.json").write_text(json.dumps({"vocabulary": VOCABULARY, "threshold": 0.5}))
    given = {"weights": folder, "engine_options": "side=128", "max_queries": 4, "device": "cpu", **settings}
    args = [word for name, value in given.items() for word in ("-p", f"{name}:={value}")]
    process = shared_ros.start("-m", "clipseg_ros.ros.node", "--ros-args", *args)
    process.wait_for("active: images from")
    yield Bench(shared_ros, process)
    process.send(SIGINT)
    assert process.wait() == 0 and "Traceback" not in process.text, process.text


@pytest.fixture
def bench(running: Bench) -> Bench:
    running.clear()
    return running
