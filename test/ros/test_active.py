# SPDX-License-Identifier: Apache-2.0
"""What ~/active_queries says, and when."""

from __future__ import annotations

import json

import numpy as np
import pytest

from clipseg_ros.queries import Entry, Query
from clipseg_ros.ros import active
from clipseg_ros.ros.active import ActiveQueries
from clipseg_ros.segmentation import Prompt, Support, Verdict

CAT, DOG = Prompt("cat"), Prompt("dog", threshold=0.5)
ENTRIES = (Entry(1, Query(CAT)), Entry(7, Query(DOG)))


@pytest.fixture
def told() -> list[dict]:
    return []


@pytest.fixture
def queries(told: list[dict]) -> ActiveQueries:
    queries = ActiveQueries(lambda text: told.append(json.loads(text)))
    queries.accept(ENTRIES, (CAT, DOG), lambda text: ())
    return queries


def test_the_first_message_comes_before_any_query(told: list[dict], queries: ActiveQueries) -> None:
    assert told[0] == {"stamp": None, "queries": [], "answered": [], "refused": None, "cameras": {}}
    assert [(query["id"], query["text"], query["threshold"]) for query in told[1]["queries"]] == [
        (1, "cat", None), (7, "dog", 0.5)
    ]


def test_it_speaks_when_presence_changes_and_else_once_a_period(
    told: list[dict], queries: ActiveQueries, monkeypatch: pytest.MonkeyPatch
) -> None:
    for stamp, present in enumerate([(True, False), (True, False), (True, False), (True, True)]):
        queries.answer("", stamp, present)
    assert [message["stamp"]["nanosec"] for message in told[2:]] == [0, 3]
    monkeypatch.setattr(active, "STAMP_PERIOD", 0.0)
    queries.answer("", 5_000_000_004, (True, True))
    assert told[-1]["stamp"] == {"sec": 5, "nanosec": 4}


def test_the_same_set_again_keeps_what_is_known_of_it(told: list[dict], queries: ActiveQueries) -> None:
    queries.answer("", 3, (True, False))
    count = len(told)
    queries.accept(ENTRIES, (CAT, DOG), lambda text: ())
    assert len(told) == count
    queries.accept(ENTRIES[:1], (CAT,), lambda text: ("cat",))
    assert told[-1]["stamp"] is None and told[-1]["queries"][0]["present"] is None
    assert told[-1]["queries"][0]["unknown_words"] == ["cat"]


def test_a_refusal_stays_until_its_source_is_accepted(told: list[dict], queries: ActiveQueries) -> None:
    assert queries.refuse("seg_query", "[", "broken") and not queries.refuse("seg_query", "[", "broken")
    assert told[-1]["refused"] == queries.refused == {"source": "seg_query", "text": "[", "reason": "broken"}
    queries.accept(ENTRIES[:1], (CAT,), lambda text: ())
    queries.forgive("seg_affordance")
    assert told[-1]["refused"] is not None
    queries.forgive("seg_query")
    assert told[-1]["refused"] is None and queries.refused is None


def test_a_query_of_several_prompts_and_an_example_tell_what_is_searched(told: list[dict]) -> None:
    support = Support(np.zeros((2, 3, 3), np.uint8), np.ones((2, 3), bool))
    seat = Query(Prompt("a seat", label="sit on"), (Prompt("sofa"), Prompt("chair")), source="seg_affordance")
    mixed = Query(Prompt("mug", support, 0.3), once=True, source="seg_support")
    queries = ActiveQueries(lambda text: told.append(json.loads(text)))
    queries.accept([Entry(1, seat), Entry(2, mixed)], (seat.prompt, mixed.prompt), lambda text: (text,))
    first, second = told[-1]["queries"]
    assert first["label"] == "sit on" and first["searched"] == first["unknown_words"] == ["sofa", "chair"]
    assert (first["source"], first["once"]) == ("seg_affordance", False) and "support" not in first
    assert (second["support"], second["text_weight"], second["once"]) == (support.digest[:16], 0.3, True)


def test_each_camera_tells_its_frame_and_something_is_present_where_any_sees_it(
    told: list[dict], queries: ActiveQueries
) -> None:
    queries.answer("front", 1, (True, False))
    queries.answer("wrist", 2, (False, False))
    assert [query["present"] for query in told[-1]["queries"]] == [True, False]
    assert told[-1]["stamp"]["nanosec"] == 2
    assert told[-1]["cameras"] == {
        "front": {"stamp": {"sec": 0, "nanosec": 1}, "present": [1]},
        "wrist": {"stamp": {"sec": 0, "nanosec": 2}, "present": []},
    }
    queries.answer("front", 3, (False, True))
    assert [query["present"] for query in told[-1]["queries"]] == [False, True]


def test_an_engine_s_verdict_is_told_and_a_new_drop_is_news(told: list[dict], queries: ActiveQueries) -> None:
    queries.answer("", 1, (True, False), (Verdict(0.9), Verdict(0.1)))
    queries.answer("", 2, (True, False), (Verdict(0.8), Verdict(0.1, dropped_at=2)))
    assert [query["dropped_at"] for query in told[-1]["queries"]] == [None, 2]
    assert told[-1]["queries"][0]["confidence"] == 0.8
    count = len(told)
    queries.answer("", 3, (True, False), (Verdict(0.7), Verdict(0.1, dropped_at=2)))
    queries.accept(ENTRIES, (CAT, DOG), lambda text: ())
    assert len(told) == count


def test_what_was_dropped_is_said_with_its_step(queries: ActiveQueries) -> None:
    assert queries.dropped == ""
    queries.answer("", 1, (True, False), (Verdict(0.9), Verdict(0.123, dropped_at=2)))
    assert queries.dropped == "dog (step 2, 0.12)"
    queries.answer("", 2, (True, True), (Verdict(0.9), Verdict(0.5)))
    assert queries.dropped == ""


def test_a_query_asked_once_is_told_with_its_answer_when_it_is_gone(told: list[dict], queries: ActiveQueries) -> None:
    queries.answer("", 7, (True, False))
    queries.close(ENTRIES[:1])
    queries.accept(ENTRIES[1:], (DOG,), lambda text: ())
    assert [query["text"] for query in told[-1]["queries"]] == ["dog"]
    (answered,) = told[-1]["answered"]
    assert (answered["text"], answered["present"], answered["stamp"]) == ("cat", True, {"sec": 0, "nanosec": 7})
