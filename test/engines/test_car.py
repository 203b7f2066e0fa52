# SPDX-License-Identifier: Apache-2.0
"""CLIP as RNN as an engine: what is dropped, what never crashes, what is computed once."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from clipseg_ros import engines
from clipseg_ros.engines import car, car_texts
from clipseg_ros.engines.car import CarEngine
from clipseg_ros.segmentation import Prompt, PromptError, Segmentation, Support

CAR = Path(__file__).parents[1] / "golden" / "car"
PLAIN = {"preset": "robot", "visual_prompts": ("black",), "max_tokens": 64, "confidence_threshold": 0.0}


def robot(**options: object) -> CarEngine:
    """The recommended numerics on the golden CLIPs; nothing is dropped but what is wholly improbable."""
    weights, judge = str(CAR / "model_proposal"), str(CAR / "model_classifier")
    return engines.create("car", weights, "cpu", classifier_weights=judge, **(PLAIN | options))


def image(height: int = 48, width: int = 64, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def ask(engine: CarEngine, *texts: str, of: np.ndarray | None = None) -> Segmentation:
    return engine.segment(image() if of is None else of, [Prompt(text) for text in texts])


def dropped(found: Segmentation) -> list[int | None]:
    return [verdict.dropped_at for verdict in found.verdicts]


def test_the_clip_that_a_model_keeps_beside_its_own_is_taken(tiny_copy: Path) -> None:
    shutil.copytree(CAR / "model_proposal", tiny_copy / "clip")
    kept, own = (engines.create("car", str(one), "cpu", **PLAIN) for one in (tiny_copy, CAR / "model_proposal"))
    np.testing.assert_array_equal(ask(kept, "cat").scores, ask(own, "cat").scores)


def test_a_query_alone_is_rejected_for_a_distractor() -> None:
    everywhere = ask(robot(confidence_threshold=0.999), "cat")
    assert dropped(everywhere) == [1] and not everywhere.present.any() and not everywhere.scores.any()
    assert 0.0 < everywhere.verdicts[0].confidence < 0.999
    assert ask(robot(confidence_threshold=0.999, distractors=False), "cat").verdicts[0].confidence == 1.0


def test_the_best_query_stays_where_one_must() -> None:
    found = ask(robot(confidence_threshold=0.999, when_empty="best"), "cat", "dog", "car")
    assert found.present.sum() == 1
    best = np.argmax([verdict.confidence for verdict in found.verdicts])
    assert dropped(found)[best] is None and found.present[best]


def test_no_step_judges_nothing() -> None:
    found = ask(robot(max_steps=0, confidence_threshold=0.999), "cat", "dog")
    assert found.present.all() and found.verdicts == ()


def test_words_may_be_distractors_of_the_classifier_alone() -> None:
    plain, more = (ask(robot(distractor_words=words), "cat") for words in ((), ("dog", "horse", " CAT ")))
    np.testing.assert_array_equal(plain.scores, more.scores)
    assert more.verdicts[0].confidence < plain.verdicts[0].confidence
    same = ask(robot(distractor_words=("dog", "horse")), "cat")
    assert same.verdicts == more.verdicts


@pytest.mark.parametrize("mode", ["semantic", "referring"])
@pytest.mark.parametrize(
    "options",
    [{}, {"background": ()}, {"cam": "grad-cam"}, {"cam": "patches"}, {"crf": True}, {"mask_threshold": 1.0}],
)
@pytest.mark.parametrize("texts", [(), ("cat",), ("cat", "cat"), tuple(f"cat {i}" for i in range(100))])
def test_any_number_of_queries_is_answered(texts: tuple[str, ...], options: dict, mode: str) -> None:
    if len(texts) == 100 and (options or mode == "referring"):
        options = options | {"max_steps": 1, "crf": False}
    found = ask(robot(mode=mode, templates="{}", **options), *texts)
    assert found.scores.shape == (len(texts), 48, 64) and np.isfinite(found.scores).all()
    assert len(found.verdicts) == len(texts) and found.labels().shape == (48, 64)


def test_prompts_of_equal_text_are_one_query() -> None:
    engine = robot()
    twice = engine.segment(image(), [Prompt("cat"), Prompt("car"), Prompt("cat", label="tom")])
    np.testing.assert_array_equal(twice.scores[0], twice.scores[2])
    np.testing.assert_array_equal(twice.scores[:2], ask(engine, "cat", "car").scores)
    assert twice.verdicts[0] == twice.verdicts[2]


def test_in_referring_mode_a_sentence_does_not_know_the_others() -> None:
    engine = robot(mode="referring")
    together, alone = ask(engine, "cat", "car", "horse"), ask(engine, "car")
    np.testing.assert_allclose(together.scores[1], alone.scores[0], atol=1e-5)
    assert together.verdicts[1].confidence == pytest.approx(alone.verdicts[0].confidence, abs=1e-5)
    assert np.abs(ask(robot(), "cat", "car", "horse").scores[1] - alone.scores[0]).max() > 1e-3


def test_stuff_lies_below_things_and_each_is_the_others_background() -> None:
    mutual = ask(robot(stuff=("Sky",)), "car", "sky")
    claimed = mutual.scores[0] >= mutual.threshold
    assert claimed.any() and not mutual.scores[1][claimed].any()
    words = ask(robot(stuff=("sky",), mutual_background=False), "car", "sky")
    assert np.abs(words.scores[0] - mutual.scores[0]).max() > 1e-3
    labelled = robot(stuff=("sky",)).segment(image(), [Prompt("car"), Prompt("clouds", label="sky")])
    assert not labelled.scores[1][labelled.scores[0] >= labelled.threshold].any()


@pytest.mark.parametrize("size", [(1, 1), (3, 200), (17, 15), (700, 500)])
def test_an_image_of_any_size_is_searched(size: tuple[int, int]) -> None:
    found = ask(robot(), "cat", "car", of=image(*size))
    assert found.scores.shape == (2, *size)


@pytest.mark.parametrize(
    ("size", "most", "grid"),
    [((48, 64), 0, (3, 4)), ((75, 100), 0, (5, 7)), ((75, 100), 35, (5, 7)), ((480, 640), 300, (15, 20)),
     ((1, 9000), 9, (1, 9)), ((9000, 1), 9, (9, 1)), ((480, 640), 1, (1, 1))],
)
def test_patches_cover_the_image_and_are_not_too_many(size: tuple, most: int, grid: tuple) -> None:
    assert car.grid_of(size, 16, most) == grid


def test_a_support_is_refused() -> None:
    support = Support(image(), np.ones((48, 64), bool))
    with pytest.raises(PromptError, match="has a support: engine car takes texts alone"):
        robot().check([Prompt("cat", support)])


def test_a_query_too_long_for_its_template_is_refused() -> None:
    engine = robot()
    with pytest.raises(PromptError, match="the model takes 77; shorten 'a clean origami cat cat"):
        engine.segment(image(), [Prompt(" ".join(["cat"] * 76))])


def test_background_that_cannot_be_encoded_is_refused_at_once() -> None:
    with pytest.raises(PromptError, match="the model takes 77"):
        robot(background_words=(" ".join(["cat"] * 76),))


def test_an_unknown_option_is_named_among_all() -> None:
    with pytest.raises(ValueError, match="option 'theta' of engine car: expected one of classifier_weights, preset,"):
        robot(theta=0.5)


def test_texts_are_encoded_once_and_forgotten_last(counts: Counter[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(car_texts, "CACHED_TEXTS", 3)
    monkeypatch.setattr(car_texts, "CACHED_SETS", 1)
    engine = robot()
    ask(engine, "car")
    counts.clear()
    ask(engine, "car", of=image(seed=1))
    assert not counts["CLIPTextEmbeddings"]
    assert ask(engine, "cat", "dog").scores.shape[0] == 2
    assert counts["CLIPTextEmbeddings"]


def test_equal_masks_are_judged_once(counts: Counter[str]) -> None:
    options = {"cam": "patches", "min_steps": 3, "distractors": False, "when_empty": "best"}
    ask(robot(**options), "cat", "car", "horse")
    assert counts["CLIPVisionEmbeddings"] == 0 and counts["Conv2d"] == 2  # the frame, and its three masks


def test_a_query_that_no_patch_fits_is_dropped() -> None:
    found = ask(robot(cam="patches"), "cat", "car")
    assert found.present.all() and found.scores.max() > 0.9
    assert dropped(ask(robot(cam="patches", patch_threshold=1.0), "cat", "car")) == [1, 1]


def test_a_closed_engine_holds_no_weights() -> None:
    engine = robot()
    ask(engine, "cat")
    engine.close()
    assert all(weight.device.type == "meta" for model in engine._models for weight in model.parameters())
