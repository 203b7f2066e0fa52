# SPDX-License-Identifier: Apache-2.0
"""Stage `texts`: a fresh text tower in place of the old one, of phrases that training may say, and nothing else new."""

from __future__ import annotations


import pytest
import torch

from clipseg_ros.datasets import tabletop
from clipseg_ros.models.clipseg import CLIPSeg
from clipseg_ros.training import loop, network, tokenizer
from clipseg_ros.training.batches import PREFIXES, PhraseBook, tokens_of
from clipseg_ros.training.recipes import RECIPES
from clipseg_ros.training.schedule import Schedule
from clipseg_ros.training.texts import TextTask

SMOKE = RECIPES["demo-smoke"]
CPU = torch.device("cpu")
BOOK = PhraseBook(masks=True)


@pytest.fixture
def words():
    return tokenizer.build(tokenizer.words_of([*PREFIXES, *(phrase.text for phrase in tabletop.phrases())]))


@pytest.fixture
def model(words) -> CLIPSeg:
    """As it may be after stage joint: its text tower is not the one that the recipe's seed starts with."""
    return CLIPSeg(network.initialise(network.configure(SMOKE, words), seed=5))


def test_a_fresh_tower_comes_to_say_what_the_old_one_said_and_the_rest_stays(model, words, tmp_path):
    before = {name: tensor.clone() for name, tensor in model.network.state_dict().items()}
    with torch.no_grad():
        read = tokens_of(BOOK, words, CPU)[0]
        wanted = model.embed_text(read["input_ids"], read["attention_mask"].sum(1))
    task = TextTask(SMOKE, model, words, BOOK, CPU)
    with torch.no_grad():
        first = float(task.loss(0))
    loop.run(task, Schedule(steps=60, learning_rate=3e-3), tmp_path, CPU)
    with torch.no_grad():
        last, found = float(task.loss(0)), model.embed_text(read["input_ids"], read["attention_mask"].sum(1))
    assert last == pytest.approx(float((found - wanted).square().sum(1).mean()), rel=1e-4) and last < 0.2 * first
    moved = {name for name, tensor in model.network.state_dict().items() if not torch.equal(tensor, before[name])}
    assert moved and all(name.startswith("clip.text_") for name in moved)


def test_the_tower_starts_alike_whatever_the_old_one_was(model, words):
    other = CLIPSeg(network.initialise(network.configure(SMOKE, words), seed=6))
    first, second = (TextTask(SMOKE, one, words, BOOK, CPU).module.state_dict() for one in (model, other))
    assert first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def test_no_pair_that_is_held_out_is_said(words):
    kinds = {kind: colour for kind, colour in tabletop.UNSEEN_PAIRS}
    said = [words.decode(row, skip_special_tokens=True) for row in tokens_of(BOOK, words, CPU)[0]["input_ids"]]
    assert "red mug" in said and "bottle" in said and f"{kinds['bottle']} bottle" not in said
    assert not [text for text in said if any(text == f"{colour} {kind}" for kind, colour in kinds.items())]
