# SPDX-License-Identifier: Apache-2.0
"""What training never sees: that it exists, that scenes for training leave it out, that words for it are known."""

from __future__ import annotations

import pytest

from clipseg_ros.datasets import tabletop
from clipseg_ros.datasets.tabletop.held_out import UNSEEN_PHRASINGS
from clipseg_ros.datasets.tabletop.vocabulary import TRAITS


def pairs_in(scenes):
    return {pair for scene in scenes for pair in scene_pairs(scene)}


def scene_pairs(scene):
    return {(one.kind, one.colour) for one in scene.objects}


def test_every_kind_but_the_mug_has_one_unseen_colour_and_every_colour_stays_with_others():
    kinds = [kind for kind, _ in tabletop.UNSEEN_PAIRS]
    assert sorted([*kinds, "mug"]) == sorted(tabletop.KINDS)
    for colour in tabletop.COLOURS:
        assert sum(other == colour for _, other in tabletop.UNSEEN_PAIRS) < len(tabletop.KINDS) - 3


def test_scenes_for_training_hold_no_unseen_pair_and_others_do():
    assert not pairs_in(tabletop.compose(seed, unseen_pairs=False) for seed in range(60)) & tabletop.UNSEEN_PAIRS
    assert pairs_in(tabletop.compose(seed) for seed in range(60)) & tabletop.UNSEEN_PAIRS


def test_scenes_without_an_unseen_pair_are_the_same_for_training():
    same = [seed for seed in range(30) if not scene_pairs(tabletop.compose(seed)) & tabletop.UNSEEN_PAIRS]
    assert same
    for seed in same[:5]:
        assert scene_pairs(tabletop.compose(seed)) == scene_pairs(tabletop.compose(seed, unseen_pairs=False))


def test_unseen_phrasings_are_new_sentences_of_known_words():
    known = {phrase.text for phrase in tabletop.phrases()}
    words = {word for text in (*known, "a ") for word in text.split()}
    for phrase in tabletop.unseen_phrasings():
        assert phrase.text not in known and set(phrase.text.split()) <= words
        assert tabletop.classes_of(phrase.text) == phrase.classes


@pytest.mark.parametrize("trait", UNSEEN_PHRASINGS)
def test_an_unseen_phrasing_means_what_the_trained_ones_mean(trait):
    trained = tabletop.classes_of(TRAITS[trait][2][0])
    assert {p.classes for p in tabletop.unseen_phrasings() if p.text in UNSEEN_PHRASINGS[trait]} == {trained}


def test_an_unseen_kind_has_its_affordance_and_is_not_alone_in_it():
    for trait, kind in tabletop.UNSEEN_KINDS.items():
        group, kinds, _ = TRAITS[trait]
        assert group == "affordance" and kind in kinds and len(kinds) > 1
