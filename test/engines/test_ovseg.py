# SPDX-License-Identifier: Apache-2.0
"""OVSeg as an engine: the authors' maps, any number of proposals, its helper word, and what it does not compute."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from clipseg_ros import engines
from clipseg_ros.engines.ovseg import DEFAULT_THRESHOLDS, OvsegEngine, PlaneMaps
from clipseg_ros.models import ovseg
from clipseg_ros.models.hub import WeightsError
from clipseg_ros.models.ovseg import OVSegShape
from clipseg_ros.segmentation import Prompt, PromptError, Segmentation, Support
from clipseg_ros.video import RegionMemory

CUP, DOG, JAR = Prompt("cup"), Prompt("dog", label="the Dog"), Prompt("jar")
PICTURE = np.random.default_rng(0).integers(0, 256, (60, 84, 3), np.uint8)
GOLDEN = Path(__file__).parents[1] / "golden" / "ovseg" / "ovseg_tiny.npz"
SMALL = {"side": 96, "templates": "{}"}
OFF = {"min_area": 0.0, "no_object": 1.0, "nms_iou": 1.0, "top_k": 0, "fusion_stride": 1}


@pytest.fixture(scope="module")
def weights(tiny_engines: dict[str, Path]) -> Path:
    return tiny_engines["ovseg"]


def create(weights: Path, **options: object) -> OvsegEngine:
    return engines.create("ovseg", str(weights), device="cpu", **{**SMALL, **options})


def test_sums_above_1_are_cut_off_in_scores_and_not_where_prompts_compare() -> None:
    planes = np.array([[[1.5, 0.2]], [[2.5, 0.1]]], np.float32)
    found = Segmentation((CUP, DOG), PlaneMaps(planes, (0, 1), (1, 2)), 0.15)
    np.testing.assert_array_equal(found.scores, np.minimum(planes, 1.0))
    np.testing.assert_array_equal(found.score, np.float32([[1.0, 0.2]]))
    np.testing.assert_array_equal(found.labels(), [[2, 1]])
    assert found.present.all() and found.masks().tolist() == [[[True, True]], [[True, False]]]


@contextmanager
def looks(engine: OvsegEngine) -> Iterator[list[int]]:
    """How many cut-outs CLIP sees at a time."""
    seen: list[int] = []
    patches = engine._network.clip.vision_model.embeddings.patch_embedding
    handle = patches.register_forward_pre_hook(lambda _, given: seen.append(len(given[0])))
    yield seen
    handle.remove()


@pytest.mark.parametrize(("select", "queries", "name"), [
    ("all", ("cat", "grass", "red chair", "sky"), "forward_semseg"), ("best", ("cat",), "demo_single_query"),
])
def test_the_reference_speed_gives_the_authors_maps(
    golden_ovseg: Path, select: str, queries: tuple[str, ...], name: str
) -> None:
    golden = np.load(GOLDEN)
    engine = create(golden_ovseg, speed="reference", side=64, select=select, mask_threshold=0.5)
    words = ("cat", "grass", "red chair", "sky", "others")
    vectors = torch.from_numpy(np.concatenate([golden["text"], golden["text_others"][None]]))
    engine._vectors(words, lambda _: vectors)  # the golden network has no text tower
    image = golden["image"].transpose(1, 2, 0)
    scores = engine.segment(image, [Prompt(query) for query in queries]).scores
    assert scores.shape[1:] == (64, 90)
    resized = np.stack([cv2.resize(plane, (68, 48), interpolation=cv2.INTER_LINEAR) for plane in scores])
    expected = golden[f"{name}_every_4"][: len(queries)]
    np.testing.assert_allclose(resized[:, ::4, ::4], expected, atol=1e-4)
    assert expected.max() > 0.1


def test_the_shortcuts_switched_off_one_by_one_are_the_reference_speed(weights: Path) -> None:
    off = create(weights, speed="fast", **OFF).segment(PICTURE, [CUP, DOG]).scores
    np.testing.assert_array_equal(create(weights, speed="reference").segment(PICTURE, [CUP, DOG]).scores, off)


def test_the_fast_speed_answers_nearly_as_the_reference_does(weights: Path) -> None:
    patterns = [np.random.default_rng(seed).integers(0, 256, (8, 11, 3), np.uint8) for seed in range(4)]
    pictures = [pattern.repeat(8, 0).repeat(8, 1) for pattern in patterns]
    best, every = (
        [
            create(weights, speed=speed, select=select).segment_batch(pictures, [CUP, DOG, JAR])
            for speed in ("fast", "reference")
        ]
        for select in ("best", "all")
    )
    assert np.mean([(one.labels(0.01) == other.labels(0.01)).mean() for one, other in zip(*best)]) > 0.9
    assert len(np.unique([one.labels(0.01) for one in best[1]])) > 1
    assert np.mean([np.abs(one.scores - other.scores).mean() for one, other in zip(*every)]) < 0.06


@pytest.mark.parametrize("select", ["best", "all"])
@pytest.mark.parametrize("speed", ["fast", "reference"])
def test_no_proposal_finds_nothing(weights: Path, select: str, speed: str) -> None:
    engine = create(weights, select=select, speed=speed, mask_threshold=1.0, clip_weight=0.0)
    found = engine.segment(PICTURE, [CUP, DOG])
    assert not found.scores.any() and not found.present.any() and found.scores.shape == (2, 60, 84)


@pytest.mark.parametrize("select", ["best", "all"])
def test_one_proposal_is_enough(weights: Path, select: str) -> None:
    engine = create(weights, select=select, top_k=1)
    with looks(engine) as seen:
        found = engine.segment(PICTURE, [CUP])
    assert seen == [1] and found.scores.shape == (1, 60, 84) and found.scores.max() > 0.0


def test_clip_looks_at_no_more_than_the_best(weights: Path) -> None:
    counts = []
    for options in ({"speed": "reference"}, {**OFF, "top_k": 5}, {**OFF, "nms_iou": 0.05}, {**OFF, "no_object": 0.0}):
        engine = create(weights, **options)
        with looks(engine) as seen:
            engine.segment(PICTURE, [CUP, DOG])
        counts.append(sum(seen))
    assert counts[0] == 12 and counts[1] == 5 and 0 < counts[2] < 12 and counts[3] == 0


def test_proposals_are_judged_empty_by_the_classes_of_training_not_by_the_queries(weights: Path) -> None:
    engine, rows = create(weights, **{**OFF, "no_object": 0.4}), []
    for queries in ([CUP], [DOG, JAR, Prompt("a wide road")]):
        with looks(engine) as seen:
            engine.segment(PICTURE, queries)
        rows.append(seen)
    assert rows[0] == rows[1]


def test_equal_texts_are_one_query(weights: Path) -> None:
    engine = create(weights)
    found = engine.segment(PICTURE, [CUP, DOG, Prompt("cup", label="again")])
    np.testing.assert_array_equal(found.scores[0], found.scores[2])
    np.testing.assert_array_equal(found.scores[:2], engine.segment(PICTURE, [CUP, DOG]).scores)


def test_a_single_query_competes_with_the_helper(weights: Path) -> None:
    alone = create(weights, select="all").segment(PICTURE, [CUP]).scores
    beside = create(weights, select="all").segment(PICTURE, [CUP, Prompt("others")]).scores
    np.testing.assert_allclose(alone[0], beside[0], atol=1e-6)
    other = create(weights, select="all", helper="road").segment(PICTURE, [CUP]).scores
    assert np.abs(other - alone).max() > 1e-3


def test_more_proposals_count_with_a_lower_ratio(weights: Path) -> None:
    few, many = (create(weights, keep_ratio=ratio).segment(PICTURE, [CUP, DOG]).scores for ratio in (1.0, 0.2))
    assert (many >= few - 1e-6).all() and many.sum() > few.sum()


def test_the_weight_of_clip_mixes_two_opinions(weights: Path) -> None:
    scores = [
        create(weights, select="all", clip_weight=weight).segment(PICTURE, [CUP, DOG]).scores
        for weight in (0, 0.2, 0.9, 1)
    ]
    np.testing.assert_array_equal(scores[0], scores[3])
    assert np.abs(scores[1] - scores[2]).max() > 0.01 and np.abs(scores[2] - scores[3]).max() > 0.001


def test_half_precision_is_near(weights: Path) -> None:
    full, half = (create(weights, precision=name, select="all") for name in ("fp32", "bf16"))
    found = half.segment(PICTURE, [CUP, DOG]).scores
    assert np.abs(found - full.segment(PICTURE, [CUP, DOG]).scores).mean() < 0.1 and found.dtype == np.float32


def test_texts_are_encoded_once_and_the_image_once_for_all(weights: Path, counts: Counter[str]) -> None:
    engine = create(weights, templates="vild")
    engine.segment(PICTURE, [CUP, DOG])
    first = counts.copy()
    engine.segment(PICTURE, [DOG, CUP, DOG])
    assert first["CLIPTextEmbeddings"] == counts["CLIPTextEmbeddings"] == 2  # queries, and the classes of training
    assert first["ProposalNetwork"] == 1 and counts["ProposalNetwork"] == 2


def test_the_threshold_is_the_weights_own_where_they_have_one(weights: Path, tmp_path: Path) -> None:
    assert {select: create(weights, select=select).threshold for select in ("best", "all")} == DEFAULT_THRESHOLDS
    own = Path(shutil.copytree(weights, tmp_path / "own"))
    (own / "clipseg_ros.json").write_text(json.dumps({"threshold": 0.2, "vocabulary": ["cup"]}))
    assert create(own).threshold == 0.2 and create(own).unknown_words("a cup") == ("a",)


def test_what_it_cannot_use_is_refused(weights: Path, tiny_weights: Path, tmp_path: Path) -> None:
    prompt = Prompt(support=Support(PICTURE, np.ones(PICTURE.shape[:2], bool)), label="it")
    with pytest.raises(PromptError, match="prompt 'it' has a support: engine ovseg takes texts alone"):
        create(weights).check([prompt])
    with pytest.raises(WeightsError, match="model_type 'clipseg'; expected ovseg"):
        create(tiny_weights)
    clip = ovseg.load(weights, torch.float32).clip
    ovseg.save(ovseg.on_clip(clip, OVSegShape(None, 0)), tmp_path, tiny_weights)
    with pytest.raises(WeightsError, match="a CLIP without proposals; give it proposer=sam and sam_weights"):
        create(tmp_path)


def test_a_closed_engine_holds_no_weights(weights: Path) -> None:
    engine = create(weights)
    engine.check([CUP])
    engine.close()
    with pytest.raises((RuntimeError, NotImplementedError)):
        engine.segment(PICTURE, [CUP])


def test_clip_looks_at_no_region_that_a_memory_knows(weights: Path) -> None:
    engine, memory = create(weights, select="all", reclassify_every=2), RegionMemory()
    with looks(engine) as seen:
        first, again, third = (engine.segment(PICTURE, [CUP, DOG], memory).scores for _ in range(3))
    assert len(seen) == 2 and seen[0] == seen[1] > 1
    for scores in (again, third, engine.segment(PICTURE, [CUP, DOG]).scores):
        np.testing.assert_allclose(scores, first, atol=1e-5)
    assert np.abs(engine.segment(PICTURE, [JAR, DOG], memory).scores[0] - first[0]).max() > 1e-3


def test_each_camera_of_a_batch_has_a_memory_of_its_own(weights: Path) -> None:
    engine, memories = create(weights, select="all"), [RegionMemory(), RegionMemory()]
    pictures = [PICTURE, PICTURE[::-1]]
    first = engine.segment_batch(pictures, [CUP, DOG], memories)
    with looks(engine) as seen:
        again = engine.segment_batch(pictures, [CUP, DOG], memories)
        assert not seen
        engine.segment_batch(pictures, [CUP, DOG], memories[::-1])
        assert seen
    for one, other in zip(first, again, strict=True):
        np.testing.assert_array_equal(one.scores, other.scores)
