# SPDX-License-Identifier: Apache-2.0
"""What the node tells about its queries on ~/active_queries: a JSON object.

    {"stamp": {"sec": 3, "nanosec": 0} | null,      the last frame segmented with these queries
     "queries": [{"id": 1, "text": "red mug", "label": "red mug", "threshold": 0.3 | null,
                  "present": true | null,           null until a frame was segmented
                  "unknown_words": [], "source": "seg_query"}],
     "refused": {"text": "...", "reason": "..."} | null}   the last query, where it was refused

It is published at every change of the queries, of what is present and of what was refused, and otherwise at most
once a second, so that the stamp follows the frames.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence

from clipseg_ros.queries import Entry
from clipseg_ros.segmentation import Prompt

STAMP_PERIOD = 1.0


class ActiveQueries:
    """Keeps the message and hands its text to `publish`; to be called by one thread at a time."""

    def __init__(self, publish: Callable[[str], None]) -> None:
        self._publish = publish
        self._published = 0.0
        self._message: dict[str, object] = {"stamp": None, "queries": [], "refused": None}
        self._send()

    @property
    def refused(self) -> bool:
        """Whether the last query was refused."""
        return self._message["refused"] is not None

    def accept(
        self,
        entries: Sequence[Entry],
        prompts: Sequence[Prompt],
        unknown_words: Callable[[str], Sequence[str]],
        forgets_refusal: bool,
    ) -> None:
        """These are active from now on; prompts: those of entries with the threshold that counts."""
        queries = [
            {
                "id": entry.id,
                "text": prompt.text,
                "label": prompt.name,
                "threshold": prompt.threshold,
                "present": None,
                "unknown_words": list(unknown_words(prompt.text)),
                "source": "seg_query",
            }
            for entry, prompt in zip(entries, prompts)
        ]
        refused = None if forgets_refusal else self._message["refused"]
        if queries == [{**query, "present": None} for query in self._message["queries"]]:
            self._change(refused=refused)
        else:
            self._change(stamp=None, queries=queries, refused=refused)

    def refuse(self, text: str, reason: str) -> bool:
        """The last query was refused; the active ones stay. False where this was already said."""
        return self._change(refused={"text": text, "reason": reason})

    def answer(self, stamp_ns: int, present: Sequence[bool]) -> None:
        """A frame was segmented; present: in the order of the queries."""
        seconds, rest = divmod(stamp_ns, 1_000_000_000)
        self._message["stamp"] = {"sec": seconds, "nanosec": rest}
        queries = [{**query, "present": bool(seen)} for query, seen in zip(self._message["queries"], present)]
        if not self._change(queries=queries) and time.monotonic() - self._published >= STAMP_PERIOD:
            self._send()

    def _change(self, **values: object) -> bool:
        if all(self._message[key] == value for key, value in values.items()):
            return False
        self._message.update(values)
        self._send()
        return True

    def _send(self) -> None:
        self._published = time.monotonic()
        self._publish(json.dumps(self._message))
