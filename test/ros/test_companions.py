# SPDX-License-Identifier: Apache-2.0
"""Calibration and depth that belong to an image, over DDS, and how long an answer waits for them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from threading import Timer

import pytest
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header

from clipseg_ros.ros import companions
from clipseg_ros.ros.companions import PATIENCE, Belongings, Companions
from clipseg_ros.ros.conversions import stamp_from_ns
from clipseg_ros.ros.parameters import Parameters

BEST_EFFORT = QoSProfile(depth=5, reliability=ReliabilityPolicy.BEST_EFFORT)
RELIABLE = QoSProfile(depth=5, reliability=ReliabilityPolicy.RELIABLE)


def header(milliseconds: float) -> Header:
    return Header(stamp=stamp_from_ns(round(milliseconds * 1e6)), frame_id="optical")


def test_what_is_not_expected_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(companions, "PATIENCE", 60.0)
    began = time.monotonic()
    belongings = Belongings(header(0), [])
    assert belongings.info is None and belongings.depth is None
    assert time.monotonic() - began < 30.0


def test_what_is_expected_is_waited_for_but_not_for_long() -> None:
    began = time.monotonic()
    belongings = Belongings(header(0), [Image, CameraInfo])
    assert belongings.depth is None and belongings.info is None
    assert 0.9 * PATIENCE <= time.monotonic() - began < 100 * PATIENCE


def test_what_comes_late_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(companions, "PATIENCE", 20.0)  # a busy machine starts a thread late
    belongings, message = Belongings(header(0), [Image]), Image()
    late = Timer(PATIENCE, lambda: belongings.give(message))
    late.start()
    assert belongings.depth is message
    late.join()
    assert Belongings(header(0), [Image]).info is None


class Bench:
    """Companions on the test's node, and its publishers."""

    def __init__(self, ros, **settings: object) -> None:
        self.ros = ros
        self.companions = Companions(ros.node, Parameters(**settings), "wrist/camera_info", "wrist/depth")
        self.info = ros.node.create_publisher(CameraInfo, "/wrist/camera_info", RELIABLE)
        self.depth = ros.node.create_publisher(Image, "/wrist/depth", BEST_EFFORT)

    def heard(self) -> tuple[int, int]:
        return self.info.get_subscription_count(), self.depth.get_subscription_count()

    def listen(self) -> None:
        """Until both are heard with the QoS that they are offered with."""

        def is_settled() -> bool:
            self.companions.follow(("target",))
            infos = self.ros.node.get_subscriptions_info_by_topic("/wrist/camera_info")
            offers = [info.qos_profile.reliability for info in infos]
            return self.heard() == (1, 1) and offers == [ReliabilityPolicy.RELIABLE]

        self.ros.spin_until(is_settled, "both topics")

    def send(self, milliseconds: float) -> None:
        """Both, and let them arrive."""
        self.info.publish(CameraInfo(header=header(milliseconds)))
        self.depth.publish(Image(header=header(milliseconds)))
        self.ros.spin_for(0.3)


@pytest.fixture
def bench(ros) -> Iterator[Bench]:
    own = Bench(ros)
    yield own
    own.companions.close()


def test_only_what_somebody_needs_is_subscribed_to(bench: Bench) -> None:
    for wanted, heard in (
        (("mask", "overlay"), (0, 0)),
        (("camera_info",), (1, 0)),
        (("mask", "target_size"), (1, 1)),
        (("points",), (1, 1)),
        ((), (0, 0)),
    ):
        bench.companions.follow(wanted)
        bench.ros.spin_until(lambda: bench.heard() == heard, f"the subscriptions {heard} for {wanted}")
    bench.companions.follow(("target",))
    bench.ros.spin_until(lambda: bench.heard() == (1, 1), "both again")
    bench.companions.close()
    bench.ros.spin_until(lambda: bench.heard() == (0, 0), "leaving")


def test_each_topic_is_asked_for_as_its_publisher_offers_it(bench: Bench) -> None:
    bench.listen()
    offers = [bench.ros.node.get_subscriptions_info_by_topic(f"/wrist/{name}") for name in ("camera_info", "depth")]
    expected = [ReliabilityPolicy.RELIABLE, ReliabilityPolicy.BEST_EFFORT]
    assert [[info.qos_profile.reliability for info in infos] for infos in offers] == [[policy] for policy in expected]


def test_an_image_gets_what_has_its_stamp_whichever_came_first(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.listen()
    monkeypatch.setattr(companions, "PATIENCE", 0.5)
    bench.send(1000)
    before = bench.companions.saw(header(1000))
    after = bench.companions.saw(header(1033))
    alone = bench.companions.saw(header(1100))
    bench.send(1033 + 15)  # within sync_slop
    for belongings, stamp in ((before, 1000), (after, 1048)):
        assert belongings.info.header == belongings.depth.header == header(stamp)
    assert alone.info is None and alone.depth is None


def test_what_belongs_to_an_image_stays_while_others_come(bench: Bench) -> None:
    bench.listen()
    first = bench.companions.saw(header(0))
    for frame in range(30):
        stamp = header(33 * frame)
        if frame:
            bench.companions.saw(stamp)
        bench.depth.publish(Image(header=stamp))
        bench.ros.spin_for(0.01)
    assert first.depth.header == header(0)
