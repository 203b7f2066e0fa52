# SPDX-License-Identifier: Apache-2.0
"""The test camera as a process of its own, heard over DDS."""

from __future__ import annotations

import json
from pathlib import Path
from signal import SIGINT

import cv2
import numpy as np
from rclpy.qos import ReliabilityPolicy
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import String

from clipseg_ros.datasets import tabletop
from clipseg_ros.ros import conversions, qos

IMAGE, INFO = "/camera/color/image_raw", "/camera/color/camera_info"
DEPTH, LABELS, NAMES = "/camera/aligned_depth_to_color/image_raw", "/camera/labels", "/camera/label_names"
SMALL = {"width": 160, "height": 120, "scenes": 2, "frames_per_scene": 2}


def start(ros, **settings: object):
    words = [word for name, value in settings.items() for word in ("-p", f"{name}:={value}")]
    return ros.start("-m", "clipseg_ros.ros.camera", "--ros-args", *words)


def stamps(messages: list) -> list[int]:
    return [conversions.stamp_to_ns(message.header.stamp) for message in messages]


def test_a_capture_is_published_whole_with_one_stamp_at_the_rate(ros):
    heard = {topic: ros.collect(Image, topic, 10) for topic in (IMAGE, DEPTH, LABELS)}
    heard[INFO] = ros.collect(CameraInfo, INFO, 10)
    names = ros.collect(String, NAMES, qos.LATCHED)
    start(ros, **SMALL, seed=7, rate=20)
    ros.spin_until(lambda: names and min(len(messages) for messages in heard.values()) >= 24, "two dozen captures")

    shared = sorted(set.intersection(*(set(stamps(messages)) for messages in heard.values())))
    assert len(shared) >= 22
    assert 0.045 <= np.median(np.diff(shared)) / 1e9 <= 0.055
    assert {message.header.frame_id for messages in heard.values() for message in messages} == {
        "camera_color_optical_frame"
    }
    image, depth, labels, info = (
        next(m for m in heard[topic] if stamps([m]) == shared[:1]) for topic in (IMAGE, DEPTH, LABELS, INFO)
    )
    assert [m.encoding for m in (image, depth, labels)] == ["rgb8", "32FC1", "mono8"]
    assert {(m.height, m.width) for m in (image, depth, labels, info)} == {(120, 160)}
    views = [tabletop.render(tabletop.compose(seed), 120, 160, phase / 20) for seed in (7, 8) for phase in (0, 1)]
    (view,) = (view for view in views if view.image.tobytes() == bytes(image.data))
    assert bytes(labels.data) == view.labels.tobytes()
    assert bytes(depth.data) == view.depth.tobytes()
    assert info.k.tolist() == view.intrinsics.ravel().tolist() and info.p.tolist()[2] == view.intrinsics[0, 2]
    assert {int(key): name for key, name in json.loads(names[0].data).items()} == tabletop.class_names()


def test_pictures_come_without_truth_and_without_calibration(ros, tmp_path: Path):
    cv2.imwrite(str(tmp_path / "a.png"), np.full((6, 8, 3), (0, 0, 250), np.uint8))
    images, infos = ros.collect(Image, IMAGE, 10), ros.collect(CameraInfo, INFO, 10)
    truth = ros.collect(Image, LABELS, 10)
    start(ros, source=tmp_path, frame_id="left")
    ros.spin_until(lambda: len(images) > 2 and infos, "three pictures")
    assert images[0].data[:3].tolist() == [250, 0, 0] and images[0].header.frame_id == "left"
    assert not infos[0].k.any() and (infos[0].height, infos[0].width) == (6, 8)
    assert not truth


def test_sensor_data_offers_best_effort(ros):
    start(ros, **SMALL, qos="sensor_data")
    (offer,) = ros.spin_until(lambda: ros.node.get_publishers_info_by_topic(IMAGE), "the camera")
    assert offer.qos_profile.reliability == ReliabilityPolicy.BEST_EFFORT


def test_it_ends_after_the_last_picture_or_after_as_many_as_were_asked_for(ros):
    ending = [start(ros, **SMALL, rate=50, loop="false"), start(ros, **SMALL, rate=50, frames=9)]
    for camera in ending:
        assert camera.wait() == 0
        assert "Traceback" not in camera.text and "publishing scenes" in camera.text


def test_an_interrupt_ends_it_in_peace_whenever_it_comes(ros):
    """Once, twice as from ros2 launch, and while it renders."""
    cameras = {"once": start(ros, **SMALL), "twice": start(ros, **SMALL), "rendering": start(ros, scenes=9999)}
    for case in ("once", "twice"):
        cameras[case].wait_for("publishing scenes")
    ros.spin_until(lambda: ros.node.count_publishers(IMAGE) == 3, "the camera that renders")
    for case, camera in cameras.items():
        for _ in range(1 + (case == "twice")):
            camera.send(SIGINT)
    for case, camera in cameras.items():
        assert camera.wait() == 0, f"{case}:\n{camera.text}"
        assert "Traceback" not in camera.text and "terminate called" not in camera.text, f"{case}:\n{camera.text}"


def test_what_cannot_be_published_is_refused_with_the_reason(ros, tmp_path: Path):
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((6, 8, 3), np.uint8))
    (tmp_path / "b.png").write_bytes(b"no picture")
    refused = {
        "source 'nowhere': expected scenes": start(ros, source="nowhere"),
        "source '97': not a webcam": start(ros, source=97),
        "b.png': not a picture": start(ros, source=tmp_path),  # found out while it runs
        "rate 500.0: expected 0.1 to 240.0": start(ros, rate=500),
        "rate 'fast': expected float": start(ros, rate="fast"),
        "qos 'loud': expected one of reliable, sensor_data": start(ros, qos="loud"),
        "width 640, height 0: set both, or neither": start(ros, width=640),
    }
    for reason, camera in refused.items():
        assert camera.wait() == 1, f"{reason}:\n{camera.text}"
        assert reason in camera.text and "Traceback" not in camera.text
