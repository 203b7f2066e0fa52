# SPDX-License-Identifier: Apache-2.0
"""What the node tells about its queries on ~/active_queries: a JSON object.

    {"stamp": {"sec": 3, "nanosec": 0} | null,      the last frame segmented with these queries
     "queries": [{"id": 1, "text": "red mug", "label": "red mug", "threshold": 0.3 | null,
                  "present": true | null,           in the last frame of some camera; null until one was segmented
                  "unknown_words": [], "source": "seg_query" | "seg_affordance" | "seg_support", "once": false,
                  "searched": ["red mug"],          the texts that the model gets; several are fused by maximum
                  "support": "0123456789abcdef", "text_weight": 0.5,    of examples only: digest, share of the text
                  "confidence": 0.9, "dropped_at": 2 | null}],     of engines that judge: how sure, the step of the drop
     "answered": [{...}],                           the last queries asked once, as they were answered, with `stamp`
     "refused": {"source": "seg_query", "text": "...", "reason": "..."} | null,     the last query, where it was refused
     "cameras": {"front": {"stamp": {...}, "present": [1]}}}      with named cameras: the last frame of each, and ids

It is published at every change of the queries, of what is present and of what was refused, and otherwise at most
once a second, so that the stamp follows the frames.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence

from clipseg_ros.queries import Entry
from clipseg_ros.segmentation import Prompt, Verdict

STAMP_PERIOD = 1.0
DIGITS = 16  # of a support's digest

Words = Callable[[str], Sequence[str]]  # a text -> those of its words that the model does not know


class ActiveQueries:
    """Keeps the message and hands its text to `publish`; to be called by one thread at a time."""

    def __init__(self, publish: Callable[[str], None]) -> None:
        self._publish = publish
        self._published = 0.0
        self._present: dict[str, tuple[bool, ...]] = {}  # camera -> of each query
        self._message: dict[str, object] = {
            "stamp": None, "queries": [], "answered": [], "refused": None, "cameras": {}
        }
        self._send()

    @property
    def refused(self) -> dict[str, str] | None:
        """The last query, where it was refused: source, text and reason."""
        return self._message["refused"]

    @property
    def dropped(self) -> str:
        """What the engine dropped in the last frame, with the step and how sure it was of it: `mug (step 1, 0.12)`."""
        gone = [query for query in self._message["queries"] if query.get("dropped_at") is not None]
        return ", ".join(f"{query['label']} (step {query['dropped_at']}, {query['confidence']:.2f})" for query in gone)

    def accept(self, entries: Sequence[Entry], prompts: Sequence[Prompt], unknown_words: Words) -> None:
        """These are active from now on; prompts: those of entries with the threshold that counts."""
        queries = [_told(entry, prompt, unknown_words) for entry, prompt in zip(entries, prompts)]
        if queries != [_unanswered(query) for query in self._message["queries"]]:
            self._present = {}
            self._change(stamp=None, queries=queries, cameras={})

    def refuse(self, source: str, text: str, reason: str) -> bool:
        """The last query was refused; the active ones stay. False where this was already said."""
        return self._change(refused={"source": source, "text": text, "reason": reason})

    def forgive(self, source: str) -> None:
        """A query of this source was accepted: its refusal is of the past."""
        if self.refused is not None and self.refused["source"] == source:
            self._change(refused=None)

    def answer(
        self, camera: str, stamp_ns: int, present: Sequence[bool], verdicts: Sequence[Verdict] = ()
    ) -> None:
        """A frame of a camera ("" for the one without a name) was segmented; present, verdicts: as the queries."""
        self._message["stamp"] = stamp = _stamp(stamp_ns)
        self._present[camera] = tuple(map(bool, present))
        anywhere = map(any, zip(*self._present.values()))
        queries = [{**query, "present": seen} for query, seen in zip(self._message["queries"], anywhere)]
        news = queries != self._message["queries"]
        if camera:
            here = [query["id"] for query, seen in zip(queries, present) if seen]
            known = self._message["cameras"].get(camera, {})
            news = news or known.get("present") != here
            self._message["cameras"][camera] = {"stamp": stamp, "present": here}
        for query, verdict in zip(queries, verdicts):
            news = news or query.get("dropped_at") != verdict.dropped_at
            query |= {"confidence": round(verdict.confidence, 3), "dropped_at": verdict.dropped_at}
        self._message["queries"] = queries
        if news or time.monotonic() - self._published >= STAMP_PERIOD:
            self._send()

    def close(self, entries: Sequence[Entry]) -> None:
        """These were asked once, answered with the last frame, and are about to leave: tell so with what comes next."""
        ids = {entry.id for entry in entries}
        stamp = self._message["stamp"]
        closed = [{**query, "stamp": stamp} for query in self._message["queries"] if query["id"] in ids]
        self._message["answered"] = closed

    def _change(self, **values: object) -> bool:
        if all(self._message[key] == value for key, value in values.items()):
            return False
        self._message.update(values)
        self._send()
        return True

    def _send(self) -> None:
        self._published = time.monotonic()
        self._publish(json.dumps(self._message))


def _told(entry: Entry, prompt: Prompt, unknown_words: Words) -> dict[str, object]:
    texts = [part.text for part in entry.query.searched if part.text]
    told: dict[str, object] = {
        "id": entry.id,
        "text": prompt.text,
        "label": prompt.name,
        "threshold": prompt.threshold,
        "present": None,
        "unknown_words": list(dict.fromkeys(word for text in texts for word in unknown_words(text))),
        "source": entry.query.source,
        "once": entry.query.once,
        "searched": texts,
    }
    if prompt.support is not None:
        told |= {"support": prompt.support.digest[:DIGITS], "text_weight": prompt.text_weight}
    return told


def _unanswered(query: Mapping[str, object]) -> dict[str, object]:
    told = {key: value for key, value in query.items() if key not in ("confidence", "dropped_at")}
    return {**told, "present": None}


def _stamp(nanoseconds: int) -> dict[str, int]:
    seconds, rest = divmod(nanoseconds, 1_000_000_000)
    return {"sec": seconds, "nanosec": rest}
