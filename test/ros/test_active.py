# SPDX-License-Identifier: Apache-2.0
"""What ~/active_queries says, and when."""

from __future__ import annotations

import json

import pytest

from clipseg_ros.queries import Entry, Query
from clipseg_ros.ros import active
from clipseg_ros.ros.active import ActiveQueries
from clipseg_ros.segmentation import Prompt

CAT, DOG = Prompt("cat"), Prompt("dog", threshold=0.5)
ENTRIES = (Entry(1, Query(CAT)), Entry(7, Query(DOG)))


@pytest.fixture
def told() -> list[dict]:
    return []


@pytest.fixture
def queries(told: list[dict]) -> ActiveQueries:
    queries = ActiveQueries(lambda text: told.append(json.loads(text)))
    queries.accept(ENTRIES, (CAT, DOG), lambda text: (), forgets_refusal=True)
    return queries


def test_the_first_message_comes_before_any_query(told: list[dict], queries: ActiveQueries) -> None:
    assert told[0] == {"stamp": None, "queries": [], "refused": None}
    assert [(query["id"], query["text"], query["threshold"]) for query in told[1]["queries"]] == [
        (1, "cat", None), (7, "dog", 0.5)
    ]


def test_it_speaks_when_presence_changes_and_else_once_a_period(
    told: list[dict], queries: ActiveQueries, monkeypatch: pytest.MonkeyPatch
) -> None:
    for stamp, present in enumerate([(True, False), (True, False), (True, False), (True, True)]):
        queries.answer(stamp, present)
    assert [message["stamp"]["nanosec"] for message in told[2:]] == [0, 3]
    monkeypatch.setattr(active, "STAMP_PERIOD", 0.0)
    queries.answer(5_000_000_004, (True, True))
    assert told[-1]["stamp"] == {"sec": 5, "nanosec": 4}


def test_the_same_set_again_keeps_what_is_known_of_it(told: list[dict], queries: ActiveQueries) -> None:
    queries.answer(3, (True, False))
    count = len(told)
    queries.accept(ENTRIES, (CAT, DOG), lambda text: (), forgets_refusal=True)
    assert len(told) == count
    queries.accept(ENTRIES[:1], (CAT,), lambda text: ("cat",), forgets_refusal=True)
    assert told[-1]["stamp"] is None and told[-1]["queries"][0]["present"] is None
    assert told[-1]["queries"][0]["unknown_words"] == ["cat"]


def test_a_refusal_stays_until_a_query_is_accepted(told: list[dict], queries: ActiveQueries) -> None:
    assert queries.refuse("[", "broken") and not queries.refuse("[", "broken")
    assert told[-1]["refused"] == {"text": "[", "reason": "broken"}
    queries.accept(ENTRIES[:1], (CAT,), lambda text: (), forgets_refusal=False)
    assert queries.refused
    queries.accept(ENTRIES[:1], (CAT,), lambda text: (), forgets_refusal=True)
    assert told[-1]["refused"] is None and not queries.refused
