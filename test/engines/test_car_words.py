# SPDX-License-Identifier: Apache-2.0
"""The words of CLIP as RNN: complete, and no background word that is asked for."""

from __future__ import annotations

import pytest

from clipseg_ros.datasets.class_names import COCO80, CONTEXT59, VOC20
from clipseg_ros.engines import car_words
from clipseg_ros.engines.car_words import GROUPS, background


def test_the_papers_groups_make_112_words() -> None:
    sizes = {name: len(set(words)) for name, words in GROUPS.items()}
    assert sizes == {"clip_es": 23, "terrestrial": 32, "aquatic_atmospheric": 44, "man_made": 36}
    assert len(background(("terrestrial", "aquatic_atmospheric", "man_made"), ())) == 112


def test_every_word_of_clip_es_but_helmet_is_in_a_group_of_the_paper() -> None:
    paper = set(background(("terrestrial", "aquatic_atmospheric", "man_made"), ()))
    assert set(GROUPS["clip_es"]) - paper == {"helmet"}


def test_words_of_two_lists_come_once_and_in_order() -> None:
    words = background(("man_made", "clip_es"), (), ("table", "wall"))
    assert words[:3] == ("building", "house", "wall") and words[-1] == "table"
    assert len(set(words)) == len(words)


@pytest.mark.parametrize("query", ["Wall", " wall ", "panel,wall"])
def test_a_word_that_is_asked_for_is_no_background(query: str) -> None:
    words = background(("clip_es",), (query, "cat"))
    assert "wall" not in words and len(words) == 22
    assert background((), (query,), ("wall", "floor")) == ("floor",)


def test_an_unknown_group_is_refused_with_those_there_are() -> None:
    with pytest.raises(ValueError, match="background 'sky': expected of clip_es, terrestrial, .*background_words"):
        background(("sky",), ())


def test_the_fifteen_sentences_hold_one_word_each() -> None:
    assert len(set(car_words.TEMPLATES_15)) == 15
    assert all(sentence.count("{}") == 1 for sentence in car_words.TEMPLATES_15)
    assert sum(sentence.endswith(".") for sentence in car_words.TEMPLATES_15) == 11


def test_stuff_and_edited_texts_are_of_classes_that_exist() -> None:
    assert len(set(car_words.CONTEXT_STUFF)) == 21 and set(car_words.CONTEXT_STUFF) <= set(CONTEXT59)
    assert [len(set(names)) for names in (car_words.CONTEXT_459_STUFF, car_words.ADE_150_STUFF)] == [26, 25]
    assert len(set(car_words.ADE_847_STUFF)) == 29
    assert set(dict(car_words.VOC_TEXTS)) <= set(VOC20) and set(dict(car_words.COCO_TEXTS)) <= set(COCO80)
