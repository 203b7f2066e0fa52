# SPDX-License-Identifier: Apache-2.0
"""Rest and work: lazy subscriptions, enable, warm-up, lifecycle, diagnostics, QoS by parameters."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.parameter import Parameter
from rclpy.qos import ReliabilityPolicy
from std_srvs.srv import SetBool

MASK = "/segment/mask"


def enable(inside, value: bool) -> SetBool.Response:
    client = inside.node.create_client(SetBool, "/enable")
    inside.until(client.service_is_ready, "the service")
    future = client.call_async(SetBool.Request(data=value))
    inside.until(future.done, "the answer")
    return future.result()


def test_the_camera_is_given_up_without_a_listener_and_taken_again_for_one(enter: Callable) -> None:
    inside = enter(queries="cup", idle_timeout=0.3)
    assert inside.segment.start()
    for stamp in (1, 2):
        masks = inside.listen(MASK)
        inside.show("/image", stamp)
        inside.until(lambda: masks, "a mask")
        inside.deafen(MASK)
        inside.until(lambda: not inside.hears("/image"), "the end of the subscription")
    assert inside.report()["state"] == "active, the camera is not needed"


def test_the_camera_is_given_up_without_a_query_and_taken_at_once_for_one(enter: Callable) -> None:
    inside = enter(idle_timeout=0.3)
    assert inside.segment.start()
    masks = inside.listen(MASK)
    inside.until(lambda: not inside.hears("/image"), "the end of the subscription")
    inside.set("queries", ["cup"])
    assert inside.node.count_subscribers("/image") or inside.segment._ports[0].state == "active"
    inside.show("/image", 1)
    inside.until(lambda: masks, "a mask")


def test_a_short_rest_keeps_the_camera(enter: Callable) -> None:
    inside = enter(queries="cup", idle_timeout=60.0)
    assert inside.segment.start()
    inside.spin_for(0.5)
    assert inside.hears("/image")


def test_disabled_it_rests_at_once_and_enabled_it_works_again(enter: Callable) -> None:
    inside = enter(queries="cup", idle_timeout=60.0)
    assert inside.segment.start()
    masks = inside.listen(MASK)
    answer = enable(inside, False)
    assert (answer.success, answer.message) == (True, "inactive")
    inside.until(lambda: not inside.hears("/image"), "the end of the subscription")
    assert inside.report()["state"] == "disabled" and not masks
    assert enable(inside, True).message == "active"
    inside.show("/image", 1)
    inside.until(lambda: masks, "a mask")


def test_it_is_warm_before_it_is_active(enter: Callable) -> None:
    inside = enter(cameras="[front, left, right]", autostart="false")
    assert inside.segment.start() and inside.engine is None
    inside.segment.trigger_configure()
    assert inside.engine.batches == [[(480, 640)], [(480, 640)] * 3]
    assert not inside.hears("/front/image")


def test_an_engine_that_fails_to_warm_up_is_not_configured(enter: Callable) -> None:
    inside = enter(weights="cold")
    assert not inside.segment.start() and inside.engine is None
    inside.set("queries", ["cup"])


def test_deactivated_it_leaves_the_camera_and_cleaned_up_it_forgets_the_engine(enter: Callable) -> None:
    inside = enter(queries="cup")
    assert inside.segment.start()
    inside.until(lambda: inside.hears("/image"), "the subscription")
    engine = inside.engine
    inside.segment.trigger_deactivate()
    inside.until(lambda: not inside.hears("/image"), "the end of the subscription")
    inside.set("queries", ["mug"])
    inside.segment.trigger_cleanup()
    assert engine.closed and inside.engine is None
    assert inside.report()["state"] == "unconfigured"


def test_the_diagnosis_has_rates_latencies_and_the_last_error(enter: Callable) -> None:
    inside = enter(queries="cup")
    assert inside.segment.start()
    masks = inside.listen(MASK)
    now = inside.node.get_clock().now().nanoseconds
    inside.show("/image", now)
    inside.until(lambda: masks, "a mask")
    inside.engine.error = RuntimeError("out of memory")
    inside.show("/image", now + 1)
    inside.until(lambda: any(report.status[0].level == DiagnosticStatus.ERROR for report in inside.reports), "an error")
    told = inside.report()
    assert (told["level"], told["last error"]) == (DiagnosticStatus.OK, "frame lost: out of memory")
    assert (told["frames segmented"], told["frames failed"], told["frames dropped"]) == ("1", "1", "1")
    assert float(told["engine latency p99 (ms)"]) >= float(told["engine latency p50 (ms)"]) > 0.0
    assert (told["queries"], told["device"], told["listened to"]) == ("1", "cpu", "mask")
    assert told["GPU memory (MB)"] == ""  # of a GPU's engine alone


@pytest.mark.parametrize(
    "trouble, words", [("query", "query refused: seg_query '[': broken JSON"), ("silence", "no image on /image for")]
)
def test_trouble_is_a_warning(enter: Callable, trouble: str, words: str) -> None:
    inside = enter(queries="cup", frame_timeout=0.3 if trouble == "silence" else 60.0)
    assert inside.segment.start()
    if trouble == "query":
        assert not inside.segment.set_parameters([Parameter("queries", value=["["])])[0].successful
    told = inside.report()
    assert told["level"] == DiagnosticStatus.WARN and words in told["message"]


def test_qos_is_overridden_by_parameters(enter: Callable) -> None:
    inside = enter(**{
        "queries": "cup",
        "qos_overrides./segment/mask.publisher.reliability": "best_effort",
        "qos_overrides./image.subscription.depth": 3,
    })
    assert inside.segment.start()
    (offer,) = [info.qos_profile for info in inside.node.get_publishers_info_by_topic(MASK)]
    assert offer.reliability == ReliabilityPolicy.BEST_EFFORT
    (other,) = [info.qos_profile for info in inside.node.get_publishers_info_by_topic("/segment/labels")]
    assert other.reliability == ReliabilityPolicy.RELIABLE
    assert inside.segment.get_parameter("qos_overrides./image.subscription.depth").value == 3
