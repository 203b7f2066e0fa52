# SPDX-License-Identifier: Apache-2.0
"""CLIPSeg as an engine: its numbers, its geometry, its options, and what it does not compute twice."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from clipseg_ros import engines
from clipseg_ros.engines import clipseg
from clipseg_ros.engines.clipseg import PAPER_THRESHOLD, ClipSegEngine
from clipseg_ros.engines.devices import DeviceError, check_compiler
from clipseg_ros.masks import sigmoid
from clipseg_ros.models.presence import DENIED, strength
from clipseg_ros.segmentation import Prompt, Support

CUP = (Prompt("cup"),)


def create(weights: Path, **options: object) -> ClipSegEngine:
    return engines.create("clipseg", str(weights), device="cpu", **options)


@pytest.fixture(scope="module")
def engine(tiny_weights: Path) -> ClipSegEngine:
    return create(tiny_weights, side=96)


@pytest.mark.parametrize("side", [96, 224, 352])
def test_logits_are_the_references_to_1e_3(tiny_weights: Path, golden: dict[str, np.ndarray], side: int) -> None:
    prompts = [Prompt(text) for text in golden["texts"].tolist()]
    logits = create(tiny_weights, side=side).logits([golden[f"image_{side}"]], prompts)[0]
    np.testing.assert_allclose(logits[:, 3::7, 3::7], golden[f"logits_refined_369_{side}_sub"], atol=1e-3)


def test_scores_are_the_sigmoid_of_the_logits(engine: ClipSegEngine, golden: dict[str, np.ndarray]) -> None:
    logits = engine.logits([golden["image_96"]], CUP)[0]
    np.testing.assert_allclose(engine.segment(golden["image_96"], CUP).scores, sigmoid(logits), atol=1e-5)


def test_the_image_is_encoded_once_whatever_the_number_of_prompts(engine: ClipSegEngine, counts: Counter[str]) -> None:
    engine.segment(np.zeros((50, 70, 3), np.uint8), [Prompt(f"thing {i}") for i in range(9)])
    assert counts["CLIPSegVisionEmbeddings"] == 1
    counts.clear()
    engine.segment(np.zeros((50, 70, 3), np.uint8), ())
    assert not counts


def test_a_text_is_encoded_once_ever(engine: ClipSegEngine, counts: Counter[str]) -> None:
    image = np.zeros((50, 70, 3), np.uint8)
    engine.segment(image, [Prompt("first"), Prompt("second"), Prompt("first", label="again")])
    assert counts["CLIPSegTextEmbeddings"] == 1
    engine.segment(image, [Prompt("second", threshold=0.9), Prompt("first")])
    assert counts["CLIPSegTextEmbeddings"] == 1
    engine.segment(image, [Prompt("first"), Prompt("third")])
    assert counts["CLIPSegTextEmbeddings"] == 2


def test_the_cache_of_texts_is_bounded_and_never_drops_what_a_call_needs(
    tiny_weights: Path, monkeypatch: pytest.MonkeyPatch, counts: Counter[str]
) -> None:
    monkeypatch.setattr(clipseg, "CACHED_PROMPTS", 3)
    engine, image = create(tiny_weights, side=96), np.zeros((50, 70, 3), np.uint8)
    many = [Prompt(f"{i}") for i in range(5)]
    assert engine.segment(image, many).scores.shape == (5, 50, 70)
    counts.clear()
    engine.check(many[2:])
    assert not counts
    engine.check(many[:1])
    assert counts["CLIPSegTextEmbeddings"] == 1


def whole(image: np.ndarray) -> Support:
    """A support with nothing around the object: no visual prompt changes it but the red ones."""
    return Support(image, np.ones(image.shape[:2], bool))


def half(image: np.ndarray) -> Support:
    """A support whose object is the left half of the image."""
    return Support(image, np.arange(image.shape[1]) < np.full((len(image), 1), image.shape[1] // 2))


def test_a_support_is_the_references_image_prompt(engine: ClipSegEngine, golden: dict[str, np.ndarray]) -> None:
    logits = engine.logits([golden["image_96"]], [Prompt(support=whole(golden["support_96"]), text_weight=0.9)])[0]
    np.testing.assert_allclose(logits[:, 3::7, 3::7], golden["logits_refined_369_supportimage_96_sub"], atol=1e-3)


def test_text_and_support_are_mixed_as_the_reference_does(engine: ClipSegEngine, golden: dict[str, np.ndarray]) -> None:
    support = whole(golden["support_96"])
    shares = zip(golden["texts"].tolist(), golden["mix_image_weight"].tolist(), strict=True)
    prompts = [Prompt(text, support, text_weight=1.0 - share) for text, share in shares]
    logits = engine.logits([golden["image_96"]], prompts)[0]
    np.testing.assert_allclose(logits[:, 3::7, 3::7], golden["logits_refined_369_mix_96_sub"], atol=1e-3)


def test_a_support_is_encoded_once_ever_and_texts_stop_early(
    engine: ClipSegEngine, golden: dict[str, np.ndarray], counts: Counter[str]
) -> None:
    picture, support = golden["image_96"], half(golden["support_96"])
    engine.check([Prompt("cup"), Prompt(support=support)])
    counts.clear()
    engine.segment(picture, [Prompt("cup", support, 0.3), Prompt(support=half(golden["support_96"].copy())), *CUP])
    assert counts["CLIPSegVisionEmbeddings"] == 1 and counts["CLIPSegTextEmbeddings"] == 0
    engine.check([Prompt(support=half(golden["image_224"]))])
    assert counts["CLIPSegVisionEmbeddings"] == 2


def test_a_text_that_spells_a_digest_is_no_support(engine: ClipSegEngine, golden: dict[str, np.ndarray]) -> None:
    support = half(golden["support_96"])
    spelled, shown = engine.logits([golden["image_96"]], [Prompt(support.digest), Prompt(support=support)])[0]
    assert np.abs(spelled - shown).max() > 0.1


def test_the_visual_prompt_is_an_option(tiny_weights: Path, golden: dict[str, np.ndarray]) -> None:
    prompt = [Prompt(support=half(golden["support_96"]))]
    own, same, other = (
        create(tiny_weights, side=96, **option).logits([golden["image_96"]], prompt)[0]
        for option in ({}, {"visual_prompt": "crop_bg_blur_intensity_10"}, {"visual_prompt": "object_outline"})
    )
    np.testing.assert_array_equal(own, same)
    assert np.abs(own - other).max() > 0.1


def corners(size: tuple[int, int]) -> Iterator[np.ndarray]:
    """A white box in each corner of a black image."""
    height, width = size[0] // 4, size[1] // 4
    for rows in (slice(0, height), slice(-height, None)):
        for columns in (slice(0, width), slice(-width, None)):
            image = np.zeros((*size, 3), np.uint8)
            image[rows, columns] = 255
            yield image


@pytest.mark.parametrize("keep_aspect", [False, True])
@pytest.mark.parametrize("size", [(480, 640), (640, 480), (720, 1280)])
def test_a_shape_at_a_corner_is_found_at_its_place(
    bright_weights: Path, size: tuple[int, int], keep_aspect: bool
) -> None:
    engine = create(bright_weights, keep_aspect=keep_aspect, side=176)
    for image in corners(size):
        truth, found = image[..., 0] == 255, engine.segment(image, CUP).mask(0.5)
        assert (truth & found).sum() / (truth | found).sum() > 0.9


def test_keeping_the_aspect_of_a_square_changes_nothing(tiny_weights: Path, golden: dict[str, np.ndarray]) -> None:
    squashed, kept = (
        create(tiny_weights, side=96, keep_aspect=keep).logits([golden["image_224"]], CUP)[0] for keep in (False, True)
    )
    np.testing.assert_array_equal(squashed, kept)


def test_keeping_the_aspect_gives_a_rectangle(tiny_weights: Path) -> None:
    wide, tall = create(tiny_weights, keep_aspect=True).logits(
        [np.zeros((480, 640, 3), np.uint8), np.zeros((640, 480, 3), np.uint8)], CUP
    )
    assert wide.shape == (1, 304, 400) and tall.shape == (1, 400, 304)


def test_the_layers_read_are_an_option(tiny_weights: Path, golden: dict[str, np.ndarray]) -> None:
    own, same, other = (
        create(tiny_weights, side=96, extract_layers=layers).logits([golden["image_96"]], CUP)[0]
        for layers in (None, [3, 6, 9], [3, 7, 9])
    )
    np.testing.assert_array_equal(own, same)
    assert np.abs(own - other).max() > 0.1


def test_the_template_surrounds_the_text(tiny_weights: Path, golden: dict[str, np.ndarray]) -> None:
    templated = create(tiny_weights, side=96, template="a photo of a {}.")
    plain = create(tiny_weights, side=96)
    found = templated.logits([golden["image_96"]], [Prompt("cat"), Prompt("{0} {x}")])[0]
    expected = plain.logits([golden["image_96"]], [Prompt("a photo of a cat."), Prompt("a photo of a {0} {x}.")])[0]
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"side": 100}, "side 100: expected a multiple of the patch size 16"),
        ({"side": 0}, "side 0: expected a multiple"),
        ({"side": "big"}, "side 'big': expected a multiple"),
        ({"keep_aspect": "no"}, "keep_aspect 'no': expected true or false"),
        ({"template": "a photo"}, r"template 'a photo': expected a sentence with one \{\}"),
        ({"template": None}, "template None: expected a sentence"),
        ({"visual_prompt": "blur"}, "visual_prompt 'blur': expected one of object_red, "),
        ({"extract_layers": [3, 6]}, r"extract_layers \[3, 6\]: expected 3 rising"),
        ({"precision": "int8"}, "precision 'int8'"),
        ({"presence": "no"}, "presence 'no': expected true or false"),
        ({"compiled": "no"}, "compiled 'no': expected true or false"),
    ],
)
def test_a_bad_option_is_refused(tiny_weights: Path, options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        create(tiny_weights, **options)


def test_the_default_threshold_is_the_papers_or_the_models_own(engine: ClipSegEngine, tiny_copy: Path) -> None:
    assert engine.threshold == PAPER_THRESHOLD == 0.3
    (tiny_copy / "clipseg_ros.json").write_text('{"vocabulary": ["cup"], "threshold": 0.45}')
    own = create(tiny_copy, side=96)
    assert own.threshold == 0.45 and own.unknown_words("red cup") == ("red",)
    assert own.segment(np.zeros((5, 5, 3), np.uint8), CUP).threshold == 0.45


def test_half_precision_stays_close(tiny_weights: Path, golden: dict[str, np.ndarray]) -> None:
    prompts = (*CUP, Prompt(support=whole(golden["support_96"])), Prompt("cup", whole(golden["support_96"])))
    full, rough = (
        create(tiny_weights, side=96, precision=p).segment(golden["image_96"], prompts).scores for p in ("fp32", "bf16")
    )
    assert rough.dtype == np.float32
    assert 0.0 < np.abs(full - rough).mean() < 0.05


@pytest.mark.timeout(900)
def test_a_compiled_engine_finds_the_same_for_three_prompts_and_for_two(bright_weights: Path) -> None:
    try:
        check_compiler()
    except DeviceError as error:
        pytest.skip(str(error))
    image = np.random.default_rng(0).integers(0, 256, (40, 40, 3), np.uint8)
    plain, compiled = (create(bright_weights, side=16, compiled=compiled) for compiled in (False, True))
    for prompts in ((*CUP, Prompt("mug"), Prompt("dog")), (*CUP, Prompt("mug"))):
        theirs, ours = (one.segment(image, prompts).scores for one in (plain, compiled))
        np.testing.assert_allclose(ours, theirs, atol=1e-5)


def test_a_closed_engine_holds_no_weights(tiny_weights: Path) -> None:
    closed = create(tiny_weights, side=96)
    closed.segment(np.zeros((9, 9, 3), np.uint8), CUP)
    closed.close()
    assert all(weight.device.type == "meta" for weight in closed._model.parameters())

    def encode(parts: list[tuple[str, str]]) -> None:
        raise LookupError("asked for again")

    with pytest.raises(LookupError):
        closed._vectors([("text", CUP[0].text)], encode)


def test_a_prompt_that_the_weights_take_for_absent_is_found_nowhere(tiny_weights: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(tiny_weights, tmp_path / "judged")
    image, prompts = np.random.default_rng(0).integers(0, 256, (96, 96, 3), np.uint8), [Prompt("cat"), Prompt("dog")]
    plain = create(tiny_weights, side=96).logits([image], prompts)[0]
    strengths = strength(torch.from_numpy(plain))
    notes = {"vocabulary": None, "threshold": 0.5, "presence": float(strengths.mean())}
    (folder / "clipseg_ros.json").write_text(json.dumps(notes))
    judged = create(folder, side=96).logits([image], prompts)[0]
    kept, dropped = int(strengths.argmax()), int(strengths.argmin())
    np.testing.assert_array_equal(judged[kept], plain[kept])
    np.testing.assert_allclose(judged[dropped], plain[dropped] - DENIED, atol=1e-4)
    np.testing.assert_array_equal(create(folder, side=96, presence=False).logits([image], prompts)[0], plain)
