# SPDX-License-Identifier: Apache-2.0
"""QoS profiles that a file of parameters may change, on a real rclpy node."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import rclpy
from rclpy.context import Context
from rclpy.node import Node
from rclpy.qos import ReliabilityPolicy
from std_msgs.msg import String

from clipseg_ros.ros import qos

OVERRIDES = {
    "qos_overrides./out.publisher.reliability": "best_effort",
    "qos_overrides./out.publisher.depth": 7,
    "qos_overrides./in.subscription.depth": 9,
    "qos_overrides./in.subscription.reliability": "best_effort",
}


@pytest.fixture
def node(ros_domain: int) -> Iterator[Node]:
    context = Context()
    args = [word for name, value in OVERRIDES.items() for word in ("-p", f"{name}:={value}")]
    rclpy.init(context=context, domain_id=ros_domain, args=["--ros-args", *args])
    node = Node("segment", context=context)
    yield node
    node.destroy_node()
    rclpy.try_shutdown(context=context)


def test_a_parameter_changes_a_topic_and_no_other(node: Node) -> None:
    changed = node.create_publisher(String, "out", **qos.overridable(qos.OUTPUT))
    (offer,) = [info.qos_profile for info in node.get_publishers_info_by_topic("/out")]
    assert offer.reliability == ReliabilityPolicy.BEST_EFFORT
    node.create_publisher(String, "other", **qos.overridable(qos.OUTPUT))
    (offer,) = [info.qos_profile for info in node.get_publishers_info_by_topic("/other")]
    assert offer.reliability == ReliabilityPolicy.RELIABLE == qos.OUTPUT.reliability
    assert changed is not None and qos.OUTPUT.depth == 1


def test_reliability_is_left_to_the_node_where_it_follows_the_publishers(node: Node) -> None:
    for reliable in (True, False, True):  # taken, given up and taken again
        options = qos.overridable(qos.camera_input(reliable), reliability=False)
        subscription = node.create_subscription(String, "in", lambda message: None, **options)
        (asked,) = [info.qos_profile for info in node.get_subscriptions_info_by_topic("/in")]
        assert (asked.reliability == ReliabilityPolicy.RELIABLE) is reliable
        node.destroy_subscription(subscription)
    assert node.get_parameter("qos_overrides./in.subscription.depth").value == 9
