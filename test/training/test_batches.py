# SPDX-License-Identifier: Apache-2.0
"""What training shows: pictures, phrases, object views, prompts; and what it must not show."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from clipseg_ros.datasets import tabletop
from clipseg_ros.models.clipseg import CLIPSeg
from clipseg_ros.training import network, tokenizer
from clipseg_ros.training.batches import PhraseBook, draw_pictures, near_objects
from clipseg_ros.training.masks import MaskTask
from clipseg_ros.training.pool import render_pool
from clipseg_ros.training.readings import Readings, read
from clipseg_ros.training.recipes import RECIPES
from clipseg_ros.training.spans import draw_scene_spans, draw_view_spans
from clipseg_ros.training.views import GREY, draw_view

SMOKE = RECIPES["demo-smoke"]
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def pool(tmp_path_factory):
    return render_pool(tmp_path_factory.mktemp("pool"), SMOKE.first_seed, SMOKE.scenes, workers=2)


def counts_of(*pairs, pixels=300):
    counts = np.zeros(256, int)
    counts[0] = 5000
    for pair in pairs:
        counts[tabletop.class_id(*pair)] = pixels
    return counts


def test_a_rendered_pool_is_kept(pool, tmp_path):
    first = render_pool(tmp_path, 0, 2, workers=1)
    stamps = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    again = render_pool(tmp_path, 0, 2, workers=1)
    assert np.array_equal(first, again) and stamps == {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}


def test_no_pair_that_is_held_out_is_in_the_pool(pool):
    unseen = [tabletop.class_id(*pair) for pair in tabletop.UNSEEN_PAIRS]
    assert not np.isin(pool[..., 3], unseen).any() and (pool[..., 3] > 0).any()


def test_targets_are_the_pixels_of_the_phrase(pool):
    drawn = draw_pictures(pool, PhraseBook(), SMOKE, SMOKE.batch, SMOKE.phrases, np.random.default_rng(0))
    assert not (drawn.targets & drawn.undecided).any()
    for labels, texts, targets in zip(drawn.labels, drawn.texts, drawn.targets):
        for text, target in zip(texts, targets):
            assert np.array_equal(target, np.isin(labels, list(tabletop.classes_of(text))))


def test_about_the_asked_share_of_phrases_is_absent_and_some_are_near_misses():
    book, rng = PhraseBook(), np.random.default_rng(0)
    counts = counts_of(("mug", "red"), ("chair", "blue"))
    drawn = np.concatenate([book.draw(counts, 8, 0.4, rng) for _ in range(200)])
    absent = (book.truth[drawn] @ counts) == 0
    texts = {book.phrases[index].text for index in drawn[absent]}
    assert 0.35 < absent.mean() < 0.45 and "blue mug" in texts and "red chair" in texts


def test_a_barely_visible_class_is_neither_there_nor_absent():
    book, rng = PhraseBook(), np.random.default_rng(0)
    counts = counts_of(("mug", "red"), pixels=3)
    drawn = np.concatenate([book.draw(counts, 8, 0.4, rng) for _ in range(50)])
    assert ((book.truth[drawn] @ counts) == 0).all()


@pytest.mark.parametrize(("masks", "expected"), [(True, False), (False, True)])
def test_masks_never_show_a_held_out_kind_under_its_affordance(masks, expected):
    book, rng = PhraseBook(masks=masks), np.random.default_rng(0)
    counts = counts_of(("glass", "red"), ("mug", "blue"))
    drawn = np.concatenate([book.draw(counts, 8, 0.0, rng) for _ in range(100)])
    texts = {book.phrases[index].text for index in drawn}
    assert ("something to drink from" in texts) is expected and "glass" in texts


def test_no_phrase_of_a_held_out_pair_is_ever_said():
    texts = {phrase.text for phrase in PhraseBook().phrases}
    kind, colour = sorted(tabletop.UNSEEN_PAIRS)[0]
    other = next(c for c in tabletop.COLOURS if (kind, c) not in tabletop.UNSEEN_PAIRS)
    assert f"{colour} {kind}" not in texts and f"{other} {kind}" in texts


def test_what_a_held_out_pair_might_be_is_not_denied_of_its_colour():
    """A blue chair is no mug, and that may be learned; but not of a colour in which no mug was ever shown."""
    book, (kind, colour) = PhraseBook(), sorted(tabletop.UNSEEN_PAIRS)[0]
    phrase = next(index for index, one in enumerate(book.phrases) if one.text == kind)
    names = tabletop.class_names()
    for index, name in names.items():
        assert book.undecided[phrase, index] == (name["colour"] == colour and name["kind"] != kind)
    assert not (book.undecided & book.truth).any()


def test_a_book_of_some_groups_holds_no_phrase_of_others():
    assert set(PhraseBook(("object", "colour")).groups) == {"object", "colour"}


def test_the_patches_near_objects_are_those_that_objects_cover(pool):
    drawn = draw_pictures(pool, PhraseBook(), SMOKE, SMOKE.batch, 2, np.random.default_rng(0))
    side = SMOKE.output // SMOKE.grid
    for labels in drawn.labels:
        near = near_objects(labels, SMOKE.grid, 0.3, np.random.default_rng(1))
        covered = (labels > 0).reshape(SMOKE.grid, side, SMOKE.grid, side).mean(axis=(1, 3)).ravel()
        assert len(set(near)) == int(0.3 * SMOKE.grid**2)
        assert covered[near].min() >= np.delete(covered, near).max() - 0.11


def test_a_view_shows_its_object_large_and_labels_nothing_else(pool):
    for seed in range(12):
        image, labels, shown = draw_view(pool[seed % len(pool)], 48, np.random.default_rng(seed))
        assert image.shape == (48, 48, 3) and image.dtype == np.uint8
        assert set(np.unique(labels)) <= {0, shown}
        assert max(np.ptp(places) for places in np.nonzero(labels)) > 48 / 3 - 4  # at most its own size on each side


def test_a_view_at_the_picture_s_edge_is_filled_with_grey():
    picture = np.zeros((60, 80, 4), np.uint8)
    picture[:20, :20] = (200, 0, 0, 5)
    image, labels, shown = draw_view(picture, 32, np.random.default_rng(3))
    assert shown == 5 and (labels == 5).any() and len(GREY) == 3


@pytest.fixture(scope="module")
def task():
    """Two pictures of a red mug, of which supports are known, too; one of a blue chair."""
    mug, chair = tabletop.class_id("mug", "red"), tabletop.class_id("chair", "blue")
    labels = np.zeros((3, 56, 72), np.uint8)
    labels[:2, 4:12, 4:12], labels[2, 4:12, 44:52] = mug, chair
    tokens = np.arange(14 * 18 + 1, dtype=np.float16)[:, None] * np.ones((3, 1, 1, 4), np.float16)
    readings = Readings(
        tokens, labels, np.zeros((4, 6), np.float32), np.array([mug, mug, chair, chair]), (14, 18),
    )
    book = PhraseBook(masks=True)
    recipe = RECIPES["demo-smoke"]
    return MaskTask(recipe, None, torch.nn.Linear(1, 1), readings, book, torch.zeros(len(book.phrases), 6)), book


def test_a_support_shows_what_its_target_is(task):
    task, book = task
    seen = 0
    for step in range(60):
        drawn = task.draw(step, 0, 1)
        for picture, (row, column), phrases, supports, weights, targets in zip(
            drawn.pictures, 4 * drawn.corners, drawn.phrases, drawn.supports, drawn.text_weight, drawn.targets
        ):
            shown = task._readings.labels[picture][row : row + SMOKE.output, column : column + SMOKE.output]
            for phrase, support, weight, target in zip(phrases, supports, weights, targets):
                assert np.array_equal(target, book.truth[phrase][shown])
                if weight < 1.0:
                    assert book.phrases[phrase].classes == {task._readings.shown[support]}
                    seen += bool(target.any())
    assert seen > 5


def test_the_same_step_draws_the_same_prompts(task):
    first, again = task[0].draw(7, 0, 1), task[0].draw(7, 0, 1)
    assert np.array_equal(first.phrases, again.phrases) and np.array_equal(first.text_weight, again.text_weight)


def test_a_square_of_readings_holds_the_tokens_of_its_patches(task):
    """Every token of the fixture is its own number, the class token 0."""
    readings, corners = task[0]._readings, np.array([(0, 0), (2, 6)])
    (tokens,), grid = (lambda one: (one.tokens, one.grid))(readings.readouts(np.array([0, 2]), corners, 12, CPU))
    numbers = 1 + np.arange(14 * 18).reshape(14, 18)
    assert grid == (12, 12) and (tokens[:, 0] == 0).all()
    assert np.array_equal(tokens[0, 1:, 0].reshape(12, 12), numbers[:12, :12])
    assert np.array_equal(tokens[1, 1:, 0].reshape(12, 12), numbers[2:, 6:])


def test_readings_are_of_whole_pictures_as_the_engine_sees_them(pool):
    words = tokenizer.build(["mug"])
    model = CLIPSeg(network.initialise(network.configure(SMOKE, words), 0)).eval()
    found = read(model, pool[:3], SMOKE, CPU)
    assert found.grid == (14, 18) and found.labels.shape == (3, 56, 72) and found.tokens.shape == (3, 2, 253, 64)
    for labels, picture in zip(found.labels, pool):
        small = picture[2::240 // 56, 2::320 // 72, 3]
        assert set(np.unique(labels)) <= set(np.unique(picture[..., 3])) and (labels > 0).any() == (small > 0).any()


def test_a_cut_out_of_a_scene_lies_in_pictures_of_every_aspect():
    recipe = RECIPES["demo"]
    spans = draw_scene_spans(500, recipe, np.random.default_rng(0))
    assert (spans >= 0).all() and (spans[:, :2] + spans[:, 2:] <= 1.0 + 1e-6).all() and spans.dtype == np.float32
    aspects = spans[:, 2] / spans[:, 3]  # 16 patches are more of the height of a wide picture
    assert aspects.min() < 0.75 and aspects.max() > 1.8
    np.testing.assert_allclose(spans[:, 2:].prod(axis=1), (recipe.side / recipe.input_side) ** 2, rtol=1e-5)


def test_half_of_the_views_are_whole_pictures():
    spans = draw_view_spans(400, RECIPES["demo"], np.random.default_rng(0))
    whole = (spans == (0, 0, 1, 1)).all(axis=1)
    assert 0.4 < whole.mean() < 0.6 and (spans[:, :2] + spans[:, 2:] <= 1.0 + 1e-6).all()
    assert spans[~whole, 2].min() < 0.3
