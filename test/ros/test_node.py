# SPDX-License-Identifier: Apache-2.0
"""One running node, in its own process, spoken to over DDS. Its network marks what is brighter than grey."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from itertools import cycle
from pathlib import Path
from signal import SIGINT

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticArray
from lifecycle_msgs.srv import ChangeState
from rcl_interfaces.srv import GetParameters, SetParameters
from rclpy.parameter import Parameter
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image
from std_msgs.msg import String

from clipseg_ros.ros import conversions, qos
from clipseg_ros.segmentation import Frame

RELIABLE = QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE)
BEST_EFFORT = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
VOCABULARY = ["a", "cat", "dog", "bird", "red"]
SHAPE = np.s_[8:24, 40:56]
DARK, BRIGHT = 20, 250


def picture(height: int = 48, width: int = 64, shape: tuple[slice, slice] = SHAPE, level: int = BRIGHT) -> np.ndarray:
    image = np.full((height, width, 3), DARK, np.uint8)
    image[shape] = level
    return image


class Bench:
    """The running node and the hands to play with it."""

    def __init__(self, ros, process) -> None:
        self.ros, self.process = ros, process
        self._seen = ros.collect(String, "/segment/active_queries", qos.LATCHED)
        self._reports = ros.collect(DiagnosticArray, "/diagnostics", qos.QUERY)
        self._queries = ros.node.create_publisher(String, "/seg_query", qos.QUERY)
        ros.spin_until(lambda: self._queries.get_subscription_count() and self._seen, "the node")

    @property
    def active(self) -> dict:
        return json.loads(self._seen[-1].data)

    @property
    def texts(self) -> list[str]:
        return [query["text"] for query in self.active["queries"]]

    def send(self, text: str) -> None:
        self._queries.publish(String(data=text))

    def query(self, text: str, *texts: str) -> dict:
        self.send(text)
        self.ros.spin_until(lambda: self.texts == list(texts or [text] if text else []), f"the answer to {text!r}")
        return self.active

    def refusal(self, text: str) -> str:
        self.send(text)
        self.ros.spin_until(lambda: self.active["refused"] and self.active["refused"]["text"] == text, "the refusal")
        return self.active["refused"]["reason"]

    def set(self, name: str, value: object):
        request = SetParameters.Request(parameters=[Parameter(name, value=value).to_parameter_msg()])
        return self.ros.call(SetParameters, "/segment/set_parameters", request).results[0]

    def report(self) -> dict[str, str]:
        """The next diagnosis."""
        count = len(self._reports)
        self.ros.spin_until(lambda: len(self._reports) > count, "a diagnosis")
        status = self._reports[-1].status[0]
        return {"message": status.message, **{pair.key: pair.value for pair in status.values}}

    def camera(self, image: np.ndarray, profile: QoSProfile = RELIABLE, rate: float = 20.0):
        def make() -> Image:
            frame = Frame(image, self.ros.node.get_clock().now().nanoseconds, "optical")
            return conversions.image_to_ros(image, "rgb8", frame)

        return self.ros.repeat(Image, "/image", profile, rate, make)

    def listen(self, topic: str = "mask"):
        return self.ros.listen(Image, f"/segment/{topic}", qos.OUTPUT)

    def next_of(self, messages: list, count: int = 1) -> Image:
        """The newest after `count` more came: the first may still show what was before."""
        wanted = len(messages) + count
        self.ros.spin_until(lambda: len(messages) >= wanted, "an image of the node")
        return messages[-1]


@pytest.fixture(scope="module")
def running(shared_ros, bright_weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    folder = shutil.copytree(bright_weights, tmp_path_factory.mktemp("known") / "weights")
    (folder / "clipseg_ros.json").write_text(json.dumps({"vocabulary": VOCABULARY, "threshold": 0.5}))
    settings = {"weights": folder, "engine_options": "side=128", "max_queries": 4, "device": "cpu"}
    args = [word for name, value in settings.items() for word in ("-p", f"{name}:={value}")]
    process = shared_ros.start("-m", "clipseg_ros.ros.node", "--ros-args", *args)
    process.wait_for("active: images from /image, queries from /seg_query")
    yield Bench(shared_ros, process)
    process.send(SIGINT)
    assert process.wait() == 0 and "Traceback" not in process.text, process.text


@pytest.fixture
def bench(running: Bench) -> Bench:
    running.query("")
    return running


def array_of(message: Image) -> np.ndarray:
    dtype, channels = {"mono8": (np.uint8, ()), "rgb8": (np.uint8, (3,)), "32FC1": (np.float32, ())}[message.encoding]
    return np.frombuffer(message.data, dtype).reshape(message.height, message.width, *channels)


@pytest.mark.parametrize("size", [(480, 640), (640, 480), (720, 1280)])
def test_the_mask_lies_on_the_shape_whatever_the_image_s_size(bench: Bench, size: tuple[int, int]) -> None:
    shape = np.s_[size[0] - 160:size[0] - 40, 40:160]
    bench.query("cat")
    with bench.camera(picture(*size, shape), rate=5.0), bench.listen() as masks:
        mask = array_of(bench.next_of(masks)) == 255
    truth = np.zeros(size, bool)
    truth[shape] = True
    assert (mask & truth).sum() / (mask | truth).sum() > 0.9


def test_every_output_has_the_header_size_and_layout_it_promises(bench: Bench) -> None:
    (cat,) = bench.query("cat")["queries"]
    sent = conversions.image_to_ros(picture(), "rgb8", Frame(picture(), 7_000_000_005, "optical"))
    layouts = {"mask": ("mono8", 1), "labels": ("mono8", 1), "score": ("32FC1", 4), "overlay": ("rgb8", 3)}
    arrays = {}
    for topic, (encoding, size) in layouts.items():
        with bench.ros.repeat(Image, "/image", RELIABLE, 20.0, lambda: sent), bench.listen(topic) as messages:
            message = bench.next_of(messages)
        assert message.header == sent.header
        assert (message.height, message.width, message.encoding, message.step) == (48, 64, encoding, 64 * size)
        arrays[topic] = array_of(message)
    inside, outside = (16, 48), (40, 10)
    assert (arrays["mask"][inside], arrays["mask"][outside]) == (255, 0)
    assert (arrays["labels"][inside], arrays["labels"][outside]) == (cat["id"], 0)
    assert arrays["score"][inside] > 0.9 and arrays["score"][outside] < 0.1
    assert tuple(arrays["overlay"][outside]) == (DARK,) * 3 != tuple(arrays["overlay"][inside])


@pytest.mark.parametrize(
    "offers", [[RELIABLE], [BEST_EFFORT], [RELIABLE, BEST_EFFORT]], ids=["reliable", "best effort", "one of each"]
)
def test_a_camera_is_heard_whatever_it_offers(bench: Bench, offers: list[QoSProfile]) -> None:
    bench.query("cat")
    node = bench.ros.node
    expected = RELIABLE.reliability if offers == [RELIABLE] else BEST_EFFORT.reliability
    others = [node.create_publisher(Image, "/image", offer) for offer in offers[1:]]
    with bench.camera(picture(), offers[0]), bench.listen() as masks:
        bench.ros.spin_until(
            lambda: [i.qos_profile.reliability for i in node.get_subscriptions_info_by_topic("/image")] == [expected],
            "the node's change of QoS",
        )
        bench.next_of(masks)
    for other in others:
        node.destroy_publisher(other)


def test_without_a_query_nothing_is_published(bench: Bench) -> None:
    bench.query("cat")
    with bench.camera(picture()), bench.listen() as masks:
        bench.next_of(masks)
        bench.query("")
        bench.ros.spin_for(0.2)  # what was on its way
        count = len(masks)
        bench.ros.spin_for(1.0)
        assert len(masks) == count


def test_without_a_listener_nothing_is_segmented(bench: Bench) -> None:
    bench.query("cat")
    with bench.camera(picture()):
        before = bench.report()
        after = bench.report()
        while int(after["frames received"]) < int(before["frames received"]) + 5:
            after = bench.report()
    assert after["frames segmented"] == before["frames segmented"]
    assert after["listened to"] == ""


def test_ids_stay_with_their_prompts_and_mark_the_pixels(bench: Bench) -> None:
    cat, dog = bench.query("cat; dog", "cat", "dog")["queries"]
    assert cat["id"] != dog["id"] and {cat["present"], dog["present"]} == {None}
    kept, bird = bench.query("dog; bird", "dog", "bird")["queries"]
    assert kept["id"] == dog["id"] and bird["id"] not in (cat["id"], dog["id"])
    with bench.camera(picture()), bench.listen("labels") as labels:
        assert set(np.unique(array_of(bench.next_of(labels)))) == {0, dog["id"]}  # as high: the earlier prompt
        bench.query("bird; dog", "bird", "dog")
        bench.ros.spin_until(lambda: array_of(labels[-1]).max() == bird["id"], "the label of the bird")


def test_presence_and_stamp_follow_the_frames(bench: Bench) -> None:
    bench.query('[{"text": "cat", "label": "Tom"}, {"text": "dog", "threshold": 0.99}]', "cat", "dog")
    with bench.camera(picture()), bench.listen():
        bench.ros.spin_until(lambda: bench.active["stamp"], "an answered frame")
    cat, dog = bench.active["queries"]
    assert (cat["label"], cat["threshold"], cat["present"], cat["source"]) == ("Tom", None, True, "seg_query")
    assert (dog["label"], dog["threshold"], dog["present"]) == ("dog", 0.99, False)


def test_words_outside_the_vocabulary_are_reported(bench: Bench) -> None:
    (query,) = bench.query("a purple cat")["queries"]
    assert query["unknown_words"] == ["purple"]


@pytest.mark.parametrize(
    "text, reason",
    [
        ('["cat", {', "broken JSON"),
        ("a; b; c; d; e", "5 prompts: at most 4"),
        ("qz" * 60, "the model takes 77"),
        ('[{"text": "cat", "size": 3}]', "key 'size' of prompt 1"),
    ],
)
def test_a_refused_query_leaves_the_old_ones(bench: Bench, text: str, reason: str) -> None:
    before = bench.query("cat")["queries"]
    assert reason in bench.refusal(text)
    assert bench.active["queries"] == before
    bench.process.wait_for("query refused, the old ones stay")
    bench.send("cat")
    bench.ros.spin_until(lambda: bench.active["refused"] is None, "forgetting the refusal")


def test_the_same_query_again_is_no_news(bench: Bench) -> None:
    bench.query("cat")
    count = len(bench._seen)
    for text in ("cat", "cat", " cat ;", "cat"):
        bench.send(text)
    bench.query("dog")
    assert len(bench._seen) == count + 1


def test_the_parameter_queries_and_seg_query_are_one_set(bench: Bench) -> None:
    assert bench.set("queries", ["cat", "dog; bird"]).successful
    bench.ros.spin_until(lambda: bench.texts == ["cat", "dog", "bird"], "the parameter's set")
    bench.query("red cat; dog", "red cat", "dog")
    names = GetParameters.Request(names=["queries"])
    (value,) = bench.ros.call(GetParameters, "/segment/get_parameters", names).values
    assert value.string_array_value == ["red cat; dog"]


@pytest.mark.parametrize(
    "name, value, reason",
    [
        ("threshold", 1.5, "out of range"),
        ("threshold", 2, "threshold 2.0: expected 0.0 to 1.0"),
        ("weights", "other", "read-only"),
        ("queries", ["["], "broken JSON"),
        ("queries", [1, 2], "expected texts"),
        ("max_rate", "fast", "max_rate 'fast': expected float"),
    ],
)
def test_a_bad_parameter_is_refused_with_the_reason(bench: Bench, name: str, value: object, reason: str) -> None:
    result = bench.set(name, value)
    assert not result.successful and reason in result.reason


def test_the_threshold_changes_while_it_runs(bench: Bench) -> None:
    bench.query("cat")
    with bench.camera(picture(level=160)), bench.listen() as masks:
        assert array_of(bench.next_of(masks)).any()
        assert bench.set("threshold", 1).successful
        bench.ros.spin_until(lambda: not array_of(masks[-1]).any(), "an empty mask")
        bench.ros.spin_until(lambda: bench.active["queries"][0]["present"] is False, "the absence")
        assert bench.active["queries"][0]["threshold"] == 1.0
        assert bench.set("threshold", 0.0).successful
        bench.ros.spin_until(lambda: array_of(masks[-1]).any(), "a mask")


def test_max_rate_bounds_the_frames(bench: Bench) -> None:
    bench.query("cat")
    assert bench.set("max_rate", 4).successful
    with bench.camera(picture(), rate=30.0), bench.listen() as masks:
        bench.next_of(masks)
        bench.ros.spin_for(2.0)
        assert 4 <= len(masks) - 1 <= 9
        assert bench.set("max_rate", 0.0).successful


def bad(**changes: object) -> Image:
    message = conversions.image_to_ros(picture(), "rgb8", Frame(picture()))
    for name, value in changes.items():
        setattr(message, name, value)
    return message


def test_bad_frames_are_counted_and_the_next_good_one_is_segmented(bench: Bench) -> None:
    bench.query("cat")
    frames = cycle([bad(encoding="weird"), bad(width=0), bad(step=10), bad(height=1000)])
    before = int(bench.report()["frames bad"])
    with bench.listen() as masks:
        with bench.ros.repeat(Image, "/image", RELIABLE, 20.0, lambda: next(frames)):
            while int(bench.report()["frames bad"]) < before + 8:
                assert not masks
        with bench.camera(picture()):
            bench.next_of(masks)
    bench.process.wait_for("frame dropped: encoding 'weird': expected one of rgb8, bgr8")


def test_a_transition_that_the_state_does_not_have_fails_and_the_node_lives(bench: Bench) -> None:
    request = ChangeState.Request()
    request.transition.label = "activate"
    assert not bench.ros.call(ChangeState, "/segment/change_state", request).success
    bench.query("dog")
