# SPDX-License-Identifier: Apache-2.0
"""Stage `joint`: what it draws, what it never shows, and that all of the network learns."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch

from clipseg_ros.datasets import tabletop
from clipseg_ros.models.clipseg import CLIPSeg
from clipseg_ros.training import network, tokenizer
from clipseg_ros.training.batches import PREFIXES, PhraseBook
from clipseg_ros.training.joint import JointTask
from clipseg_ros.training.losses import additive_loss, union_loss
from clipseg_ros.training.pool import render_pool
from clipseg_ros.training.recipes import RECIPES
from clipseg_ros.training.unions import MOST, NONE, Unions
from clipseg_ros.training.views import APART, HUES, colourless, repainted

SMOKE = RECIPES["demo-smoke"]
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    """A fresh model, its tokenizer, and pictures."""
    folder = tmp_path_factory.mktemp("joint")
    pool = render_pool(folder / "pool", SMOKE.first_seed, SMOKE.scenes, workers=2)
    known = tokenizer.words_of([*PREFIXES, *(phrase.text for phrase in tabletop.phrases())])
    words = tokenizer.build(known)
    return CLIPSeg(network.initialise(network.configure(SMOKE, words), 0)), words, pool


@pytest.fixture(scope="module")
def task(parts):
    return JointTask(SMOKE, *parts, PhraseBook(masks=True), CPU)


@pytest.fixture(scope="module")
def lessons(task):
    return [task.draw(step, 0, 1) for step in range(40)]


def test_the_same_step_draws_the_same_lesson(task):
    first, again = task.draw(3, 0, 1), task.draw(3, 0, 1)
    assert np.array_equal(first.images, again.images) and np.array_equal(first.phrases, again.phrases)
    assert torch.equal(first.shown, again.shown) and np.array_equal(first.squares, again.squares)


def test_processes_that_cannot_share_the_pictures_of_a_step_are_told(task):
    with pytest.raises(ValueError, match="batch of 2: 3 processes cannot share it evenly"):
        task.draw(0, 0, 3)


def test_supports_are_counted_from_one_and_stand_for_one_kind_in_one_colour(task, lessons):
    seen = 0
    for lesson in lessons:
        used = np.sort(lesson.supports[lesson.supports > 0])
        assert np.array_equal(used, np.arange(1, len(lesson.shown) + 1))
        assert (lesson.text_weight[lesson.supports == 0] == 1.0).all()
        assert all(len(task._book.phrases[one].classes) == 1 for one in lesson.phrases[lesson.supports > 0][:, 0])
        assert (lesson.phrases[lesson.supports > 0][:, 1:] == NONE).all()
        seen += len(used)
    assert seen > 5


def test_a_picture_without_colour_is_asked_nothing_of_it(task, lessons):
    pictures = [(image, phrases) for lesson in lessons for image, phrases in zip(lesson.images, lesson.phrases)]
    spread = np.array([np.ptp(image.astype(int), axis=2).max() for image, _ in pictures])
    grey = [phrases for (_, phrases), most in zip(pictures, spread) if most < 3]  # noise is taken away with the colour
    assert 0.02 < len(grey) / len(pictures) < 0.4
    assert all(task._book.plain[phrases[phrases != NONE]].all() for phrases in grey)


def test_a_set_of_kinds_is_the_mean_of_their_vectors_and_the_union_of_their_masks(task, lessons):
    book, seen = task._book, 0
    for lesson in lessons[:10]:
        for picture, prompt in np.argwhere((lesson.phrases[..., 1:] != NONE).any(-1)):
            members = lesson.phrases[picture, prompt]
            members = members[members != NONE]
            assert (book.groups[members] == "object").all() and lesson.supports[picture, prompt] == 0
            found = task._means(lesson.prefix, lesson.phrases[picture, prompt])[0]
            alone = task._means(lesson.prefix, members[:, None])[0]
            torch.testing.assert_close(found, alone.mean(0))
            kinds = [book.phrases[one].classes for one in members]
            assert len(set(kinds)) == len(kinds)
            seen += 1
    assert seen > 5


def test_the_mask_of_a_set_covers_just_its_kinds():
    book = PhraseBook(masks=True)
    unions, rng = Unions(book), np.random.default_rng(0)
    pixels = np.zeros(256, int)
    pixels[[tabletop.class_id("mug", "red"), tabletop.class_id("sofa", "blue")]] = 500
    pixels[tabletop.class_id("duck", "green")] = 3  # hovers
    there, sizes = 0, set()
    for _ in range(300):
        found = unions.draw(pixels, 0.4, rng)
        members = found[found != NONE]
        sizes.add(len(members))
        truth = book.truth[members].any(0)
        assert not truth[tabletop.class_id("duck", "green")]
        there += (truth @ pixels) > 0
    assert sizes == set(range(2, MOST + 1)) and 150 < there < 210


def test_a_trait_is_what_its_kinds_are_the_held_out_one_among_them():
    book = PhraseBook(masks=True)
    phrases, kinds = Unions(book).traits(np.random.default_rng(0))
    found = {book.phrases[one].text: {book.phrases[kind].text for kind in row[row != NONE]} for one, row in
             zip(phrases, kinds)}
    assert found["something to sit on"] in [{a, b, c} for a in ("chair", "dining chair") for b in ("stool", "bar stool")
                                            for c in ("sofa", "couch")]
    assert len(found) == sum(one.group in ("affordance", "attribute", "part") for one in book.phrases)


def test_a_trait_costs_its_distance_from_the_mean_of_its_kinds():
    means = torch.from_numpy(np.random.default_rng(0).normal(size=(4, 5)))
    assert union_loss(means, means) == pytest.approx(0.0, abs=1e-12)
    assert union_loss(means + 1.0, means) > union_loss(means + 0.5, means) > 0.1
    assert union_loss(3.0 * (means + 1.0), 3.0 * means) == pytest.approx(float(union_loss(means + 1.0, means)))


def test_repainting_never_shows_a_kind_near_its_held_out_hue_and_turns_only_objects():
    held = {kind: HUES[colour] for kind, colour in tabletop.UNSEEN_PAIRS if colour in HUES}
    rng = np.random.default_rng(0)
    for kind, hue in list(held.items())[:6]:
        for colour in ("red", "blue", "white"):
            picture = np.zeros((8, 8, 4), np.uint8)
            picture[..., :3] = (90, 120, 60)
            picture[2:6, 2:6] = (*tabletop.COLOURS[colour], tabletop.class_id(kind, colour))
            for _ in range(40):
                found = repainted(picture, rng)
                turned = int(cv2.cvtColor(found[None, 3, 3:4, :3], cv2.COLOR_RGB2HSV)[0, 0, 0])
                assert min(abs(turned - hue), 180 - abs(turned - hue)) >= APART - 2  # what uint8 rounds
                assert np.array_equal(found[..., 3], picture[..., 3])
                assert np.abs(found[0].astype(int) - picture[0]).max() <= 2


def test_squares_are_two_words_in_two_colours_that_training_shows(task, lessons):
    texts = [phrase.text.split(" ") for phrase in task._book.phrases]
    for four in np.concatenate([lesson.squares for lesson in lessons[:3]]):
        (a, *first), (b, *second), (c, *third), (d, *fourth) = (texts[one] for one in four)
        assert (a, b, first, third) == (c, d, second, fourth) and a != b and first != third


def test_a_book_without_colours_has_neither_squares_nor_supports(parts):
    plain = JointTask(SMOKE, *parts, PhraseBook(("object",)), CPU)
    lesson = plain.draw(0, 0, 1)
    assert len(lesson.squares) == len(lesson.shown) == 0 and torch.isfinite(plain.loss(lesson))


def test_all_of_the_network_learns(task):
    lesson = next(one for step in range(40) if len((one := task.draw(step, 0, 1)).shown))
    task.module.zero_grad()
    task.loss(lesson).backward()
    still = [name for name, weight in task.module.named_parameters() if weight.grad is None]
    assert still == ["clip.logit_scale"]


def test_under_amp_the_loss_is_nearly_the_same_and_all_but_products_stay_float32(task):
    lesson = next(one for step in range(40) if len((one := task.draw(step, 0, 1)).shown) and len(one.squares))
    with torch.no_grad():
        whole = task.loss(lesson)
        with torch.autocast("cpu", torch.bfloat16):  # float16 on a GPU
            half = task.loss(lesson)
    assert half.dtype == torch.float32 and float(half) == pytest.approx(float(whole), rel=0.02)


def test_an_additive_table_costs_nothing_and_another_costs():
    rng = np.random.default_rng(0)
    colours, words = torch.from_numpy(rng.normal(size=(2, 2, 5))), torch.from_numpy(rng.normal(size=(2, 2, 5)))
    sums = torch.stack([words[:, 0] + colours[:, 0], words[:, 0] + colours[:, 1], words[:, 1] + colours[:, 0],
                        words[:, 1] + colours[:, 1]], dim=1)
    assert additive_loss(sums) == pytest.approx(0.0, abs=1e-12)
    bound = sums.clone()
    bound[:, 3] += 1.0
    assert additive_loss(bound) > 0.05
    assert additive_loss(3.0 * bound) == pytest.approx(float(additive_loss(bound)))


def test_a_picture_that_loses_colour_keeps_its_light():
    image = np.random.default_rng(0).integers(0, 256, (6, 7, 3), np.uint8)
    weights = np.array((0.299, 0.587, 0.114))
    for seed in range(8):
        found = colourless(image, np.random.default_rng(seed))
        assert np.abs(found @ weights - image @ weights).max() < 1.0
        assert np.ptp(found.astype(int), axis=2).mean() < 0.65 * np.ptp(image.astype(int), axis=2).mean()
