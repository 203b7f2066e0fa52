# SPDX-License-Identifier: Apache-2.0
"""The set of the active queries: ids, sources, one-shots."""

from __future__ import annotations

import numpy as np
import pytest

from clipseg_ros.queries import MAX_PROMPTS, SOURCES, Query, QueryError, QuerySet, parse
from clipseg_ros.segmentation import Prompt

QUERY, AFFORDANCE, SUPPORT = SOURCES


def many(word: str, count: int) -> list[Query]:
    return [Query(Prompt(f"{word} {i}")) for i in range(count)]


def ids(queries: QuerySet) -> dict[str, int]:
    return {entry.prompt.text: entry.id for entry in queries.entries}


def test_ids_begin_at_one_and_follow_the_order() -> None:
    queries = QuerySet()
    assert queries.replace(parse("cup; mug")) is True
    assert ids(queries) == {"cup": 1, "mug": 2}
    assert queries.prompts == (Prompt("cup"), Prompt("mug"))
    assert queries.ids.dtype == np.uint8 and queries.ids.tolist() == [1, 2]


def test_the_same_set_again_is_a_no_op_and_another_order_is_not() -> None:
    queries = QuerySet()
    queries.replace(parse("cup; mug"))
    assert queries.replace(parse(" cup ;mug; cup")) is False
    assert queries.replace(parse("mug; cup")) is True
    assert queries.ids.tolist() == [2, 1]


def test_an_empty_set_clears_and_is_then_a_no_op() -> None:
    queries = QuerySet()
    queries.replace(parse("cup"))
    assert queries.replace(()) is True
    assert queries.entries == () and queries.ids.shape == (0,)
    assert queries.replace(()) is False


def test_ids_of_unchanged_prompts_stay() -> None:
    queries = QuerySet()
    queries.replace(parse("cup; mug; lamp"))
    queries.replace(parse("chair; lamp; mug"))
    assert ids(queries) == {"chair": 4, "lamp": 3, "mug": 2}


def test_a_new_threshold_keeps_the_id_and_is_a_change() -> None:
    queries = QuerySet()
    queries.replace(parse("cup; mug"))
    assert queries.replace(parse('["cup", {"text": "mug", "threshold": 0.4}]')) is True
    assert ids(queries) == {"cup": 1, "mug": 2}
    assert queries.prompts[1].threshold == 0.4


def test_a_new_label_is_a_new_prompt() -> None:
    queries = QuerySet()
    queries.replace(parse("cup"))
    queries.replace(parse('[{"text": "cup", "label": "mine"}]'))
    assert ids(queries) == {"cup": 2}


def test_freed_ids_are_reused_last_and_the_longest_free_first() -> None:
    queries = QuerySet()
    queries.replace(parse("a; b"))
    queries.replace(parse("b"))  # frees 1
    queries.replace(())  # frees 2
    queries.replace(many("new", MAX_PROMPTS - 2))
    assert queries.ids.tolist() == list(range(3, MAX_PROMPTS + 1))
    queries.replace([*many("new", MAX_PROMPTS - 2), *parse("c; d")])
    assert ids(queries)["c"] == 1 and ids(queries)["d"] == 2


def test_a_full_set_can_be_replaced_by_another_full_set() -> None:
    queries = QuerySet()
    queries.replace(many("old", MAX_PROMPTS))
    queries.replace(many("new", MAX_PROMPTS))
    assert sorted(queries.ids.tolist()) == list(range(1, MAX_PROMPTS + 1))


def test_too_many_prompts_are_refused_and_the_old_ones_stay() -> None:
    queries = QuerySet(limit=2)
    queries.replace(parse("cup; mug"))
    before = queries.entries
    with pytest.raises(QueryError, match="3 prompts: at most 2 fit"):
        queries.replace(parse("a; b; c"))
    assert queries.entries is before
    queries.replace(parse("a; b; a"))
    assert ids(queries) == {"a": 3, "b": 4}


@pytest.mark.parametrize("limit", [0, 255])
def test_a_limit_beyond_the_ids_is_refused(limit: int) -> None:
    with pytest.raises(ValueError, match=f"limit of {limit} prompts: expected 1 to 254"):
        QuerySet(limit)


def test_the_active_set_is_the_union_of_the_sources_and_each_clears_its_own() -> None:
    queries = QuerySet()
    queries.replace(parse("cup"), QUERY)
    queries.replace(parse("chair; cup"), AFFORDANCE)
    queries.replace(parse("dog"), SUPPORT)
    assert ids(queries) == {"cup": 1, "chair": 2, "dog": 3}
    assert [entry.query.source for entry in queries.entries] == [QUERY, AFFORDANCE, SUPPORT]
    queries.replace((), QUERY)
    assert ids(queries) == {"chair": 2, "cup": 1, "dog": 3}
    assert [query.prompt.text for query in queries.of(AFFORDANCE)] == ["chair", "cup"] and queries.of(QUERY) == ()
    queries.replace((), AFFORDANCE)
    assert ids(queries) == {"dog": 3}


def test_too_many_of_all_sources_are_refused_and_the_old_ones_stay() -> None:
    queries = QuerySet(limit=2)
    queries.replace(parse("cup"), QUERY)
    with pytest.raises(QueryError, match="3 prompts: at most 2 fit"):
        queries.replace(parse("a; b"), AFFORDANCE)
    assert ids(queries) == {"cup": 1} and queries.of(AFFORDANCE) == ()


def test_the_parts_of_a_query_are_searched_in_its_place_and_share_its_id() -> None:
    queries = QuerySet()
    seat = Query(Prompt("something to sit on"), parts=(Prompt("sofa"), Prompt("chair")))
    queries.replace([seat, *parse("cup")])
    assert queries.prompts == (Prompt("sofa"), Prompt("chair"), Prompt("cup"))
    assert ids(queries) == {"something to sit on": 1, "cup": 2}
    with pytest.raises(QueryError, match="255 prompts, those of affordances counted: at most 254"):
        queries.replace([Query(Prompt("all"), parts=tuple(Prompt(str(i)) for i in range(255)))])


def test_a_query_that_is_dropped_is_gone_whoever_asked_for_it_and_may_come_again() -> None:
    queries = QuerySet()
    queries.replace(parse('[{"text": "cup", "once": true}, "mug"]'), QUERY)
    queries.replace(parse("cup"), AFFORDANCE)
    cup, mug = queries.entries
    assert queries.drop([cup]) is True and queries.drop([cup]) is False
    assert queries.entries == (mug,) and queries.of(AFFORDANCE) == ()
    queries.replace(parse('[{"text": "cup", "once": true}, "mug"]'), QUERY)
    assert [(entry.prompt.text, entry.query.once) for entry in queries.entries] == [("cup", True), ("mug", False)]
