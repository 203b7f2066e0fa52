# SPDX-License-Identifier: Apache-2.0
"""The query language and the ids of the active prompts."""

import numpy as np
import pytest

from clipseg_ros.queries import MAX_PROMPTS, QueryError, QuerySet, parse
from clipseg_ros.segmentation import Prompt


def texts(query: str) -> list[str]:
    return [prompt.text for prompt in parse(query)]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", []),
        (" ;\n; ", []),
        ("red mug", ["red mug"]),
        ("red mug; something to sit on", ["red mug", "something to sit on"]),
        ("red mug\nchair\r\nlamp", ["red mug", "chair", "lamp"]),
        ("  red \t  mug ;", ["red mug"]),
        ("cup; mug; cup", ["cup", "mug"]),
        ("[]", []),
        ('["red  mug", "cup"]', ["red mug", "cup"]),
        ('["a; b"]', ["a; b"]),
        ('["line\\nbreak"]', ["line break"]),
        ("naïve café; 茶碗", ["naïve café", "茶碗"]),
    ],
)
def test_a_query_means_these_texts(query: str, expected: list[str]) -> None:
    assert texts(query) == expected


def test_a_json_object_carries_label_and_threshold() -> None:
    assert parse(' [{"text": "cup", "label": "mine", "threshold": 0.4}, {"text": "mug", "threshold": 1}]') == (
        Prompt("cup", label="mine", threshold=0.4),
        Prompt("mug", threshold=1.0),
    )


def test_of_one_text_with_two_thresholds_the_first_stays() -> None:
    assert parse('[{"text": "cup", "threshold": 0.4}, "cup"]') == (Prompt("cup", threshold=0.4),)


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("x" * 201, "201 characters: at most 200; shorten 'xxx"),
        ("a\x07b", r"'a\\x07b' holds the control character '\\x07': remove it"),
        ('["\\ud800"]', r"control character '\\ud800'"),
        ('["cup", ', r"broken JSON, Expecting value: line 1 column \d+.*a list such as \["),
        ("[" * 200_000, "broken JSON"),
        ("[" + "9" * 5000 + "]", "broken JSON"),
        ("[3]", "prompt 1 is 3: expected a text or an object"),
        ('["cup", ["mug"]]', r'prompt 2 is \["mug"\]: expected a text or an object'),
        ('[{"txt": "cup"}]', "key 'txt' of prompt 1: expected one of text, label, threshold"),
        ('[{"text": 3}]', "text 3 of prompt 1: expected a string"),
        ('[{"text": "cup", "label": null}]', "label None of prompt 1: expected a string"),
        ('[{"text": "cup", "label": "a\\u0000"}]', "label 'a.*control character"),
        ('[{"text": "cup", "threshold": "0.4"}]', "threshold '0.4' of prompt 1: expected a number"),
        ('[{"text": "cup", "threshold": true}]', "threshold True of prompt 1: expected a number"),
        ('[{"text": "cup", "threshold": 0}]', "prompt 1: threshold 0 of 'cup': expected above 0"),
        ('[{"text": "cup", "threshold": NaN}]', "threshold nan of 'cup'"),
        ('["cup", ""]', "prompt 2: prompt without text"),
        ("[{}]", "prompt 1: prompt without text"),
    ],
)
def test_a_bad_query_is_refused_with_the_value_and_the_remedy(query: str, message: str) -> None:
    with pytest.raises(QueryError, match=message):
        parse(query)


def ids(queries: QuerySet) -> dict[str, int]:
    return {entry.prompt.text: entry.id for entry in queries.entries}


def test_ids_begin_at_one_and_follow_the_order() -> None:
    queries = QuerySet()
    assert queries.replace(parse("cup; mug")) is True
    assert ids(queries) == {"cup": 1, "mug": 2}
    assert queries.prompts == parse("cup; mug")
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
    queries.replace([Prompt(f"new {i}") for i in range(MAX_PROMPTS - 2)])
    assert queries.ids.tolist() == list(range(3, MAX_PROMPTS + 1))
    queries.replace([*queries.prompts, Prompt("c"), Prompt("d")])
    assert ids(queries)["c"] == 1 and ids(queries)["d"] == 2


def test_a_full_set_can_be_replaced_by_another_full_set() -> None:
    queries = QuerySet()
    queries.replace([Prompt(f"old {i}") for i in range(MAX_PROMPTS)])
    queries.replace([Prompt(f"new {i}") for i in range(MAX_PROMPTS)])
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
