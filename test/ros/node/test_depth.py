# SPDX-License-Identifier: Apache-2.0
"""A node with depth: targets, points and camera_info of the very frame, in whatever order the camera sends."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import permutations

import numpy as np
import pytest
from geometry_msgs.msg import PointStamped
from sensor_msgs.msg import CameraInfo, Image, PointCloud2

from clipseg_ros.ros import qos
from clipseg_ros.ros.camera import camera_info
from clipseg_ros.ros.conversions import image_to_ros, stamp_to_ns
from clipseg_ros.segmentation import Frame

HEIGHT, WIDTH = 120, 160
THING = np.s_[40:80, 70:100]
K = np.array([[150.0, 0.0, 79.5], [0.0, 150.0, 59.5], [0.0, 0.0, 1.0]])
PARTS = ("image", "camera_info", "depth")
SECOND = 1_000_000_000


class Rig:
    """A node's camera with depth: a bright thing 80 cm away, 20 cm above a dark table."""

    def __init__(self, inside) -> None:
        self._inside = inside
        kinds = {"image": Image, "camera_info": CameraInfo, "depth": Image}
        self._publishers = {part: inside.node.create_publisher(kinds[part], f"/{part}", 10) for part in PARTS}
        self._depth = np.full((HEIGHT, WIDTH), 1.0, np.float32)
        self._depth[THING] = 0.8
        self._picture = np.full((HEIGHT, WIDTH, 3), 20, np.uint8)
        self._picture[THING] = (250, 200, 180)

    def hear(self, kind: type, topic: str) -> list:
        heard: list = []
        self._inside.node.create_subscription(kind, f"/segment/{topic}", heard.append, qos.QUERY)
        return heard

    def settle(self, *parts: str) -> None:
        """Until the node listens to these parts of the camera, reliably, and to no other."""

        def offers(part: str) -> list[bool]:
            infos = self._inside.node.get_subscriptions_info_by_topic(f"/{part}")
            return [info.qos_profile.reliability == qos.OUTPUT.reliability for info in infos]

        wanted = {part: [True] if part in parts else [] for part in PARTS}
        self._inside.until(lambda: {part: offers(part) for part in PARTS} == wanted, f"the node to hear {parts}")

    def send(self, stamp_ns: int, order: tuple[str, ...] = PARTS, late_ns: int = 0) -> None:
        """A capture; depth and camera_info have a stamp `late_ns` after the image's."""
        for part in order:
            frame = Frame(self._picture, stamp_ns + late_ns * (part != "image"), "optical")
            if part == "depth":
                message = image_to_ros(self._depth, "32FC1", frame)
            else:
                message = camera_info(K, frame) if part == "camera_info" else image_to_ros(frame.image, "rgb8", frame)
            self._publishers[part].publish(message)

    def stamps(self, messages: list) -> list[int]:
        return [stamp_to_ns(message.header.stamp) for message in messages]


@pytest.fixture
def inside(enter):
    node = enter(queries="cat")
    assert node.segment.start()
    return node


@pytest.fixture
def rig(inside) -> Iterator[Rig]:
    yield Rig(inside)


def test_the_target_has_the_stamp_of_its_frame_in_whatever_order_the_parts_come(
    inside, rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("clipseg_ros.ros.companions.PATIENCE", 5.0)  # busy machines take longer than 50 ms
    targets, infos = rig.hear(PointStamped, "target"), rig.hear(CameraInfo, "camera_info")
    rig.settle(*PARTS)
    for count, order in enumerate(permutations(PARTS), start=1):
        rig.send(count * SECOND, order, late_ns=15_000_000)
        inside.until(lambda: len(targets) == count, f"the target of {order}")
        place = (targets[-1].point.x, targets[-1].point.y, targets[-1].point.z)
        np.testing.assert_allclose(place, (5 / 150 * 0.8, 0.0, 0.8), atol=1e-3)
    inside.until(lambda: len(infos) == 6, "the camera_info of each")
    assert rig.stamps(targets) == rig.stamps(infos) == [count * SECOND for count in range(1, 7)]
    assert targets[-1].header.frame_id == "optical"


def test_a_frame_without_depth_has_its_mask_and_no_target(inside, rig: Rig) -> None:
    targets, masks = rig.hear(PointStamped, "target"), rig.hear(Image, "mask")
    rig.settle(*PARTS)
    rig.send(SECOND, ("image", "camera_info"))
    rig.send(2 * SECOND, late_ns=100_000_000)  # beyond sync_slop
    inside.until(lambda: 2 * SECOND in rig.stamps(masks), "the mask")
    rig.send(3 * SECOND)
    inside.until(lambda: targets, "a target")
    assert rig.stamps(targets) == [3 * SECOND]


def test_points_are_those_of_the_mask(inside, rig: Rig) -> None:
    inside.set("point_spacing", 0.001)
    clouds = rig.hear(PointCloud2, "points")
    rig.settle(*PARTS)
    rig.send(SECOND)
    inside.until(lambda: clouds, "points")
    words = np.frombuffer(clouds[0].data, np.uint32).reshape(-1, 5)
    assert len(words) == 40 * 30 and set(words[:, 3]) == {0xFAC8B4} and set(words[:, 4]) == {1}
    assert (words[:, 2].copy().view(np.float32) == np.float32(0.8)).all()


def test_depth_is_heard_only_while_somebody_needs_it(inside, rig: Rig) -> None:
    rig.hear(Image, "mask")
    rig.settle("image")
    rig.hear(CameraInfo, "camera_info")
    rig.settle("image", "camera_info")
    rig.hear(PointStamped, "target")
    rig.settle(*PARTS)
    for topic in ("/segment/camera_info", "/segment/target"):
        inside.deafen(topic)
    rig.settle("image")
