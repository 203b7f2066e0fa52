# SPDX-License-Identifier: Apache-2.0
"""Phrases that name what a model must not have seen, with a WordNet of a few nouns."""

from __future__ import annotations

from pathlib import Path

import pytest

from clipseg_ros.datasets import DatasetError
from clipseg_ros.datasets.class_removal import PASCAL, ZERO_SHOT_PAIRS, affordance, naming, pascal_fold, zero_shot
from clipseg_ros.datasets.wordnet import WordNet

BELOW = {"table.n.02": ["tea_table"], "car.n.01": ["sports_car", "jeep"], "person.n.01": ["baker"]}


@pytest.fixture(name="wordnet")
def _wordnet(tmp_path: Path) -> WordNet:
    """Every synset of PASCAL under its own name, with the hyponyms of BELOW, and the nouns man and plant."""
    data, senses = [], {"man": [1], "plant": [1]}
    for number, seed in enumerate(PASCAL):
        name, _, sense = seed.split(".")
        offset, kinds = 1000 * (number + 1), BELOW.get(seed, [])
        senses[name] = [offset] * int(sense)
        links = "".join(f" ~ {offset + 1 + kind:08d} n 0000" for kind in range(len(kinds)))
        data.append(f"{offset:08d} 06 n 01 {name} 0 {len(kinds):03d}{links} | x")
        for kind, below in enumerate(kinds):
            senses[below] = [offset + 1 + kind]
            data.append(f"{offset + 1 + kind:08d} 06 n 01 {below} 0 000 | x")
    index = [f"{n} n {len(s)} 0 {len(s)} 0 {' '.join(f'{o:08d}' for o in s)}" for n, s in senses.items()]
    for name, lines in (("data.noun", data), ("index.noun", index), ("noun.exc", ["men man"])):
        (tmp_path / name).write_text("\n".join(lines) + "\n")
    return WordNet(tmp_path)


@pytest.mark.parametrize(
    ("phrase", "fold"),
    [
        ("two birds", 0), ("a red Jeep.", 1), ("sports cars", 1), ("white tea table", 2), ("tables", 2),
        ("small pot plants", 3), ("trains", 3), ("the men on left", 2), ("toddler", 2),
    ],
)
def test_a_phrase_belongs_to_the_fold_of_its_class(wordnet, phrase, fold):
    assert [pascal_fold(number, wordnet)(phrase) for number in range(4)] == [number == fold for number in range(4)]


@pytest.mark.parametrize("phrase", ["carpet", "", "pot", "baker", "motor cycle", "scatter"])
def test_a_part_of_a_word_or_a_profession_names_no_class(wordnet, phrase):
    assert not any(pascal_fold(number, wordnet)(phrase) for number in range(4))


def test_by_substring_names_of_several_words_are_found_within_words_as_in_the_authors_code(wordnet):
    assert not naming(["table.n.02"], wordnet)("tea tablets")
    assert naming(["table.n.02"], wordnet, substring=True)("tea tablets")
    assert naming(["table.n.02"], wordnet, substring=True)("two tables")
    assert not naming(["car.n.01"], wordnet, substring=True)("carpet")


def test_pairs_of_zero_shot_classes_add_up(wordnet):
    assert [zero_shot(pairs, wordnet)("a sofa") for pairs in (1, 2, 3)] == [False, True, True]
    unseen = [seed.split(".")[0].replace("_", " ") for pair in ZERO_SHOT_PAIRS for seed in pair]
    assert all(zero_shot(5, wordnet)(f"my {name}") for name in unseen)
    assert not zero_shot(5, wordnet)("horse")


def test_affordances_are_whole_words():
    assert affordance("man Sitting, alone")
    assert affordance("wheels of a train")
    assert not affordance("a sitcom about lego")


@pytest.mark.parametrize("fold", [-1, 4])
def test_a_fold_there_is_not(wordnet, fold):
    with pytest.raises(DatasetError, match=f"fold {fold}.*0 to 3"):
        pascal_fold(fold, wordnet)


@pytest.mark.parametrize("pairs", [0, 6])
def test_pairs_there_are_not(wordnet, pairs):
    with pytest.raises(DatasetError, match=f"{pairs} unseen pairs"):
        zero_shot(pairs, wordnet)
