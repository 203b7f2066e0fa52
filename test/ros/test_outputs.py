# SPDX-License-Identifier: Apache-2.0
"""The topics with results over DDS: what each holds, and that only what is listened to is made."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from geometry_msgs.msg import PointStamped, Vector3Stamped
from rclpy.lifecycle import LifecycleNode
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, PointCloud2
from std_msgs.msg import Header

from clipseg_ros.masks import LogitMaps
from clipseg_ros.queries import Entry, Query
from clipseg_ros.ros import qos, vision
from clipseg_ros.ros.answer import Answer
from clipseg_ros.ros.camera import camera_info
from clipseg_ros.ros.companions import Belongings
from clipseg_ros.ros.conversions import header_of, image_to_ros
from clipseg_ros.ros.outputs import Outputs
from clipseg_ros.ros.parameters import Parameters
from clipseg_ros.segmentation import Frame, Prompt, Segmentation

HEIGHT, WIDTH = 40, 60
SQUARE = np.s_[10:20, 20:40]  # one prompt's pixels; the other has them and those below
K = np.array([[100.0, 0.0, 30.0], [0.0, 100.0, 20.0], [0.0, 0.0, 1.0]])
PROMPTS = (Prompt("something to drink from"), Prompt("red mug", label="mug"))
KINDS = {
    **dict.fromkeys(("mask", "labels", "score", "overlay", "masks", "scores", "confidence"), Image),
    **dict.fromkeys(("overlay/compressed", "mask/compressed", "labels/compressed"), CompressedImage),
    "camera_info": CameraInfo,
    "points": PointCloud2,
    "target": PointStamped,
    "target_size": Vector3Stamped,
}


def answer(came: tuple = (), **settings: object) -> Answer:
    """A frame 1 m above a wall, two prompts found in it, and messages that belong to it."""
    logits = np.full((2, HEIGHT, WIDTH), -5.0, np.float32)
    logits[0][10:30, 20:40] = 2.0
    logits[1][SQUARE] = 4.0
    image = np.full((HEIGHT, WIDTH, 3), (10, 20, 30), np.uint8)
    frame = Frame(image, 7_000_000_005, "optical")
    entries = tuple(Entry(id_, Query(prompt)) for id_, prompt in zip((3, 200), PROMPTS))
    belongings = Belongings(header_of(frame), ())
    for message in came:
        belongings.give(message)
    result = Segmentation(PROMPTS, LogitMaps(logits, (HEIGHT, WIDTH)), 0.5)
    return Answer(frame, result, entries, Parameters(**settings), belongings)


def calibration() -> CameraInfo:
    info = camera_info(K, answer().frame)
    info.header = Header(frame_id="other")
    return info


def depth() -> Image:
    return image_to_ros(np.full((HEIGHT, WIDTH), 1.0, np.float32), "32FC1", answer().frame)


class Bench:
    """Outputs on an active node, heard by the test's node."""

    def __init__(self, ros, base: str = "~", remaps: tuple[str, ...] = ()) -> None:
        arguments = [word for remap in remaps for word in ("-r", remap)]
        self.ros = ros
        self.node = LifecycleNode(
            "segment", context=ros.node.context, cli_args=["--ros-args", *arguments] if arguments else None
        )
        self.outputs = Outputs(self.node, base)
        self.node.trigger_configure()
        self.node.trigger_activate()

    def hear(self, *topics: str, base: str = "/segment/") -> dict[str, list]:
        heard = {topic: self.ros.collect(KINDS[topic], base + topic, qos.OUTPUT) for topic in topics}
        self.ros.spin_until(lambda: set(self.outputs.wanted()) >= set(topics), "the listeners")
        return heard

    def publish(self, given: Answer) -> list[set[str]]:
        """The topics of each stage."""
        stages = []
        for messages in self.outputs.messages(given):
            self.outputs.publish(messages)
            stages.append(set(messages) - {"label_info"})
        return stages

    def answered(self, given: Answer, *topics: str) -> dict[str, object]:
        """What the topics hear of an answer."""
        heard = self.hear(*topics)
        self.publish(given)
        self.ros.spin_until(lambda: all(heard.values()), f"messages on {', '.join(topics)}")
        return {topic: messages[-1] for topic, messages in heard.items()}


