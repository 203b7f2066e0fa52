# SPDX-License-Identifier: Apache-2.0
"""The worker thread, alone."""

from __future__ import annotations

from threading import Event, Thread

import pytest

from clipseg_ros.ros.worker import Worker

LIMIT = 10.0  # s


def test_while_one_item_is_worked_on_only_the_newest_waits() -> None:
    begun, go, done, seen = Event(), Event(), Event(), []

    def work(items: list[int]) -> None:
        seen.append(items)
        begun.set()
        assert go.wait(LIMIT)
        if items == [9]:
            done.set()

    worker = Worker(work, "test")
    assert not worker.put(0)
    assert begun.wait(LIMIT)
    dropped = [worker.put(item) for item in range(1, 10)]
    go.set()
    assert done.wait(LIMIT)
    worker.stop()
    assert dropped == [False] + [True] * 8
    assert seen == [[0], [9]]


def test_the_newest_of_each_sender_are_taken_together_and_a_fast_one_keeps_nobody_out() -> None:
    begun, go, done, seen = Event(), Event(), Event(), []

    def work(items: list[str]) -> None:
        seen.append(items)
        begun.set()
        assert go.wait(LIMIT)
        if len(seen) == 2:
            done.set()

    worker = Worker(work, "test")
    worker.put("front 0", "front")
    assert begun.wait(LIMIT)
    dropped = [worker.put(f"front {number}", "front") for number in (1, 2)]
    dropped.append(worker.put("wrist 0", "wrist"))
    dropped.append(worker.put("front 3", "front"))
    go.set()
    assert done.wait(LIMIT)
    worker.stop()
    assert dropped == [False, True, False, True]
    assert seen == [["front 0"], ["front 3", "wrist 0"]]


def test_stopping_waits_for_the_present_item_and_is_final() -> None:
    begun, go, seen = Event(), Event(), []

    def work(items: list[int]) -> None:
        begun.set()
        assert go.wait(LIMIT)
        seen.append(items)

    worker = Worker(work, "test")
    worker.put(1)
    assert begun.wait(LIMIT)
    stopping = Thread(target=worker.stop)
    stopping.start()
    assert stopping.is_alive()
    go.set()
    stopping.join(LIMIT)
    worker.put(2)
    assert seen == [[1]] and not stopping.is_alive()


def test_an_error_of_the_work_comes_out_where_items_are_put() -> None:
    failing = Event()

    def work(items: list[int]) -> None:
        failing.set()
        raise KeyError(*items)

    worker = Worker(work, "test")
    worker.put(5)
    assert failing.wait(LIMIT)
    worker.stop()
    with pytest.raises(KeyError, match="5"):
        worker.put(6)
