# SPDX-License-Identifier: Apache-2.0
"""Messages of two streams that belong together by their stamps: by message_filters where it is installed, which pip
does not have, by a few lines of our own otherwise."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Protocol

from std_msgs.msg import Header

from clipseg_ros.ros.conversions import stamp_to_ns

QUEUE = 10  # messages of each stream that wait for their other half


class Stamped(Protocol):
    """Anything with a header."""

    header: Header


Door = Callable[[Stamped], None]


def pair(slop: float, callback: Callable[[Stamped, Stamped], None]) -> tuple[Door, Door]:
    """Two doors, one a stream; callback(first, second) with messages whose stamps differ by less than `slop` seconds.

    Each message is in one pair at most. Both doors are to be used by one thread.
    """
    try:
        import message_filters
    except ImportError:
        queues = StampQueues(slop, callback)
    else:
        queues = _FilteredQueues(message_filters, slop, callback)
    return partial(queues.put, 0), partial(queues.put, 1)


class StampQueues:
    """Of a new message and those that wait in the other stream, the nearest in time are a pair."""

    def __init__(self, slop: float, callback: Callable[[Stamped, Stamped], None]) -> None:
        self._slop_ns = slop * 1e9
        self._callback = callback
        self._waiting: tuple[deque[Stamped], deque[Stamped]] = (deque(maxlen=QUEUE), deque(maxlen=QUEUE))

    def put(self, stream: int, message: Stamped) -> None:
        """stream: 0 for the first, 1 for the second."""
        others, stamp = self._waiting[1 - stream], stamp_to_ns(message.header.stamp)
        distances = [abs(stamp_to_ns(other.header.stamp) - stamp) for other in others]
        nearest = min(distances, default=self._slop_ns)
        if nearest >= self._slop_ns:
            self._waiting[stream].append(message)
            return
        index = distances.index(nearest)
        other = others[index]
        del others[index]
        self._callback(*((message, other) if stream == 0 else (other, message)))


class _FilteredQueues:
    """message_filters drops the smallest stamp first: after a jump back in time, as of a bag that starts again, it
    would drop every new message, hence new queues."""

    def __init__(self, filters: object, slop: float, callback: Callable[[Stamped, Stamped], None]) -> None:
        self._filters, self._slop, self._callback = filters, slop, callback
        self._renew()

    def _renew(self) -> None:
        self._doors = self._filters.SimpleFilter(), self._filters.SimpleFilter()
        self._newest = [0, 0]
        pairs = self._filters.ApproximateTimeSynchronizer(self._doors, QUEUE, self._slop)
        pairs.registerCallback(self._callback)

    def put(self, stream: int, message: Stamped) -> None:
        """stream: 0 for the first, 1 for the second."""
        stamp = stamp_to_ns(message.header.stamp)
        if stamp < self._newest[stream] - self._slop * 1e9:
            self._renew()
        self._newest[stream] = max(stamp, self._newest[stream])
        self._doors[stream].signalMessage(message)
