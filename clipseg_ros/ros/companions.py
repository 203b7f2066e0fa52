# SPDX-License-Identifier: Apache-2.0
"""What belongs to a camera's images: calibration and depth, heard only while somebody needs them.

Subscribes (beside the camera's `image`), with the reliability of parameter image_qos
    camera_info   sensor_msgs/CameraInfo
    depth         sensor_msgs/Image 32FC1 (metres) or 16UC1 (millimetres), registered to the image
Messages and images are paired by stamp within `sync_slop`, see clipseg_ros.ros.pairing.
"""

from __future__ import annotations

import time
from collections.abc import Collection
from threading import Condition

from rclpy.node import Node
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header

from clipseg_ros.ros import qos
from clipseg_ros.ros.pairing import pair
from clipseg_ros.ros.parameters import Parameters

NEEDS_DEPTH = frozenset({"points", "target", "target_size"})  # outputs
NEEDS_INFO = NEEDS_DEPTH | {"camera_info"}
PATIENCE = 0.05  # s after an image in which what belongs to it may still come
SILENCE = 5.0  # s without a message after which nobody waits for the next


class Belongings:
    """What came with one image; asking waits while something may still come. header: the image's."""

    def __init__(self, header: Header, expected: Collection[type]) -> None:
        self.header = header
        self._limit = time.monotonic() + PATIENCE
        self._expected = frozenset(expected)
        self._came: dict[type, CameraInfo | Image] = {}
        self._change = Condition()

    @property
    def info(self) -> CameraInfo | None:
        """The camera_info, None where there is none."""
        return self._wait_for(CameraInfo)

    @property
    def depth(self) -> Image | None:
        """The depth image, None where there is none."""
        return self._wait_for(Image)

    def give(self, message: CameraInfo | Image) -> None:
        """From the thread that hears it."""
        with self._change:
            self._came[type(message)] = message
            self._change.notify_all()

    def _wait_for(self, kind: type) -> CameraInfo | Image | None:
        with self._change:
            if kind in self._expected:
                self._change.wait_for(lambda: kind in self._came, max(self._limit - time.monotonic(), 0.0))
            return self._came.get(kind)


class Companions:
    """Both topics of one camera; info, depth: their names before remapping. For the executor's thread alone."""

    def __init__(self, node: Node, settings: Parameters, info: str, depth: str) -> None:
        self._info = _Stream(node, CameraInfo, info, settings)
        self._depth = _Stream(node, Image, depth, settings)

    def follow(self, wanted: Collection[str]) -> None:
        """Listen to what the wanted outputs need and with the QoS that its publishers offer; call it now and then."""
        for stream, outputs in ((self._info, NEEDS_INFO), (self._depth, NEEDS_DEPTH)):
            if outputs.isdisjoint(wanted):
                stream.leave()
            else:
                stream.listen()

    def saw(self, header: Header) -> Belongings:
        """An image came: where to find what belongs to it."""
        streams = (self._info, self._depth)
        belongings = Belongings(header, [stream.kind for stream in streams if stream.lively])
        for stream in streams:
            stream.on_image(belongings)
        return belongings

    def close(self) -> None:
        """Leave both topics; follow listens again."""
        self._info.leave()
        self._depth.leave()


class _Stream:
    """One topic, and its pairing with the images."""

    def __init__(self, node: Node, kind: type, topic: str, settings: Parameters) -> None:
        self.kind = kind
        self._node = node
        self._topic = node.resolve_topic_name(topic)
        self._settings = settings
        self._subscription = None
        self._reliable = False
        self._heard = 0.0  # by time.monotonic
        self._put_image, self._put_message = pair(settings.sync_slop, Belongings.give)

    @property
    def lively(self) -> bool:
        """Whether another message may come soon."""
        return self._subscription is not None and time.monotonic() - self._heard < SILENCE

    def on_image(self, belongings: Belongings) -> None:
        if self._subscription is not None:
            self._put_image(belongings)

    def listen(self) -> None:
        reliable = self._settings.image_qos == "reliable" or (
            self._settings.image_qos == "auto"
            and qos.all_reliable(self._node.get_publishers_info_by_topic(self._topic))
        )
        if self._subscription is not None and reliable == self._reliable:
            return
        self.leave()
        self._reliable = reliable
        options = qos.overridable(qos.camera_input(reliable), reliability=self._settings.image_qos != "auto")
        self._subscription = self._node.create_subscription(self.kind, self._topic, self._hear, **options)
        self._heard = time.monotonic()

    def leave(self) -> None:
        if self._subscription is not None:
            self._node.destroy_subscription(self._subscription)
        self._subscription = None

    def _hear(self, message: CameraInfo | Image) -> None:
        self._heard = time.monotonic()
        self._put_message(message)
