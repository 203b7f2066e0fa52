# SPDX-License-Identifier: Apache-2.0
"""CLIPSeg as an engine: its numbers, its geometry, its options, and what it does not compute twice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from torch import nn
from torch.nn.modules.module import register_module_forward_pre_hook

from clipseg_ros import engines
from clipseg_ros.engines import clipseg
from clipseg_ros.engines.clipseg import PAPER_THRESHOLD, ClipSegEngine
from clipseg_ros.masks import sigmoid
from clipseg_ros.segmentation import Prompt

CUP = (Prompt("cup"),)


def create(weights: Path, **options: object) -> ClipSegEngine:
    return engines.create("clipseg", str(weights), device="cpu", **options)


@pytest.fixture(scope="module")
def engine(tiny_weights: Path) -> ClipSegEngine:
    return create(tiny_weights, side=96)


@pytest.fixture
def counts() -> Iterator[Counter[str]]:
    """How often a module of each class runs."""
    counter: Counter[str] = Counter()

    def count(module: nn.Module, _: object) -> None:
        counter[type(module).__name__] += 1

    handle = register_module_forward_pre_hook(count)
    yield counter
    handle.remove()


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
        ({"extract_layers": [3, 6]}, r"extract_layers \[3, 6\]: expected 3 rising"),
        ({"precision": "int8"}, "precision 'int8'"),
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
    full, half = (
        create(tiny_weights, side=96, precision=p).segment(golden["image_96"], CUP).scores for p in ("fp32", "bf16")
    )
    assert half.dtype == np.float32
    assert 0.0 < np.abs(full - half).mean() < 0.05
