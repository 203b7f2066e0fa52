# SPDX-License-Identifier: Apache-2.0
"""The QoS profiles of the node's topics, and what the publishers of a topic offer."""

from __future__ import annotations

import copy
from collections.abc import Sequence

from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSPolicyKind, QoSProfile, ReliabilityPolicy
from rclpy.qos_overriding_options import QoSOverridingOptions
from rclpy.topic_endpoint_info import TopicEndpointInfo


def _profile(depth: int, reliable: bool = True, latched: bool = False) -> QoSProfile:
    return QoSProfile(
        history=HistoryPolicy.KEEP_LAST,
        depth=depth,
        reliability=ReliabilityPolicy.RELIABLE if reliable else ReliabilityPolicy.BEST_EFFORT,
        durability=DurabilityPolicy.TRANSIENT_LOCAL if latched else DurabilityPolicy.VOLATILE,
    )


OUTPUT = _profile(1)  # what RViz asks for; a best-effort consumer is served too
QUERY = _profile(10)  # volatile: `ros2 topic pub` offers no more on some distributions
LATCHED = _profile(1, latched=True)  # late joiners get the last message


def overridable(profile: QoSProfile, reliability: bool = True) -> dict[str, QoSProfile | QoSOverridingOptions]:
    """Arguments of create_publisher and create_subscription: the profile, and that a file of parameters may change it.

    Parameters qos_overrides.<topic>.<publisher or subscription>.{history, depth, reliability}; reliability: False
    leaves that one out, where the node decides. rclpy writes what they say into the profile that it gets, hence a copy.
    """
    policies = [QoSPolicyKind.HISTORY, QoSPolicyKind.DEPTH, *([QoSPolicyKind.RELIABILITY] if reliability else [])]
    return {"qos_profile": copy.copy(profile), "qos_overriding_options": QoSOverridingOptions(policies)}


def camera_input(reliable: bool) -> QoSProfile:
    """Depth 1, so that the newest frame wins; a reliable one hears no best-effort publisher."""
    return _profile(1, reliable)


def all_reliable(publishers: Sequence[TopicEndpointInfo]) -> bool:
    """Whether there are publishers and every one offers to deliver reliably."""
    return bool(publishers) and all(p.qos_profile.reliability == ReliabilityPolicy.RELIABLE for p in publishers)


def describe(publishers: Sequence[TopicEndpointInfo]) -> str:
    """A phrase for people: each publisher's node, type and offer."""
    if not publishers:
        return "it has no publisher"
    offers = (
        f"{p.node_namespace.rstrip('/')}/{p.node_name} offers {p.topic_type} {p.qos_profile.reliability.name} "
        f"{p.qos_profile.durability.name}"
        for p in publishers
    )
    return f"its publishers: {', '.join(offers)}"