@pytest.fixture
def bench(ros) -> Iterator[Bench]:
    own = Bench(ros)
    yield own
    own.node.destroy_node()


def pixels(message: Image) -> np.ndarray:
    dtype = np.float32 if message.encoding.startswith("32FC") else np.uint8
    return np.frombuffer(message.data, dtype).reshape(message.height, message.width, -1)


def test_only_what_is_listened_to_is_made(bench: Bench) -> None:
    assert bench.outputs.wanted() == () and bench.publish(answer()) == [set()]
    bench.hear("scores")
    assert bench.publish(answer()) == [{"scores"}]


def test_images_have_the_header_and_the_layout_they_promise(bench: Bench) -> None:
    layouts = {"masks": ("mono8", 2 * HEIGHT, WIDTH), "scores": ("32FC2", HEIGHT, WIDTH * 8)}
    layouts["confidence"] = ("mono8", HEIGHT, WIDTH)
    heard = bench.answered(answer(), *layouts)
    for topic, (encoding, height, step) in layouts.items():
        message = heard[topic]
        assert message.header == header_of(answer().frame)
        assert (message.encoding, message.height, message.width, message.step) == (encoding, height, WIDTH, step)
    drink, mug = np.split(pixels(heard["masks"])[..., 0], 2)
    assert (drink == answer().prompt_masks[0] * 255).all() and (mug == answer().prompt_masks[1] * 255).all()
    np.testing.assert_allclose(pixels(heard["scores"])[12, 30], [0.881, 0.982], atol=1e-3)


