# SPDX-License-Identifier: Apache-2.0
"""The node around engine zegclip, with a random network: what is published is what the engine finds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from clipseg_ros import engines
from clipseg_ros.models.zegclip import Shape
from clipseg_ros.segmentation import Prompt
from clipseg_ros.training import zegclip_student

PICTURE = np.random.default_rng(0).integers(0, 256, (6, 8, 3), np.uint8).repeat(8, 0).repeat(8, 1)


@pytest.fixture(scope="module")
def weights(tiny_weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("zegclip")
    shape = Shape(prompts=2, heads=4, hidden=32, side=64)
    zegclip_student.save(zegclip_student.build(str(tiny_weights), shape, False, "single", seed=0), folder)
    return folder


@pytest.fixture(scope="module")
def settings(weights: Path) -> dict[str, object]:
    return {"engine": "zegclip", "weights": weights, "engine_options": "templates=multi; mode=whole"}


def test_scores_and_labels_are_those_of_the_engine(bench, weights: Path) -> None:
    found = engines.create("zegclip", str(weights), "cpu", templates="multi")
    found = found.segment(PICTURE, [Prompt("cat"), Prompt("dog")])
    cut = float(np.median(found.score))
    queries = f'[{{"text": "cat", "threshold": {cut}}}, {{"text": "dog", "threshold": {cut}}}]'
    bench.query(queries, "cat", "dog")
    with bench.listen("score") as scores, bench.listen("labels") as labels, bench.camera(PICTURE):
        np.testing.assert_allclose(bench.array(bench.next_of(scores)), found.score, atol=1e-3)
        ids = [query["id"] for query in bench.active["queries"]]
        expected = np.array([0, *ids], np.uint8)[found.labels(cut)]
        shown = bench.array(bench.next_of(labels))
    assert set(np.unique(shown)) == {0, *ids} == set(np.unique(expected))
    assert (shown == expected).mean() > 0.99
