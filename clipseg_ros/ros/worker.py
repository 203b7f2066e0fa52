# SPDX-License-Identifier: Apache-2.0
"""One thread with room for one waiting item: the newest wins, so that results never lag behind a queue."""

from __future__ import annotations

from collections.abc import Callable
from threading import Condition, Thread
from typing import Generic, TypeVar

T = TypeVar("T")


class Worker(Generic[T]):
    """Calls `work` with the newest item put, one at a time, in its own thread, until `stop`.

    An exception of `work` ends the thread and is raised by the next `put`.
    """

    def __init__(self, work: Callable[[T], None], name: str) -> None:
        self._work = work
        self._change = Condition()
        self._waiting: list[T] = []  # at most one
        self._stopping = False
        self._failure: BaseException | None = None
        self._thread = Thread(target=self._run, name=name)
        self._thread.start()

    def put(self, item: T) -> bool:
        """Hand over an item; True where it takes the place of one that was still waiting, which is dropped."""
        with self._change:
            if self._failure is not None:
                raise self._failure
            dropped = bool(self._waiting)
            self._waiting = [item]
            self._change.notify()
            return dropped

    def stop(self) -> None:
        """Let the present item finish, drop the waiting one, end the thread; no `work` runs after this returns."""
        with self._change:
            self._stopping = True
            self._change.notify()
        self._thread.join()

    def _run(self) -> None:
        try:
            while (item := self._take()) is not None:
                self._work(item[0])
        except BaseException as failure:  # kept for the thread that puts: nobody would see it here
            self._failure = failure

    def _take(self) -> list[T] | None:
        with self._change:
            self._change.wait_for(lambda: self._stopping or self._waiting)
            taken, self._waiting = self._waiting, []
            return None if self._stopping else taken
