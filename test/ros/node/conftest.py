# SPDX-License-Identifier: Apache-2.0
"""The node in this process, around an engine without a network that marks what is brighter than grey."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from threading import Event
from types import ModuleType

import numpy as np
import pytest
import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter
from sensor_msgs.msg import Image
from std_msgs.msg import String

from clipseg_ros.engines import ENGINES
from clipseg_ros.masks import LogitMaps
from clipseg_ros.ros import conversions, qos
from clipseg_ros.segmentation import Frame, Segmentation

TIMEOUT = 60.0  # s


class BrightEngine:
    """Finds every prompt where the image is brighter than grey. `gate` holds its calls; `error` is raised by them."""

    threshold, device = 0.5, "cpu"

    def __init__(self, weights: str, device: str, precision: str) -> None:
        self.batches: list[list[tuple[int, int]]] = []  # sizes of the images of each call
        self.memories: list[list[object]] = []
        self.gate, self.error, self.closed = Event(), None, False
        self.gate.set()
        if weights == "cold":
            self.error = RuntimeError("out of memory")

    def check(self, prompts) -> None:
        pass

    def unknown_words(self, text: str) -> tuple[str, ...]:
        return ()

    def segment_batch(self, images, prompts, memories=()) -> list[Segmentation]:
        self.batches.append([image.shape[:2] for image in images])
        self.memories.append(list(memories))
        assert self.gate.wait(TIMEOUT)
        if self.error is not None:
            raise self.error
        planes = [np.where(image.mean(axis=2) > 128.0, np.float32(9.0), np.float32(-9.0)) for image in images]
        stacks = [LogitMaps(np.repeat(plane[None], len(prompts), axis=0), plane.shape) for plane in planes]
        return [Segmentation(tuple(prompts), maps, self.threshold) for maps in stacks]

    def close(self) -> None:
        self.closed = True


class Inside:
    """A node `segment` in this process around a BrightEngine, and another node that is its cameras and listeners."""

    def __init__(self, domain: int, spin_until: Callable[..., object], settings: dict[str, object]) -> None:
        from clipseg_ros.ros.node import SegmentNode

        given = {"engine": "bright", "weights": "none", **settings}
        args = [word for name, value in given.items() for word in ("-p", f"{name}:={value}")]
        rclpy.init(args=["--ros-args", *args], domain_id=domain)
        self._spin_until = spin_until
        self.segment = SegmentNode()
        self.node = Node("other", use_global_arguments=False)
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(self.segment)
        self._executor.add_node(self.node)
        self.reports: list[DiagnosticArray] = []
        self.node.create_subscription(DiagnosticArray, "/diagnostics", self.reports.append, qos.QUERY)
        self._told: list[String] = []
        self.node.create_subscription(String, "/segment/active_queries", self._told.append, qos.LATCHED)
        self._publishers: dict[str, object] = {}

    @property
    def engine(self) -> BrightEngine:
        return self.segment._engine

    @property
    def active(self) -> dict:
        return json.loads(self._told[-1].data)

    def until(self, condition: Callable[[], object], what: str) -> object:
        return self._spin_until(self.node, condition, what)

    def spin_for(self, seconds: float) -> None:
        limit = time.monotonic() + seconds
        while time.monotonic() < limit:
            self._executor.spin_once(timeout_sec=0.02)

    def set(self, name: str, value: object) -> None:
        (result,) = self.segment.set_parameters([Parameter(name, value=value)])
        assert result.successful, result.reason

    def listen(self, topic: str) -> list[Image]:
        messages: list[Image] = []
        self.node.create_subscription(Image, topic, messages.append, qos.QUERY)  # every one, however fast
        self.until(lambda: self.node.count_publishers(topic), f"a publisher of {topic}")
        return messages

    def deafen(self, topic: str) -> None:
        """Nobody listens to the topic any more."""
        for subscription in [each for each in self.node.subscriptions if each.topic_name == topic]:
            self.node.destroy_subscription(subscription)

    def hears(self, topic: str) -> bool:
        """Whether the node listens to a camera's topic."""
        return bool(self.node.count_subscribers(topic))

    def show(self, topic: str, stamp_ns: int, size: tuple[int, int] = (4, 6), level: int = 250) -> None:
        """A camera's picture of one level."""
        image = np.full((*size, 3), level, np.uint8)
        if topic not in self._publishers:
            self._publishers[topic] = self.node.create_publisher(Image, topic, qos.OUTPUT)
        self.until(lambda: self._is_heard(topic), f"a reliable subscription of {topic}")
        self._publishers[topic].publish(conversions.image_to_ros(image, "rgb8", Frame(image, stamp_ns, topic)))

    def _is_heard(self, topic: str) -> bool:
        """Whether the node hears every picture: it begins as best effort and loses those sent while it changes."""
        asked = [info.qos_profile.reliability for info in self.node.get_subscriptions_info_by_topic(topic)]
        return asked == [qos.OUTPUT.reliability] and self._publishers[topic].get_subscription_count() == 1

    def report(self, place: int = 0) -> dict[str, object]:
        """The diagnosis after the next, of the camera at this place: of a whole second from now on."""
        count = len(self.reports) + 2
        self.until(lambda: len(self.reports) >= count, "a diagnosis")
        status = self.reports[-1].status[place]
        words = {"name": status.name, "level": status.level, "message": status.message}
        return {**words, **{pair.key: pair.value for pair in status.values}}

    def close(self) -> None:
        self.segment.stop()
        self._executor.shutdown()
        self.segment.destroy_node()
        self.node.destroy_node()
        rclpy.try_shutdown()


@pytest.fixture
def enter(
    ros_domain: int, spin_until: Callable[..., object], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., Inside]]:
    """enter(name=value, ...) is a node with these parameters."""
    module = ModuleType("bright_engine")
    module.BrightEngine = BrightEngine
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setitem(ENGINES, "bright", "bright_engine:BrightEngine")
    entered: list[Inside] = []

    def make(**settings: object) -> Inside:
        entered.append(Inside(ros_domain, spin_until, settings))
        return entered[-1]

    yield make
    for inside in entered:
        inside.close()
