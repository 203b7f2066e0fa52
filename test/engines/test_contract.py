# SPDX-License-Identifier: Apache-2.0
"""What every engine promises, whatever its model: one test a promise, over all of engines.ENGINES."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from torch import nn
from torch.nn.modules.module import register_module_forward_pre_hook

from clipseg_ros import engines
from clipseg_ros.engines import Engine
from clipseg_ros.segmentation import Prompt, PromptError
from clipseg_ros.video import RegionMemory

OPTIONS = {"side": 96}
# Queries of random weights are all kept, and asked without a sentence that would count among their tokens.
CAR_OPTIONS = {
    "query_template": "{}", "templates": "{}", "background": "clip_es", "max_tokens": 36,
    "confidence_threshold": 0.0, "when_empty": "best", "visual_prompts": ("black",),
}
ENGINE_OPTIONS = {"car": CAR_OPTIONS} | dict.fromkeys(("zegclip", "ovseg"), {**OPTIONS, "templates": "{}"})
PROMPTS = (Prompt("red cup"), Prompt("something to sit on", threshold=0.4), Prompt("a jar"))


@pytest.fixture(scope="module", params=list(engines.ENGINES))
def engine(request: pytest.FixtureRequest, tiny_engines: dict[str, Path]) -> Engine:
    options = ENGINE_OPTIONS.get(request.param, OPTIONS)
    return engines.create(request.param, str(tiny_engines[request.param]), device="cpu", **options)


def image(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


@contextmanager
def counted_modules() -> Iterator[Counter[str]]:
    """How often a module of each class runs."""
    counts: Counter[str] = Counter()

    def count(module: nn.Module, _: object) -> None:
        counts[type(module).__name__] += 1

    handle = register_module_forward_pre_hook(count)
    try:
        yield counts
    finally:
        handle.remove()


@pytest.mark.parametrize("size", [(64, 64), (60, 200), (200, 60), (7, 5)])
def test_everything_has_the_images_size(engine: Engine, size: tuple[int, int]) -> None:
    found = engine.segment(image(*size), PROMPTS)
    assert found.prompts == PROMPTS and found.present.shape == (3,)
    assert found.scores.shape == found.masks().shape == (3, *size)
    assert found.score.shape == found.labels().shape == found.mask().shape == size
    assert (found.labels().dtype, found.mask().dtype, found.present.dtype) == (np.uint8, bool, bool)


def test_scores_are_finite_float32_from_0_to_1(engine: Engine) -> None:
    found = engine.segment(image(60, 80), PROMPTS)
    for scores in (found.scores, found.score):
        assert scores.dtype == np.float32 and np.isfinite(scores).all()
        assert scores.min() >= 0.0 and scores.max() <= 1.0
    assert found.scores.std() > 0.0


def test_one_prompt_keeps_its_axis(engine: Engine) -> None:
    found = engine.segment(image(60, 80), PROMPTS[:1])
    assert found.scores.shape == (1, 60, 80) and found.masks().shape == (1, 60, 80) and found.present.shape == (1,)


def test_no_prompt_finds_nothing(engine: Engine) -> None:
    found = engine.segment(image(60, 80), ())
    assert found.scores.shape == (0, 60, 80) and not found.score.any() and not found.labels().any()


def test_prompts_permuted_permute_the_scores(engine: Engine) -> None:
    ahead, reverse = (engine.segment(image(60, 80), prompts).scores for prompts in (PROMPTS, PROMPTS[::-1]))
    np.testing.assert_allclose(ahead, reverse[::-1], atol=1e-5)
    assert np.abs(ahead[0] - ahead[2]).max() > 1e-3


def test_the_image_is_not_written_to(engine: Engine) -> None:
    picture = image(60, 80)
    before = picture.copy()
    picture.flags.writeable = False
    engine.segment(picture, PROMPTS).masks()
    np.testing.assert_array_equal(picture, before)


def test_a_view_of_an_image_is_as_good_as_a_copy(engine: Engine) -> None:
    bgr = image(60, 160)[:, ::2, ::-1]
    scores = engine.segment(bgr, PROMPTS).scores
    np.testing.assert_array_equal(scores, engine.segment(np.ascontiguousarray(bgr), PROMPTS).scores)


def test_the_same_call_twice_answers_the_same(engine: Engine) -> None:
    first, other, again = (engine.segment(image(60, 80, seed), PROMPTS).scores for seed in (0, 1, 0))
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 1e-3


def test_a_batch_of_any_sizes_equals_its_images_one_by_one(engine: Engine) -> None:
    pictures = [image(60, 80), image(90, 40, 1), image(60, 80, 2)]
    for picture, found in zip(pictures, engine.segment_batch(pictures, PROMPTS), strict=True):
        np.testing.assert_allclose(found.scores, engine.segment(picture, PROMPTS).scores, atol=1e-5)
    assert engine.segment_batch([], PROMPTS) == []


def test_memories_of_cameras_change_no_first_frame(engine: Engine) -> None:
    pictures = [image(60, 80), image(60, 80, 1)]
    found = engine.segment_batch(pictures, PROMPTS, [RegionMemory(), RegionMemory()])
    for one, alone in zip(found, engine.segment_batch(pictures, PROMPTS), strict=True):
        np.testing.assert_array_equal(one.scores, alone.scores)


def test_colours_matter(engine: Engine) -> None:
    picture = image(60, 80)
    assert (
        np.abs(engine.segment(picture, PROMPTS).scores - engine.segment(picture[..., ::-1], PROMPTS).scores).max()
        > 1e-3
    )


def test_each_prompt_keeps_its_own_threshold(engine: Engine) -> None:
    scores = engine.segment(image(60, 80), PROMPTS).scores
    prompts = tuple(Prompt(f"{p.text}", threshold=max(0.01, float(np.median(s)))) for p, s in zip(PROMPTS, scores))
    found = engine.segment(image(60, 80), prompts)
    expected = np.stack([s >= np.float32(p.threshold) for s, p in zip(scores, prompts)])
    assert (found.masks() == expected).mean() > 0.999 and found.present.all()


@pytest.mark.parametrize("bad", [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3)), np.zeros((0, 4, 3), np.uint8)])
def test_what_is_no_image_is_refused(engine: Engine, bad: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"expected \(H, W, 3\) uint8 RGB"):
        engine.segment(bad, PROMPTS)


def test_a_prompt_that_is_too_long_is_refused_before_and_while_segmenting(engine: Engine) -> None:
    long = Prompt("x" * 76)
    with pytest.raises(PromptError, match="text of 78 tokens: the model takes 77; shorten 'xxx"):
        engine.check((PROMPTS[0], long))
    with pytest.raises(PromptError, match="78 tokens"):
        engine.segment(image(60, 80), (long,))
    engine.check((Prompt("x" * 75),))


def test_checked_prompts_are_remembered(engine: Engine) -> None:
    prompts = (Prompt("never seen before"), PROMPTS[0])
    engine.check(prompts)
    with counted_modules() as counts:
        engine.segment(image(60, 80), prompts)
    assert not any("Text" in name for name in counts)


def test_no_word_is_unknown_to_an_open_vocabulary(engine: Engine) -> None:
    assert engine.unknown_words("an eigenvalue to sit on") == ()


def test_the_device_is_named(engine: Engine) -> None:
    assert engine.device == "cpu"


@pytest.mark.parametrize("name", list(engines.ENGINES))
def test_an_unknown_option_is_refused_by_name(name: str, tiny_engines: dict[str, Path]) -> None:
    with pytest.raises(ValueError, match=f"option 'sidee' of engine {name}: expected one of "):
        engines.create(name, str(tiny_engines[name]), device="cpu", sidee=96)


def test_an_unknown_engine_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="engine 'clipsec': expected one of clipseg"):
        engines.create("clipsec", "demo")
