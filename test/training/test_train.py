# SPDX-License-Identifier: Apache-2.0
"""A whole training run in small: scenes, steps, checkpoint, weights folder, engine."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from clipseg_ros import engines
from clipseg_ros.datasets import tabletop
from clipseg_ros.segmentation import Prompt
from clipseg_ros.training import card
from clipseg_ros.training import train as training
from clipseg_ros.training.batches import PhraseBook, draw_batch
from clipseg_ros.training.pool import render_pool
from clipseg_ros.training.recipes import RECIPES

SMOKE = RECIPES["demo-smoke"]


@pytest.fixture(scope="module")
def pool(tmp_path_factory):
    return render_pool(tmp_path_factory.mktemp("pool"), SMOKE.first_seed, SMOKE.scenes, SMOKE.views, workers=2)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    out = tmp_path_factory.mktemp("run")
    return out, training.train("demo-smoke", SMOKE, out, "cpu")


def test_the_weights_folder_loads_into_the_engine_and_names_its_words(finished):
    engine = engines.create("clipseg", str(finished[1]), "cpu")
    view = tabletop.render(tabletop.compose(1), 120, 160)
    found = engine.segment(view.image, [Prompt("red mug"), Prompt("something to sit on")])
    assert found.scores.shape == (2, 120, 160) and np.isfinite(found.scores).all()
    assert engine.unknown_words("red zebra") == ("zebra",)


def test_moved_scores_meet_the_new_threshold_where_they_met_the_old(finished):
    engine = engines.create("clipseg", str(finished[1]), "cpu")
    image = tabletop.render(tabletop.compose(1), 96, 128).image
    before = engine.segment(image, [Prompt("mug")]).scores
    old = float(np.median(before))
    training.network.move_scores(engine._model.network, old, 0.5)
    assert np.array_equal(engine.segment(image, [Prompt("mug")]).scores >= 0.5, before >= old)


def test_the_threshold_is_written(finished):
    notes = json.loads((finished[1] / "clipseg_ros.json").read_text())
    assert notes["threshold"] == training.THRESHOLD


def test_the_folder_tells_what_made_it_and_what_it_reaches(finished):
    text = (finished[1] / "README.md").read_text()
    assert "train demo-smoke" in text and "| affordance | " in text and "| absent | " in text


def test_the_time_of_a_resumed_run_is_the_sum_of_its_parts(tmp_path):
    (tmp_path / "log.csv").write_text("0,1.0,2.0\n1,1.0,5.0\n2,1.0,1.0\n3,1.0,4.0\n")
    assert card.seconds(tmp_path / "log.csv") == 9.0


def test_a_resumed_run_ends_bit_for_bit_where_the_whole_run_ends(finished, tmp_path, monkeypatch):
    out, whole = finished
    (tmp_path / "pool").symlink_to(out / "pool")
    monkeypatch.setattr(training, "CHECKPOINT_EVERY", 2)
    stop, learn = SMOKE.tower_steps, training.Trainer.learn

    def learn_until_stopped(trainer, batch):
        if trainer.step == stop:
            raise KeyboardInterrupt
        return learn(trainer, batch)

    with monkeypatch.context() as cut, pytest.raises(KeyboardInterrupt):
        cut.setattr(training.Trainer, "learn", learn_until_stopped)
        training.train("demo-smoke", SMOKE, tmp_path, "cpu")
    assert torch.load(tmp_path / "checkpoint.pt", weights_only=True)["step"] == stop
    resumed = training.train("demo-smoke", SMOKE, tmp_path, "cpu")
    assert (resumed / "model.safetensors").read_bytes() == (whole / "model.safetensors").read_bytes()


def test_a_checkpoint_of_another_recipe_is_refused(finished):
    with pytest.raises(ValueError, match="another recipe"):
        training.train("demo-smoke", replace(SMOKE, steps=3), finished[0], "cpu")


def test_a_rendered_pool_is_kept(pool, tmp_path):
    first = render_pool(tmp_path, 0, 2, 1, workers=1)
    stamps = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    again = render_pool(tmp_path, 0, 2, 1, workers=1)
    assert np.array_equal(first, again) and stamps == {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}


def test_targets_are_the_pixels_of_the_phrase(pool):
    book = PhraseBook()
    batch = draw_batch(pool, book, SMOKE, np.random.default_rng(0))
    for labels, texts, targets in zip(batch.labels, batch.texts, batch.targets):
        for text, target in zip(texts, targets):
            assert np.array_equal(target, np.isin(labels, list(tabletop.classes_of(text))))


def test_about_the_asked_share_of_phrases_is_absent_and_some_are_near_misses():
    book, rng = PhraseBook(), np.random.default_rng(0)
    counts = np.zeros(256, int)
    counts[[0, tabletop.class_id("mug", "red"), tabletop.class_id("chair", "blue")]] = 5000, 300, 400
    drawn = np.concatenate([book.draw(counts, 8, 0.4, rng) for _ in range(200)])
    absent = (book.truth[drawn] @ counts) == 0
    texts = {book.phrases[index].text for index in drawn[absent]}
    assert 0.35 < absent.mean() < 0.45 and "blue mug" in texts and "red chair" in texts


def test_a_barely_visible_class_is_neither_there_nor_absent():
    book, rng = PhraseBook(), np.random.default_rng(0)
    counts = np.zeros(256, int)
    counts[[0, tabletop.class_id("mug", "red")]] = 5000, 3
    drawn = np.concatenate([book.draw(counts, 8, 0.4, rng) for _ in range(50)])
    assert ((book.truth[drawn] @ counts) == 0).all()


def test_the_learning_rate_rises_then_falls_to_the_final_rate():
    recipe = RECIPES["demo"]
    rates = [training.learning_rate(recipe, step) for step in range(recipe.tower_steps + recipe.steps + 1)]
    peak = int(np.argmax(rates))
    assert rates[peak] == RECIPES["demo"].learning_rate and np.all(np.diff(rates[: peak + 1]) >= 0)
    assert np.all(np.diff(rates[peak:]) <= 0) and rates[-1] == pytest.approx(RECIPES["demo"].final_rate)


def test_the_tower_looks_at_the_patches_that_objects_cover(pool):
    batch = draw_batch(pool, PhraseBook(), SMOKE, np.random.default_rng(0))
    side = SMOKE.output // SMOKE.grid
    for labels, near in zip(batch.labels, batch.near):
        covered = (labels > 0).reshape(SMOKE.grid, side, SMOKE.grid, side).mean(axis=(1, 3)).ravel()
        assert len(set(near)) == int(SMOKE.tower_share * SMOKE.grid**2)
        assert covered[near].min() >= np.delete(covered, near).max() - 0.11
