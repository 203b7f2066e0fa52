# SPDX-License-Identifier: Apache-2.0
"""The node's image topics: what of a segmentation is published where, computed only for those who listen."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from rclpy.lifecycle import LifecycleNode
from sensor_msgs.msg import Image

from clipseg_ros import masks
from clipseg_ros.queries import Entry
from clipseg_ros.ros import qos
from clipseg_ros.ros.conversions import image_to_ros
from clipseg_ros.segmentation import Frame, Segmentation

TOPICS = ("mask", "labels", "score", "overlay")


class Outputs:
    """Publishers of ~/mask, ~/labels, ~/score and ~/overlay; silent while the node is not active."""

    def __init__(self, node: LifecycleNode) -> None:
        self._topics = {
            topic: node.create_lifecycle_publisher(Image, f"~/{topic}", qos.OUTPUT) for topic in TOPICS
        }

    def wanted(self) -> tuple[str, ...]:
        """The topics that somebody listens to."""
        return tuple(topic for topic, publisher in self._topics.items() if publisher.get_subscription_count())

    def messages(
        self, frame: Frame, result: Segmentation, entries: Sequence[Entry], opacity: float
    ) -> dict[str, Image]:
        """What the wanted topics get of a result whose prompts are those of `entries`; labels are the entries' ids."""
        wanted = self.wanted()
        labels = with_ids(result.labels(), entries) if {"mask", "labels", "overlay"}.intersection(wanted) else None
        make: dict[str, Callable[[], Image]] = {
            "mask": lambda: image_to_ros(np.where(labels > 0, np.uint8(255), np.uint8(0)), "mono8", frame),
            "labels": lambda: image_to_ros(labels, "mono8", frame),
            "score": lambda: image_to_ros(result.score, "32FC1", frame),
            "overlay": lambda: image_to_ros(masks.overlay(frame.image, labels, opacity), "rgb8", frame),
        }
        return {topic: make[topic]() for topic in wanted}

    def publish(self, messages: dict[str, Image]) -> None:
        """Send what `messages` made."""
        for topic, message in messages.items():
            self._topics[topic].publish(message)


def with_ids(labels: np.ndarray, entries: Sequence[Entry]) -> np.ndarray:
    """(H, W) uint8: positional labels, 1 + index, as the entries' ids; 0 stays 0."""
    return np.array([0, *(entry.id for entry in entries)], np.uint8)[labels]
