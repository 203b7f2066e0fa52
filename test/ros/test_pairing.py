# SPDX-License-Identifier: Apache-2.0
"""Messages paired by their stamps, by our own lines and, where it is installed, by message_filters."""

from __future__ import annotations

import importlib.util
import sys
from types import SimpleNamespace

import pytest
from std_msgs.msg import Header

from clipseg_ros.ros.conversions import stamp_from_ns
from clipseg_ros.ros.pairing import QUEUE, pair

MILLISECOND = 1_000_000


class Pairs:
    """Two doors and what came of them, by names such as a12: stream a, at 12 ms."""

    def __init__(self, slop: float) -> None:
        self.found: list[tuple[str, str]] = []
        self._doors = pair(slop, lambda first, second: self.found.append((first.name, second.name)))

    def put(self, *names: str) -> list[tuple[str, str]]:
        for name in names:
            stamp = stamp_from_ns(int(name[1:]) * MILLISECOND)
            self._doors["ab".index(name[0])](SimpleNamespace(header=Header(stamp=stamp), name=name))
        return self.found


@pytest.fixture(params=["own lines", "message_filters"])
def pairs(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Pairs:
    if request.param == "own lines":
        monkeypatch.setitem(sys.modules, "message_filters", None)  # as where it is not installed
    elif importlib.util.find_spec("message_filters") is None:
        pytest.skip("message_filters comes with a ROS 2 installation, not from PyPI")
    return Pairs(0.02)


@pytest.mark.parametrize("order", [("a100", "b100"), ("b100", "a100")])
def test_equal_stamps_are_a_pair_whichever_comes_first(pairs: Pairs, order: tuple[str, str]) -> None:
    assert pairs.put(*order) == [("a100", "b100")]


def test_stamps_within_the_slop_are_a_pair_and_others_wait(pairs: Pairs) -> None:
    assert pairs.put("a100", "b121") == []
    assert pairs.put("b119") == [("a100", "b119")]
    assert pairs.put("a125") == [("a100", "b119"), ("a125", "b121")]


def test_of_several_the_nearest_is_taken(pairs: Pairs) -> None:
    assert pairs.put("b1090", "b1103", "b1110", "a1101") == [("a1101", "b1103")]


def test_a_message_is_in_one_pair_alone(pairs: Pairs) -> None:
    assert pairs.put("a100", "b100", "b105", "a100") == [("a100", "b100"), ("a100", "b105")]
    assert pairs.put("b100") == [("a100", "b100"), ("a100", "b105")]


def test_late_messages_find_those_that_still_wait(pairs: Pairs) -> None:
    names = [f"a{1000 + 33 * frame}" for frame in range(QUEUE + 1)]
    assert pairs.put(*names, "b1000") == []  # the first has left the queue
    assert pairs.put("b1033") == [("a1033", "b1033")]


def test_a_bag_that_starts_again_is_paired_again(pairs: Pairs) -> None:
    pairs.put(*(f"{stream}{90_000 + 33 * frame + 25 * (stream == 'b')}" for frame in range(20) for stream in "ab"))
    pairs.found.clear()
    assert pairs.put("a10", "b11", "a43", "b44") == [("a10", "b11"), ("a43", "b44")]
