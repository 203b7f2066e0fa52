# SPDX-License-Identifier: Apache-2.0
"""The towers' lessons: what a step shows, which captions fit, what learns; and how a decoder starts from the towers."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from clipseg_ros.datasets import tabletop
from clipseg_ros.training import network, tokenizer
from clipseg_ros.training.batches import PREFIXES
from clipseg_ros.training.captions import CaptionTask, KindTask
from clipseg_ros.training.recipes import RECIPES

SMOKE = RECIPES["demo-smoke"]
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def words():
    texts = [*PREFIXES, *(phrase.text for phrase in tabletop.phrases())]
    return tokenizer.build(tokenizer.words_of(texts))


@pytest.fixture(scope="module")
def pool():
    """Eight pictures with a coloured block each, two kinds, so that nothing needs to be rendered."""
    pictures = np.full((8, 120, 160, 4), (90, 90, 90, 0), np.uint8)
    for index, picture in enumerate(pictures):
        colour, pair = (((200, 0, 0), ("mug", "red")), ((0, 0, 200), ("chair", "blue")))[index % 2]
        picture[30:80, 20 + 8 * index : 70 + 8 * index] = (*colour, tabletop.class_id(*pair))
    return pictures


@pytest.fixture
def task(words, pool):
    return CaptionTask(SMOKE, words, pool, CPU)


def test_views_come_alone_at_first_then_with_scenes(task):
    first, later = task.draw(0, 0, 1), task.draw(SMOKE.view_steps, 0, 1)
    assert first.scenes.images.shape[0] == 0 and len(first.views) == SMOKE.views_alone
    assert len(later.scenes.images) == SMOKE.batch and len(later.views) == SMOKE.views
    assert later.near.shape == (SMOKE.batch, int(SMOKE.share * SMOKE.grid**2))


def test_every_text_of_a_lesson_is_there_once_and_means_its_phrase(task):
    for step in range(4):
        lesson = task.draw(step, 0, 1)
        assert len(set(lesson.texts)) == len(lesson.texts) == len(lesson.meant)
        for text, phrase in zip(lesson.texts, lesson.meant):
            assert tabletop.classes_of(text) == task._book.phrases[phrase].classes


@pytest.mark.parametrize("kind", [CaptionTask, KindTask])
@pytest.mark.parametrize("step", [0, SMOKE.view_steps])
def test_under_amp_the_loss_is_nearly_the_same(kind, step, words, pool):
    task = kind(SMOKE, words, pool, CPU)
    lesson = task.draw(step, 0, 1)
    with torch.no_grad():
        whole = task.loss(lesson)
        with torch.autocast("cpu", torch.bfloat16):  # float16 on a GPU
            half = task.loss(lesson)
    assert half.dtype == torch.float32 and float(half) == pytest.approx(float(whole), rel=0.02)


def test_two_processes_see_other_scenes_of_half_the_batch(task):
    one, two = task.draw(3, 0, 2), task.draw(3, 1, 2)
    assert len(one.scenes.images) == len(two.scenes.images) == SMOKE.batch // 2
    assert not np.array_equal(one.scenes.images, two.scenes.images)


@pytest.mark.parametrize("step", [0, SMOKE.view_steps])
def test_captions_reach_both_towers(task, step):
    task.loss(task.draw(step, 0, 1)).backward()
    clip = task.module["clip"]
    for weight in (clip.text_projection.weight, clip.visual_projection.weight, clip.vision_model.pre_layrnorm.weight):
        assert weight.grad.abs().max() > 0


def test_kinds_alone_leave_the_text_tower_as_it_was(words, pool):
    task = KindTask(SMOKE, words, pool, CPU)
    task.loss(task.draw(SMOKE.view_steps, 0, 1)).backward()
    clip = task.module["clip"]
    assert clip.text_projection.weight.grad is None and clip.vision_model.pre_layrnorm.weight.grad.abs().max() > 0


def test_a_few_steps_teach_which_caption_fits_which_view(words, pool):
    """Two kinds in two colours: the right name must come to fit better than the other's."""
    task = CaptionTask(SMOKE, words, pool, CPU)
    optimiser = torch.optim.AdamW(task.module.parameters(), 1e-3)
    for step in range(40):
        task.module.zero_grad()
        torch.manual_seed(step)
        task.loss(task.draw(0, step, 1)).backward()
        optimiser.step()
    lesson = task.draw(0, 99, 1)
    views = task._look_at_views(lesson)
    seen = torch.nn.functional.normalize(task._project(views.tokens[:, 0]), dim=-1)
    names = torch.nn.functional.normalize(task._embed(["mug", "chair"]), dim=-1)
    mugs = torch.from_numpy(lesson.shown == tabletop.class_id("mug", "red"))
    right = (seen @ names.T).argmax(1) == torch.where(mugs, 0, 1)
    assert mugs.any() and not mugs.all() and right.float().mean() > 0.9


def test_an_aligned_decoder_passes_on_how_well_prompts_fit_patches(words):
    """The sum over the channels that FiLM multiplies must rank patches as the towers do."""
    torch.manual_seed(0)
    recipe = SMOKE
    model = network.initialise(network.configure(recipe, words), 0)
    clip, decoder = model.clip, model.decoder
    patches, prompts = torch.randn(400, recipe.width) + 1.0, torch.randn(6, recipe.vector)
    with torch.no_grad():
        network.align(decoder, clip, patches)
        reduced = decoder.reduces[0](patches)
        found = (decoder.film_mul(prompts)[:, None] * reduced + decoder.film_add(prompts)[:, None]).sum(2)
        projected = clip.visual_projection(clip.vision_model.post_layernorm(patches))
        wanted = prompts @ (projected - projected.mean(0)).T
    for row, expected in zip(found, wanted):
        assert np.corrcoef(row, expected)[0, 1] > 0.5
