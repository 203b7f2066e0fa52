# SPDX-License-Identifier: Apache-2.0
"""Frames in, images out, of one running node."""

from __future__ import annotations

from itertools import cycle

import numpy as np
import pytest
from lifecycle_msgs.srv import ChangeState
from sensor_msgs.msg import Image

from clipseg_ros.ros import conversions
from clipseg_ros.segmentation import Frame


@pytest.mark.parametrize("size", [(480, 640), (640, 480), (720, 1280)])
def test_the_mask_lies_on_the_shape_whatever_the_image_s_size(bench, size: tuple[int, int]) -> None:
    shape = np.s_[size[0] - 160:size[0] - 40, 40:160]
    bench.query("cat")
    with bench.camera(bench.picture(*size, shape), rate=5.0), bench.listen() as masks:
        mask = bench.array(bench.next_of(masks)) == 255
    truth = np.zeros(size, bool)
    truth[shape] = True
    assert (mask & truth).sum() / (mask | truth).sum() > 0.9


def test_every_output_has_the_header_size_and_layout_it_promises(bench) -> None:
    (cat,) = bench.query("cat")["queries"]
    sent = conversions.image_to_ros(bench.picture(), "rgb8", Frame(bench.picture(), 7_000_000_005, "optical"))
    layouts = {"mask": ("mono8", 1), "labels": ("mono8", 1), "score": ("32FC1", 4), "overlay": ("rgb8", 3)}
    arrays = {}
    for topic, (encoding, size) in layouts.items():
        with bench.ros.repeat(Image, "/image", bench.RELIABLE, 20.0, lambda: sent), bench.listen(topic) as messages:
            message = bench.next_of(messages)
        assert message.header == sent.header
        assert (message.height, message.width, message.encoding, message.step) == (48, 64, encoding, 64 * size)
        arrays[topic] = bench.array(message)
    inside, outside = (16, 48), (40, 10)
    assert (arrays["mask"][inside], arrays["mask"][outside]) == (255, 0)
    assert (arrays["labels"][inside], arrays["labels"][outside]) == (cat["id"], 0)
    assert arrays["score"][inside] > 0.9 and arrays["score"][outside] < 0.1
    assert tuple(arrays["overlay"][outside]) == (bench.DARK,) * 3 != tuple(arrays["overlay"][inside])


@pytest.mark.parametrize(
    "offers", [["reliable"], ["best effort"], ["reliable", "best effort"]], ids=" and ".join
)
def test_a_camera_is_heard_whatever_it_offers(bench, offers: list[str]) -> None:
    bench.query("cat")
    node = bench.ros.node
    profiles = [{"reliable": bench.RELIABLE, "best effort": bench.BEST_EFFORT}[offer] for offer in offers]
    expected = profiles[-1].reliability
    others = [node.create_publisher(Image, "/image", offer) for offer in profiles[1:]]
    with bench.camera(bench.picture(), profiles[0]), bench.listen() as masks:
        bench.ros.spin_until(
            lambda: [i.qos_profile.reliability for i in node.get_subscriptions_info_by_topic("/image")] == [expected],
            "the node's change of QoS",
        )
        bench.next_of(masks)
    for other in others:
        node.destroy_publisher(other)


def test_without_a_query_nothing_is_published(bench) -> None:
    bench.query("cat")
    with bench.camera(bench.picture()), bench.listen() as masks:
        bench.next_of(masks)
        bench.query("")
        bench.ros.spin_for(0.2)  # what was on its way
        count = len(masks)
        bench.ros.spin_for(1.0)
        assert len(masks) == count


def test_without_a_listener_nothing_is_segmented(bench) -> None:
    bench.query("cat")
    with bench.camera(bench.picture()):
        before = bench.report()
        after = bench.report()
        while int(after["frames received"]) < int(before["frames received"]) + 5:
            after = bench.report()
    assert after["frames segmented"] == before["frames segmented"]
    assert after["listened to"] == ""


def test_the_threshold_changes_while_it_runs(bench) -> None:
    bench.query("cat")
    with bench.camera(bench.picture(level=160)), bench.listen() as masks:
        assert bench.array(bench.next_of(masks)).any()
        assert bench.set("threshold", 1).successful
        bench.ros.spin_until(lambda: not bench.array(masks[-1]).any(), "an empty mask")
        bench.ros.spin_until(lambda: bench.active["queries"][0]["present"] is False, "the absence")
        assert bench.active["queries"][0]["threshold"] == 1.0
        assert bench.set("threshold", 0.0).successful
        bench.ros.spin_until(lambda: bench.array(masks[-1]).any(), "a mask")


def test_max_rate_bounds_the_frames(bench) -> None:
    bench.query("cat")
    assert bench.set("max_rate", 4).successful
    with bench.camera(bench.picture(), rate=30.0), bench.listen() as masks:
        bench.next_of(masks)
        bench.ros.spin_for(2.0)
        assert 4 <= len(masks) - 1 <= 9
        assert bench.set("max_rate", 0.0).successful


def bad(image: np.ndarray, **changes: object) -> Image:
    message = conversions.image_to_ros(image, "rgb8", Frame(image))
    for name, value in changes.items():
        setattr(message, name, value)
    return message


def test_bad_frames_are_counted_and_the_next_good_one_is_segmented(bench) -> None:
    bench.query("cat")
    changes = [{"encoding": "weird"}, {"width": 0}, {"step": 10}, {"height": 1000}]
    frames = cycle([bad(bench.picture(), **change) for change in changes])
    before = int(bench.report()["frames bad"])
    with bench.listen() as masks:
        with bench.ros.repeat(Image, "/image", bench.RELIABLE, 20.0, lambda: next(frames)):
            while int(bench.report()["frames bad"]) < before + 8:
                assert not masks
        with bench.camera(bench.picture()):
            bench.next_of(masks)
    bench.process.wait_for("frame dropped: encoding 'weird': expected one of rgb8, bgr8")


def test_a_transition_that_the_state_does_not_have_fails_and_the_node_lives(bench) -> None:
    request = ChangeState.Request()
    request.transition.label = "activate"
    assert not bench.ros.call(ChangeState, "/segment/change_state", request).success
    bench.query("dog")
