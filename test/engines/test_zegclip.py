# SPDX-License-Identifier: Apache-2.0
"""ZegCLIP as an engine: modes, sentences around classes, penalties of seen ones, and what it does not compute twice."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from clipseg_ros import engines
from clipseg_ros.engines.zegclip import DEFAULT_THRESHOLD, TEMPLATES, ZegClipEngine
from clipseg_ros.models.hub import WeightsError
from clipseg_ros.segmentation import Prompt, PromptError, Support

CUP, DOG = Prompt("cup"), Prompt("dog", label="the Dog")
PICTURE = np.random.default_rng(0).integers(0, 256, (64, 112, 3), np.uint8)


@pytest.fixture(scope="module")
def weights(tiny_engines: dict[str, Path]) -> Path:
    return tiny_engines["zegclip"]


def create(weights: Path, **options: object) -> ZegClipEngine:
    return engines.create("zegclip", str(weights), device="cpu", **options)


@pytest.fixture(scope="module")
def engine(weights: Path) -> ZegClipEngine:
    return create(weights, side=64)


def test_on_a_square_of_its_side_both_modes_see_the_same(weights: Path, engine: ZegClipEngine) -> None:
    square = PICTURE[:, :64]
    whole, slid = (one.segment(square, [CUP, DOG]).scores for one in (engine, create(weights, side=64, mode="slide")))
    np.testing.assert_allclose(whole, slid, atol=1e-5)


def test_a_slide_is_the_mean_of_its_windows_and_no_whole(weights: Path, engine: ZegClipEngine) -> None:
    slide = create(weights, side=64, mode="slide")
    found = slide.segment(PICTURE, [CUP, DOG]).scores
    left, right = (slide.segment(part, [CUP, DOG]).scores for part in (PICTURE[:, :64], PICTURE[:, 48:]))
    np.testing.assert_allclose(found[..., :48], left[..., :48], atol=1e-5)
    np.testing.assert_allclose(found[..., 64:], right[..., 16:], atol=1e-5)
    np.testing.assert_allclose(found[..., 48:64], (left[..., 48:] + right[..., :16]) / 2.0, atol=1e-5)
    assert np.abs(found - engine.segment(PICTURE, [CUP, DOG]).scores).max() > 1e-3


@pytest.mark.parametrize("mode", ["whole", "slide"])
def test_half_precision_is_near(weights: Path, mode: str) -> None:
    full, half = (create(weights, side=64, mode=mode, precision=name) for name in ("fp32", "bf16"))
    found = half.segment(PICTURE, [CUP, DOG]).scores
    np.testing.assert_allclose(found, full.segment(PICTURE, [CUP, DOG]).scores, atol=0.05)
    assert found.dtype == np.float32


def test_pictures_of_any_sizes_slide_in_a_batch(weights: Path) -> None:
    slide, pictures = create(weights, side=64, mode="slide"), [PICTURE, PICTURE[:20, :90], PICTURE.transpose(1, 0, 2)]
    for picture, found in zip(pictures, slide.segment_batch(pictures, [CUP]), strict=True):
        np.testing.assert_allclose(found.scores, slide.segment(picture, [CUP]).scores, atol=1e-5)


def test_a_class_is_the_mean_of_its_sentences(weights: Path) -> None:
    def scores(*sentences: str) -> np.ndarray:
        return create(weights, side=64, templates=sentences).segment(PICTURE, [CUP]).scores

    one, two = "a photo of a {}", "there is a {} here"
    np.testing.assert_allclose(scores(one, one), scores(one), atol=1e-5)
    np.testing.assert_allclose(scores(one, two), scores(two, one), atol=1e-5)
    assert min(np.abs(scores(one, two) - scores(each)).max() for each in (one, two)) > 1e-5


def test_templates_have_names(weights: Path, engine: ZegClipEngine) -> None:
    def scores(templates: object) -> np.ndarray:
        return create(weights, side=64, templates=templates).segment(PICTURE, [CUP]).scores

    np.testing.assert_allclose(scores("a photo of a {}"), engine.segment(PICTURE, [CUP]).scores, atol=1e-6)
    np.testing.assert_allclose(scores("multi"), scores(list(TEMPLATES["multi"])), atol=1e-6)
    assert np.abs(scores("multi") - scores("single")).max() > 1e-4
    assert len(set(TEMPLATES["multi"])) == 15


def test_seen_classes_named_by_text_or_label_lose_the_penalty(weights: Path, engine: ZegClipEngine) -> None:
    plain = engine.segment(PICTURE, [CUP, DOG, Prompt("tree")]).scores
    strict = create(weights, side=64, seen=["CUP", "the dog"], seen_penalty=0.1)
    found = strict.segment(PICTURE, [CUP, DOG, Prompt("tree")]).scores
    np.testing.assert_allclose(found[:2], np.maximum(plain[:2] - 0.1, 0.0), atol=1e-6)
    np.testing.assert_allclose(found[2], plain[2], atol=1e-6)


def test_a_class_is_encoded_once_and_the_image_once_for_all(weights: Path, counts: Counter[str]) -> None:
    engine = create(weights, side=64, templates="multi")
    engine.segment(PICTURE, [CUP, DOG])
    first = counts.copy()
    engine.segment(PICTURE, [DOG, CUP, DOG])
    assert first["CLIPTextEmbeddings"] == counts["CLIPTextEmbeddings"] == 1
    assert first["ZegCLIPDecoder"] == 1 and counts["ZegCLIPDecoder"] == 2


def test_the_threshold_is_the_weights_own_where_they_have_one(
    weights: Path, engine: ZegClipEngine, tmp_path: Path
) -> None:
    assert engine.threshold == engine.segment(PICTURE, [CUP]).threshold == DEFAULT_THRESHOLD
    own = Path(shutil.copytree(weights, tmp_path / "own"))
    (own / "clipseg_ros.json").write_text(json.dumps({"threshold": 0.2, "vocabulary": ["cup"]}))
    assert create(own).threshold == 0.2 and create(own).unknown_words("a cup") == ("a",)


def test_supports_are_refused(engine: ZegClipEngine) -> None:
    prompt = Prompt(support=Support(PICTURE, np.ones(PICTURE.shape[:2], bool)), label="it")
    with pytest.raises(PromptError, match="prompt 'it' has a support: engine zegclip takes texts alone"):
        engine.check([prompt])


def test_other_weights_are_refused(tiny_weights: Path) -> None:
    with pytest.raises(WeightsError, match="model_type 'clipseg'; expected zegclip"):
        create(tiny_weights)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mode": "windows"}, "mode 'windows': expected whole or slide"),
        ({"side": 100}, "side 100: expected a multiple of the patch size 16"),
        ({"side": "64"}, "side '64': expected a multiple of the patch size 16"),
        ({"templates": "double"}, r"template 'double': expected single, multi, or sentences with one \{\} each"),
        ({"templates": ["a {}", 3]}, "template 3: expected single"),
        ({"templates": []}, "template '': expected single"),
        ({"templates": 3}, "template 3: expected single"),
        ({"seen": [1]}, r"seen \[1\]: expected names of classes"),
        ({"seen": "cup", "seen_penalty": 1.0}, "seen_penalty 1.0: expected 0 to below 1"),
        ({"seen": "cup", "seen_penalty": "much"}, "seen_penalty 'much': expected 0 to below 1"),
        ({"seen_penalty": 0.1}, "seen_penalty 0.1: name the seen classes in seen"),
    ],
)
def test_options_that_make_no_sense_are_refused(weights: Path, options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        create(weights, **options)


def test_a_closed_engine_holds_no_weights(weights: Path) -> None:
    engine = create(weights)
    engine.check([CUP])
    engine.close()
    with pytest.raises((RuntimeError, NotImplementedError)):
        engine.segment(PICTURE, [CUP])


def test_the_folders_own_sentences_are_the_default(weights: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(weights, tmp_path / "own"))
    config = json.loads((folder / "config.json").read_text())
    assert config["templates"] is None and create(weights)._templates == TEMPLATES["single"]
    (folder / "config.json").write_text(json.dumps({**config, "templates": ["{}", "the {}"]}))
    assert create(folder)._templates == ("{}", "the {}")
    assert create(folder, templates="multi")._templates == TEMPLATES["multi"]
