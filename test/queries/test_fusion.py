# SPDX-License-Identifier: Apache-2.0
"""Several prompts that mean one thing, against the same done by hand with full score maps."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from clipseg_ros.masks import LogitMaps
from clipseg_ros.queries import Query
from clipseg_ros.queries.fusion import fuse
from clipseg_ros.segmentation import Prompt, Segmentation, Verdict

SEAT = Query(Prompt("seat", threshold=0.4), parts=(Prompt("sofa"), Prompt("chair"), Prompt("stool")))
CUP = Query(Prompt("cup"))
DRINK = Query(Prompt("drink", threshold=0.7), parts=(Prompt("mug"), Prompt("glass")))
QUERIES = (SEAT, CUP, DRINK)
FACES = tuple(query.prompt for query in QUERIES)


@pytest.fixture
def found() -> Segmentation:
    """Six prompts over an image of 10 x 14."""
    prompts = tuple(prompt for query in QUERIES for prompt in query.searched)
    logits = np.random.default_rng(5).normal(0.0, 1.5, (len(prompts), 5, 7)).astype(np.float32)
    return Segmentation(prompts, LogitMaps(logits, (10, 14)), threshold=0.5)


def test_the_score_of_a_thing_is_the_highest_of_its_prompts(found: Segmentation) -> None:
    fused = fuse(found, QUERIES, FACES)
    expected = np.stack([found.scores[:3].max(axis=0), found.scores[3], found.scores[4:].max(axis=0)])
    np.testing.assert_array_equal(fused.scores, expected)
    np.testing.assert_array_equal(fused.score, found.score)
    assert fused.prompts == FACES and fused.threshold == 0.5


def test_masks_labels_and_presence_follow_the_fused_scores(found: Segmentation) -> None:
    fused = fuse(found, QUERIES, FACES)
    reaching = fused.scores >= np.float32([0.4, 0.5, 0.7])[:, None, None]
    np.testing.assert_array_equal(fused.masks(), reaching)
    best = np.where(reaching, fused.scores, -1.0).argmax(axis=0) + 1
    np.testing.assert_array_equal(fused.labels(), np.where(reaching.any(axis=0), best, 0))
    np.testing.assert_array_equal(fused.present, reaching.any(axis=(1, 2)))
    assert len(set(np.unique(fused.labels()))) == 4


def test_a_thing_of_absent_prompts_is_absent() -> None:
    logits = np.full((3, 2, 2), -9.0, np.float32)
    logits[2] = 9.0
    found = Segmentation(SEAT.parts, LogitMaps(logits, (4, 4)), threshold=0.5)
    assert fuse(found, [SEAT], [SEAT.prompt]).present.tolist() == [True]
    found = Segmentation(SEAT.parts, LogitMaps(logits[:1].repeat(3, 0), (4, 4)), threshold=0.5)
    assert fuse(found, [SEAT], [SEAT.prompt]).present.tolist() == [False]


def test_queries_of_one_prompt_each_are_left_as_they_are(found: Segmentation) -> None:
    assert fuse(found, [CUP] * 6, found.prompts) is found


def test_a_thing_is_as_sure_as_its_surest_prompt_and_dropped_with_its_last(found: Segmentation) -> None:
    verdicts = (Verdict(0.2, 1), Verdict(0.6), Verdict(0.3, 2), Verdict(0.5), Verdict(0.1, 1), Verdict(0.2, 3))
    fused = fuse(replace(found, verdicts=verdicts), QUERIES, FACES)
    assert fused.verdicts == (Verdict(0.6), Verdict(0.5), Verdict(0.2, 3))
    assert fuse(found, QUERIES, FACES).verdicts == ()
