# SPDX-License-Identifier: Apache-2.0
"""The camera's topic: subscribed with the QoS that its publishers offer, watched for silence."""

from __future__ import annotations

import time
from collections.abc import Callable

from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from sensor_msgs.msg import CompressedImage, Image

from clipseg_ros.ros import qos
from clipseg_ros.ros.parameters import Parameters

LOOK_PERIOD = 0.25  # s between looks at the publishers: a look costs 0.1 ms
WARNING_PERIOD = 30.0


class ImageInput:
    """Calls `callback` with each message of the topic `name`, or of <name>/compressed, until it is closed.

    With image_qos auto it starts as best effort, which every camera serves, and follows the publishers: reliable
    as soon as all offer it, best effort when one does not. A frame sent during the change is lost.
    """

    def __init__(
        self, node: Node, name: str, settings: Parameters, callback: Callable[[Image | CompressedImage], None]
    ) -> None:
        self._node = node
        self._settings = settings
        self._callback = callback
        compressed = settings.image_transport == "compressed"
        self._type = CompressedImage if compressed else Image
        self.topic = node.resolve_topic_name(name) + ("/compressed" if compressed else "")
        self._heard = time.monotonic()
        self._reliable = self._wants_reliable()
        self._subscription = self._subscribe()
        # A steady clock: with use_sim_time the node's own stands still until somebody publishes /clock.
        self._timer = node.create_timer(LOOK_PERIOD, self._look, clock=Clock(clock_type=ClockType.STEADY_TIME))

    @property
    def silence(self) -> float:
        """Seconds since the last message, or since the start."""
        return time.monotonic() - self._heard

    def close(self) -> None:
        """Leave the topic."""
        self._node.destroy_timer(self._timer)
        self._node.destroy_subscription(self._subscription)

    def _subscribe(self):
        options = qos.overridable(qos.camera_input(self._reliable), reliability=self._settings.image_qos != "auto")
        return self._node.create_subscription(self._type, self.topic, self._hear, **options)

    def _hear(self, message: Image | CompressedImage) -> None:
        self._heard = time.monotonic()
        self._callback(message)

    def _wants_reliable(self) -> bool:
        if self._settings.image_qos == "auto":
            return qos.all_reliable(self._node.get_publishers_info_by_topic(self.topic))
        return self._settings.image_qos == "reliable"

    def _look(self) -> None:
        reliable = self._wants_reliable()
        if reliable != self._reliable:
            self._reliable = reliable
            self._node.destroy_subscription(self._subscription)
            self._subscription = self._subscribe()
            self._node.get_logger().info(f"{self.topic}: {'reliable' if reliable else 'best effort'} from now on")
        if self.silence > self._settings.frame_timeout:
            self._node.get_logger().warning(self._complaint(), throttle_duration_sec=WARNING_PERIOD)

    def _complaint(self) -> str:
        publishers = self._node.get_publishers_info_by_topic(self.topic)
        wanted = "reliable" if self._reliable else "best effort"
        remedy = "remap it: --ros-args -r image:=/your/camera/image"
        if publishers:
            remedy = "see image_transport for the type, image_qos for the QoS, and whether the camera runs"
        return (
            f"no image on {self.topic} for {self.silence:.0f} s (asked for as {self._type.__name__}, {wanted}); "
            f"{qos.describe(publishers)}; {remedy}"
        )
