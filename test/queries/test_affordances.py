# SPDX-License-Identifier: Apache-2.0
"""Affordances: the package's table, a user's own, and what a name becomes."""

from __future__ import annotations

from pathlib import Path

import pytest

from clipseg_ros.queries import Query, QueryError, parse
from clipseg_ros.queries.affordances import AffordanceError, load, read, resolve
from clipseg_ros.segmentation import Prompt

SEATS = (
    "armchair", "sofa", "loveseat", "deck chair", "rocking chair", "highchair", "folding chair", "chair", "recliner",
    "wheelchair",
)


def test_the_package_knows_those_of_the_paper() -> None:
    table = load()
    assert list(table) == [
        "sit on", "drink from", "ride on", "can fly", "can be driven", "can swim", "has wheels", "has legs"
    ]
    assert table["sit on"].objects == SEATS  # printed with one of them twice
    assert table["can be driven"].objects == ("minivan", "bus", "cab", "jeep", "ambulance", "car")
    assert len(table["has legs"].objects) == len(SEATS) + 23


@pytest.mark.parametrize(
    "mode, texts",
    [
        ("prompt", ["something to ride on"]),
        ("objects", ["horse", "pony", "motorcycle"]),
        ("both", ["something to ride on", "horse", "pony", "motorcycle"]),
    ],
)
def test_a_name_becomes_a_sentence_or_objects_or_both(mode: str, texts: list[str]) -> None:
    (asked,) = parse('[{"text": "Ride  on", "threshold": 0.4, "once": true}]')
    found = resolve(asked, load(), mode)
    assert [prompt.text for prompt in found.searched] == texts
    assert found.prompt == Prompt("something to ride on", label="ride on", threshold=0.4) and found.once


def test_a_label_of_one_s_own_stays() -> None:
    assert resolve(Query(Prompt("sit on", label="seat")), load(), "both").prompt.label == "seat"


def test_an_unknown_name_is_refused_with_the_known_ones() -> None:
    with pytest.raises(QueryError, match="affordance 'eat': expected one of sit on, drink from, .*affordances_file"):
        resolve(Query(Prompt("eat")), load(), "prompt")


def test_a_file_adds_its_own_and_its_names_win(tmp_path: Path) -> None:
    file = tmp_path / "own.yaml"
    file.write_text("tools:\n  cut with: {prompt: something sharp, objects: [knife]}\n"
                    "  sit on: {prompt: a seat, objects: [stool]}\n")
    table = load(str(file))
    assert table["cut with"].objects == ("knife",) and table["sit on"].prompt == "a seat"
    assert len(table) == len(load()) + 1


@pytest.mark.parametrize(
    "text, message",
    [
        ("a: [", "own is no YAML"),
        ("- a", "own is .*: expected group: {name:"),
        ("on: {}", "own is .*True.*quote names such as 'on'"),
        ("a: {sit: seat}", "own: a: sit is 'seat': expected group"),
        ("a: {sit: {prompt: seat}}", "own: a: sit: expected a text `prompt` and a list `objects`"),
        ("a: {sit: {prompt: 3, objects: [b]}}", "own: a: sit: expected a text"),
        ("a: {sit: {prompt: seat, objects: [b], text: c}}", "own: a: sit: expected a text"),
        ("a: {sit: {prompt: seat, objects: []}}", r"objects \[\]: expected at least one text"),
        ("a: {sit: {prompt: seat, objects: [no]}}", r"objects \[False\]: expected at least one text"),
        ("a: {sit: {prompt: seat, objects: ['(note)']}}", "name, prompt or an object is empty"),
        ("a: {sit: {prompt: %s, objects: [b]}}" % ("x" * 201), "own: a: sit of 201 characters: at most 200"),
    ],
)
def test_a_bad_table_is_refused_with_its_place(text: str, message: str) -> None:
    with pytest.raises(AffordanceError, match=message):
        read(text, "own")


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(AffordanceError, match="affordances_file '.*none.yaml' cannot be read"):
        load(str(tmp_path / "none.yaml"))
