# SPDX-License-Identifier: Apache-2.0
"""The node as a process of its own for each test: how it starts, ends, and keeps up when it is slow."""

from __future__ import annotations

import json
import time
from pathlib import Path
from signal import SIGINT, SIGTERM

import cv2
import numpy as np
import pytest
from lifecycle_msgs.srv import ChangeState, GetState
from rcl_interfaces.srv import GetParameters
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import String

from clipseg_ros.ros import conversions, qos
from clipseg_ros.segmentation import Frame

BRIGHT = np.full((48, 64, 3), 250, np.uint8)


def start(ros, *args: str, environment: dict[str, str] | None = None, **settings: object):
    """A node with these parameters; args: more words after --ros-args."""
    words = [word for name, value in settings.items() for word in ("-p", f"{name}:={value}")]
    return ros.start("-m", "clipseg_ros.ros.node", "--ros-args", *words, *args, environment=environment)


def camera(ros, topic: str = "/image", image: np.ndarray = BRIGHT, rate: float = 20.0):
    def make() -> Image:
        return conversions.image_to_ros(image, "rgb8", Frame(image, ros.node.get_clock().now().nanoseconds, "optical"))

    return ros.repeat(Image, topic, qos.OUTPUT, rate, make)


def test_signals_end_it_in_peace_whenever_they_come(ros, tiny_weights: Path) -> None:
    """At work, twice as from ros2 launch, and while the network is loading."""
    sent = {"once": [SIGINT], "twice": [SIGINT, SIGINT], "term": [SIGTERM], "term, then int": [SIGTERM, SIGINT]}
    loading = {"once, loading": [SIGINT], "twice, loading": [SIGINT, SIGINT], "term, loading": [SIGTERM]}
    with camera(ros):
        for cases, moment in ((loading, "loading clipseg"), (sent, "active: images from")):
            nodes = {case: start(ros, weights=tiny_weights, queries="cat") for case in cases}
            for case, node in nodes.items():
                node.wait_for(moment)
                ros.spin_for(0.1)
                for number in cases[case]:
                    node.send(number)
            for case, node in nodes.items():
                assert node.wait() == 0, f"{case}:\n{node.text}"
                assert "Traceback" not in node.text and "terminate called" not in node.text, f"{case}:\n{node.text}"
                assert "[ERROR]" not in node.text, f"{case}:\n{node.text}"