def test_scaled_scores_are_smaller(bench: Bench) -> None:
    message = bench.answered(answer(scores_scale=0.5), "scores")["scores"]
    assert (message.height, message.width, message.step) == (HEIGHT // 2, WIDTH // 2, WIDTH // 2 * 8)


def test_compressed_images_are_what_image_transport_calls_them(bench: Bench) -> None:
    heard = bench.answered(answer(), "overlay/compressed", "mask/compressed", "labels/compressed")
    assert heard["overlay/compressed"].format == "rgb8; jpeg compressed bgr8"
    assert heard["mask/compressed"].format == heard["labels/compressed"].format == "mono8; png compressed "
    assert all(message.header == header_of(answer().frame) for message in heard.values())
    read = {topic: cv2.imdecode(np.frombuffer(m.data, np.uint8), cv2.IMREAD_UNCHANGED) for topic, m in heard.items()}
    np.testing.assert_array_equal(read["labels/compressed"], answer().labels)
    np.testing.assert_array_equal(read["mask/compressed"], answer().mask)
    difference = np.abs(read["overlay/compressed"][..., ::-1].astype(int) - answer().overlay)
    assert difference.mean() < 4


def test_a_compressed_topic_follows_the_remap_of_the_raw_one(ros) -> None:
    bench = Bench(ros, "~/front", ("~/front/mask:=/robot/seen",))
    names = {name for name, _ in bench.node.get_publisher_names_and_types_by_node("segment", "/")}
    assert {"/robot/seen", "/robot/seen/compressed", "/segment/front/labels/compressed"} <= names
    assert not any(name.startswith("/segment/front/mask/") for name in names)
    bench.node.destroy_node()


def test_camera_info_is_republished_with_the_stamp_of_the_frame(bench: Bench) -> None:
    info = bench.answered(answer((calibration(),)), "camera_info")["camera_info"]
    assert info.header == header_of(answer().frame) and info.k.tolist() == K.ravel().tolist()


def test_pictures_go_out_before_what_may_have_to_wait(bench: Bench) -> None:
    bench.hear("mask", "target", "camera_info")
    assert bench.publish(answer((calibration(), depth()))) == [{"mask"}, {"camera_info", "target"}]
    assert bench.publish(answer((calibration(),))) == [{"mask"}, {"camera_info"}]
    assert bench.publish(answer()) == [{"mask"}, set()]


def test_the_target_is_where_the_best_prompt_is(bench: Bench) -> None:
    heard = bench.answered(answer((calibration(), depth())), "target", "target_size")
    target, size = heard["target"], heard["target_size"]
    assert target.header == size.header == header_of(answer().frame)
    place = (target.point.x, target.point.y, target.point.z)
    np.testing.assert_allclose(place, (-0.005, -0.055, 1.0), atol=0.003)  # the middle of SQUARE
    np.testing.assert_allclose((size.vector.x, size.vector.y, size.vector.z), (0.2, 0.1, 0.0), atol=0.02)


def test_without_a_component_there_is_no_target_and_no_size(bench: Bench) -> None:
    bench.hear("target", "target_size")
    assert bench.publish(answer((calibration(), depth()), min_area=1000)) == [set()] * 2


def test_points_carry_colour_and_label_of_their_pixels(bench: Bench) -> None:
    cloud = bench.answered(answer((calibration(), depth()), point_spacing=0.001), "points")["points"]
    table = np.frombuffer(cloud.data, np.uint32).reshape(-1, 5)
    assert cloud.width == len(table) == 400  # every labelled pixel: they are 1 cm apart
    assert set(table[:, 3]) == {0x0A141E} and np.unique(table[:, 4], return_counts=True)[1].tolist() == [200, 200]
    assert (table[:, 2].copy().view(np.float32) == 1.0).all()


def test_depth_that_does_not_fit_is_told_of_and_the_rest_is_published(bench: Bench, capfd) -> None:
    bench.hear("mask", "target", "camera_info")
    small = image_to_ros(np.ones((2, 2), np.float32), "32FC1", answer().frame)
    assert bench.publish(answer((calibration(), small))) == [{"mask"}, {"camera_info"}]
    assert "no points, no target: depth of 2x2 pixels for an image of 60x40" in capfd.readouterr().err


def test_an_image_that_outgrows_the_shared_memory_is_warned_of_once(
    ros, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd
) -> None:
    (tmp_path / "profiles.xml").write_text("<profiles><segment_size>9000</segment_size></profiles>")
    monkeypatch.setenv("FASTRTPS_DEFAULT_PROFILES_FILE", str(tmp_path / "profiles.xml"))
    bench = Bench(ros)
    bench.hear("mask")
    bench.publish(answer())
    assert "outgrows" not in capfd.readouterr().err
    bench.hear("scores")
    for _ in range(3):
        bench.publish(answer())
    told = capfd.readouterr().err
    assert told.count("outgrows") == 1
    assert "19200 bytes on /segment/scores outgrows the shared-memory segment of 9000 bytes" in told
    bench.node.destroy_node()


@pytest.mark.skipif(not vision.INSTALLED, reason="vision_msgs is no wheel of PyPI")
def test_label_info_comes_first_once_and_for_late_listeners(bench: Bench) -> None:
    assert "label_info" == next(iter(next(bench.outputs.messages(answer()))))
    for _ in range(3):
        bench.publish(answer())
    late = bench.ros.collect(vision.LabelInfo, "/segment/label_info", qos.LATCHED)
    bench.ros.spin_until(lambda: late, "the latched label_info")
    bench.ros.spin_for(0.3)
    bench.publish(answer(threshold=0.75))
    bench.ros.spin_until(lambda: len(late) == 2, "the changed label_info")
    assert [info.threshold for info in late] == [0.5, 0.75]


@pytest.mark.skipif(not vision.INSTALLED, reason="vision_msgs is no wheel of PyPI")
def test_detections_are_published_for_each_prompt(bench: Bench) -> None:
    heard = bench.ros.collect(vision.Detection2DArray, "/segment/detections", qos.OUTPUT)
    bench.ros.spin_until(lambda: "detections" in bench.outputs.wanted(), "the listener")
    bench.publish(answer())
    bench.ros.spin_until(lambda: heard, "detections")
    assert [detection.id for detection in heard[0].detections] == ["3", "200"]
