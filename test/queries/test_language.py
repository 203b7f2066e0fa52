# SPDX-License-Identifier: Apache-2.0
"""The query language."""

from __future__ import annotations

import pytest

from clipseg_ros.queries import Query, QueryError, parse
from clipseg_ros.queries.language import write
from clipseg_ros.segmentation import Prompt


def texts(query: str) -> list[str]:
    return [found.prompt.text for found in parse(query)]


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
        Query(Prompt("cup", label="mine", threshold=0.4)),
        Query(Prompt("mug", threshold=1.0)),
    )


def test_of_one_text_with_two_thresholds_the_first_stays() -> None:
    assert parse('[{"text": "cup", "threshold": 0.4}, "cup"]') == (Query(Prompt("cup", threshold=0.4)),)


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
        ('[{"txt": "cup"}]', "key 'txt' of prompt 1: expected one of text, label, threshold, once"),
        ('[{"text": 3}]', "text 3 of prompt 1: expected a string"),
        ('[{"text": "cup", "label": null}]', "label None of prompt 1: expected a string"),
        ('[{"text": "cup", "label": "a\\u0000"}]', "label 'a.*control character"),
        ('[{"text": "cup", "threshold": "0.4"}]', "threshold '0.4' of prompt 1: expected a number"),
        ('[{"text": "cup", "threshold": true}]', "threshold True of prompt 1: expected a number"),
        ('[{"text": "cup", "threshold": 0}]', "prompt 1: threshold 0 of 'cup': expected above 0"),
        ('[{"text": "cup", "threshold": NaN}]', "threshold nan of 'cup'"),
        ('[{"text": "cup", "once": 1}]', "once 1 of prompt 1: expected true or false"),
        ('["cup", ""]', "prompt 2: prompt without text"),
        ("[{}]", "prompt 1: prompt without text"),
    ],
)
def test_a_bad_query_is_refused_with_the_value_and_the_remedy(query: str, message: str) -> None:
    with pytest.raises(QueryError, match=message):
        parse(query)


def test_once_is_asked_for_by_a_json_object() -> None:
    assert parse('[{"text": "cup", "once": true}, "mug", {"text": "jug", "once": false}]') == (
        Query(Prompt("cup"), once=True), Query(Prompt("mug")), Query(Prompt("jug"))
    )


@pytest.mark.parametrize(
    "query",
    ["", "red mug; 茶碗", '["a; b"]', '[{"text": "cup", "label": "mine", "threshold": 0.4, "once": true}, "mug"]'],
)
def test_what_is_written_of_queries_reads_as_them(query: str) -> None:
    assert parse(write(parse(query))) == parse(query)
    assert bool(write(parse(query))) == bool(query)