@pytest.mark.parametrize(
    "settings, reason",
    [
        ({"weights": "nobody/nothing"}, "weights:=demo"),
        ({"device": "cuda"}, "use device:=cpu or auto"),
        ({"engine_options": "keep=1"}, "option 'keep' of engine clipseg: expected one of"),
        ({"threshold": 3.0}, "out of range"),
        ({"image_qos": "best"}, "image_qos 'best': expected one of auto, sensor_data, reliable"),
        ({"queries": "'[{'"}, "broken JSON"),
        ({"queries": "[a, 1]"}, "queries"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_a_start_that_cannot_be_ends_with_1_and_the_way_out(
    ros, tiny_weights: Path, settings: dict, reason: str
) -> None:
    node = start(ros, environment={"CUDA_VISIBLE_DEVICES": ""}, **{"weights": tiny_weights, **settings})
    assert node.wait() == 1
    assert reason in node.text and "Traceback" not in node.text, node.text


def test_auto_says_that_it_runs_on_the_cpu_and_that_no_camera_is_there(ros, tiny_weights: Path) -> None:
    node = start(ros, environment={"CUDA_VISIBLE_DEVICES": ""}, weights=tiny_weights, frame_timeout=0.5)
    node.wait_for("no CUDA device: running on the CPU")
    node.wait_for("no image on /image for")
    assert "it has no publisher; remap it: --ros-args -r image:=" in node.text


@pytest.mark.parametrize(
    "kind, profile, words",
    [
        (CompressedImage, qos.OUTPUT, "/test offers sensor_msgs/msg/CompressedImage RELIABLE VOLATILE"),
        (Image, qos.camera_input(reliable=False), "/test offers sensor_msgs/msg/Image BEST_EFFORT VOLATILE"),
    ],
    ids=["another type", "another QoS"],
)
def test_it_tells_which_publisher_sends_nothing_it_can_take(
    ros, tiny_weights: Path, kind: type, profile: object, words: str
) -> None:
    ros.node.create_publisher(kind, "/image", profile)
    node = start(ros, weights=tiny_weights, frame_timeout=0.5, image_qos="reliable")
    node.wait_for(f"its publishers: {words}; see image_transport")
    if kind is Image:
        node.wait_for("incompatible QoS")


def test_a_compressed_camera_is_found_beside_its_remapped_name(ros, bright_weights: Path) -> None:
    message = CompressedImage(format="png")
    message.data.frombytes(cv2.imencode(".png", BRIGHT)[1])
    start(ros, "-r", "image:=/cam/color", image_transport="compressed", weights=bright_weights, queries="cat")
    masks = ros.collect(Image, "/segment/mask", qos.OUTPUT)
    with ros.repeat(CompressedImage, "/cam/color/compressed", qos.OUTPUT, 5.0, lambda: message):
        ros.spin_until(lambda: masks, "a mask")
    assert set(masks[0].data) == {255}


def transition(ros, label: str) -> bool:
    request = ChangeState.Request()
    request.transition.label = label
    return ros.call(ChangeState, "/segment/change_state", request).success


def test_lifecycle_requests_load_start_stop_and_free(ros, bright_weights: Path) -> None:
    node = start(ros, weights=bright_weights, engine_options="side=128", queries="cat", autostart="false")
    masks = ros.collect(Image, "/segment/mask", qos.OUTPUT)
    with camera(ros):
        assert ros.call(GetState, "/segment/get_state", GetState.Request()).current_state.label == "unconfigured"
        for _ in range(2):
            assert transition(ros, "configure") and transition(ros, "activate")
            count = len(masks)
            ros.spin_until(lambda: len(masks) > count, "a mask")
            assert transition(ros, "deactivate")
            ros.spin_for(0.2)  # what was on its way
            count = len(masks)
            ros.spin_for(0.5)
            assert len(masks) == count
            assert transition(ros, "cleanup")
        assert transition(ros, "shutdown")
    node.send(SIGINT)
    assert node.wait() == 0


def test_a_configuration_that_fails_can_be_tried_again(ros, tiny_copy: Path) -> None:
    config = tiny_copy / "config.json"
    kept = config.read_text()
    config.unlink()
    node = start(ros, weights=tiny_copy, autostart="false")
    assert not transition(ros, "configure")
    node.wait_for("cannot configure: ")
    config.write_text(kept)
    assert transition(ros, "configure")


def test_a_slow_engine_takes_the_newest_frame_and_answers_meanwhile(ros, bright_weights: Path) -> None:
    start(ros, weights=bright_weights, queries="cat")  # at full size: a third of a second and more for a frame
    queries = ros.node.create_publisher(String, "/seg_query", qos.QUERY)
    answers = ros.collect(String, "/segment/active_queries", qos.LATCHED)
    ages, arrivals = [], []

    def arrive(mask: Image) -> None:
        arrivals.append(time.monotonic())
        ages.append((ros.node.get_clock().now().nanoseconds - conversions.stamp_to_ns(mask.header.stamp)) / 1e9)

    ros.node.create_subscription(Image, "/segment/mask", arrive, qos.OUTPUT)
    parameters = ros.node.create_client(GetParameters, "/segment/get_parameters")
    with camera(ros, rate=30.0):
        ros.spin_until(lambda: len(ages) >= 8, "eight masks")
        work = float(np.median(np.diff(arrivals)))
        assert work > 0.1
        assert max(ages[1:]) < 2.0 * max(np.diff(arrivals)) + 0.2, (ages, arrivals)
        replies = []
        for turn in range(9):
            count, began = len(ages), time.monotonic()
            queries.publish(String(data=f"cat {turn}"))
            ros.spin_until(lambda: json.loads(answers[-1].data)["queries"][0]["text"] == f"cat {turn}", "the answer")
            replies.append(time.monotonic() - began)
            began = time.monotonic()
            future = parameters.call_async(GetParameters.Request(names=["threshold"]))
            ros.spin_until(future.done, "the parameter")
            replies.append(time.monotonic() - began)
            ros.spin_until(lambda: len(ages) > count, "a frame with the new query")
        assert np.median(replies) < 0.5 * work, (replies, work)
