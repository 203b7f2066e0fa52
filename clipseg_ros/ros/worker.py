# SPDX-License-Identifier: Apache-2.0
"""One thread with room for one waiting item of each sender: the newest wins, so that results never lag behind a queue.

All that wait are taken together, so a fast sender cannot keep a slow one out.
"""

from __future__ import annotations

from collections.abc import Callable
from threading import Condition, Thread
from typing import Generic, TypeVar

T = TypeVar("T")


class Worker(Generic[T]):
    """Calls `work` with the newest item of each sender that has put one, in its own thread, until `stop`.

    An exception of `work` ends the thread and is raised by the next `put`.
    """

    def __init__(self, work: Callable[[list[T]], None], name: str) -> None:
        self._work = work
        self._change = Condition()
        self._waiting: dict[str, T] = {}  # sender -> its newest
        self._stopping = False
        self._failure: BaseException | None = None
        self._thread = Thread(target=self._run, name=name)
        self._thread.start()

    def put(self, item: T, sender: str = "") -> bool:
        """Hand over an item; True where it takes the place of the sender's last, which still waited and is dropped."""
        with self._change:
            if self._failure is not None:
                raise self._failure
            dropped = sender in self._waiting
            self._waiting[sender] = item
            self._change.notify()
            return dropped

    def stop(self) -> None:
        """Let the present items finish, drop the waiting ones, end the thread; no `work` runs after this returns."""
        with self._change:
            self._stopping = True
            self._change.notify()
        self._thread.join()

    def _run(self) -> None:
        try:
            while taken := self._take():
                self._work(taken)
        except BaseException as failure:  # kept for the thread that puts: nobody would see it here
            self._failure = failure

    def _take(self) -> list[T]:
        """Those that wait, in the order in which their senders began to wait; [] to stop."""
        with self._change:
            self._change.wait_for(lambda: self._stopping or self._waiting)
            taken, self._waiting = list(self._waiting.values()), {}
            return [] if self._stopping else taken
