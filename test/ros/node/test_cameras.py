# SPDX-License-Identifier: Apache-2.0
"""Several cameras, one model."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

CAMERAS = "[front, wrist]"


def stamps(messages: list) -> list[int]:
    return [message.header.stamp.nanosec for message in messages]


def test_each_camera_has_topics_of_its_own(enter: Callable) -> None:
    inside = enter(cameras=CAMERAS, queries="cup")
    assert inside.segment.start()
    front, wrist = inside.listen("/segment/front/mask"), inside.listen("/segment/wrist/mask")
    inside.show("/front/image", 1)
    inside.until(lambda: front, "the front camera's mask")
    inside.show("/wrist/image", 2, size=(5, 3), level=0)
    inside.until(lambda: wrist, "the wrist camera's mask")
    assert (front[0].header.frame_id, wrist[0].header.frame_id) == ("/front/image", "/wrist/image")
    assert (wrist[0].height, wrist[0].width, stamps(front), stamps(wrist)) == (5, 3, [1], [2])
    assert set(front[0].data) == {255} and set(wrist[0].data) == {0}
    inside.until(lambda: len(inside.active["cameras"]) == 2, "both in the active queries")
    assert inside.active["cameras"]["front"]["present"] == [1] and inside.active["cameras"]["wrist"]["present"] == []
    assert inside.active["queries"][0]["present"] is True
    inside.until(lambda: inside.reports, "a diagnosis")
    names = [status.name for status in inside.reports[-1].status]
    assert names == ["/segment: front", "/segment: wrist"]


def test_frames_that_wait_together_are_one_batch_and_the_newest_of_each_wins(enter: Callable) -> None:
    inside = enter(cameras=CAMERAS, queries="cup")
    assert inside.segment.start()
    front, wrist = inside.listen("/segment/front/mask"), inside.listen("/segment/wrist/mask")
    warm = len(inside.engine.batches)
    inside.engine.gate.clear()
    inside.show("/front/image", 1)
    inside.until(lambda: len(inside.engine.batches) == warm + 1, "the first call")
    counters = [port.diagnostics.counters for port in inside.segment._ports]
    for stamp in (2, 3, 4):  # a fast camera does not keep the slow one out
        inside.show("/front/image", stamp)
        inside.until(lambda: counters[0].received == stamp, "the front camera's frame")
    inside.show("/wrist/image", 5, size=(8, 8))
    inside.until(lambda: counters[1].received == 1, "the wrist camera's frame")
    inside.engine.gate.set()
    inside.until(lambda: len(front) == 2 and wrist, "the masks")
    assert inside.engine.batches[warm:] == [[(4, 6)], [(4, 6), (8, 8)]]
    (before,), (front_memory, wrist_memory) = inside.engine.memories[warm:]
    assert before is front_memory is not wrist_memory
    assert (stamps(front), stamps(wrist)) == ([1, 4], [5])
    assert counters[0].replaced == 2


def test_one_camera_that_nobody_listens_to_is_left_and_the_other_stays(enter: Callable) -> None:
    inside = enter(cameras=CAMERAS, queries="cup", idle_timeout=0.2)
    assert inside.segment.start()
    masks = inside.listen("/segment/front/mask")
    inside.until(lambda: not inside.hears("/wrist/image"), "the end of the wrist camera's subscription")
    inside.show("/front/image", 1)
    inside.until(lambda: masks, "a mask")


def test_a_query_asked_once_is_answered_by_all_cameras_of_the_batch(enter: Callable) -> None:
    inside = enter(cameras=CAMERAS, queries="cup")
    assert inside.segment.start()
    front, wrist = inside.listen("/segment/front/labels"), inside.listen("/segment/wrist/labels")
    inside.engine.gate.clear()
    warm = len(inside.engine.batches)
    inside.show("/front/image", 1)
    inside.until(lambda: len(inside.engine.batches) == warm + 1, "the first call")
    inside.set("queries", ['[{"text": "mug", "once": true}]'])
    inside.show("/front/image", 2)
    inside.show("/wrist/image", 3)
    received = [port.diagnostics.counters for port in inside.segment._ports]
    inside.until(lambda: (received[0].received, received[1].received) == (2, 1), "both frames")
    inside.engine.gate.set()
    inside.until(lambda: not inside.segment.settings.queries, "the end of the query")
    inside.until(lambda: front and wrist, "the labels")
    assert (stamps(front), stamps(wrist)) == ([2], [3])  # the first was of queries that had changed
    (mug,) = inside.active["answered"]
    assert set(np.frombuffer(wrist[0].data, np.uint8)) == {mug["id"]} == set(np.frombuffer(front[0].data, np.uint8))
