# SPDX-License-Identifier: Apache-2.0
"""The node around engine ovseg, with random weights: what it sends is what the engine finds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from clipseg_ros import engines
from clipseg_ros.models import ovseg, weights
from clipseg_ros.models.maskformer import ProposalShape
from clipseg_ros.models.ovseg import OVSegShape
from clipseg_ros.segmentation import Prompt

PICTURE = np.random.default_rng(0).integers(0, 256, (6, 8, 3), np.uint8).repeat(8, 0).repeat(8, 1)
OPTIONS = {"side": 96, "templates": "plain", "select": "all"}


@pytest.fixture(scope="module")
def folder(tiny_weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    proposals = ProposalShape(
        width=16, depths=(1, 1, 1, 1), heads=(1, 2, 4, 8), window=4, features=32, decoder_width=32, decoder_layers=2,
        decoder_heads=4, decoder_hidden=48, queries=12, vector_hidden=24,
    )
    clip = weights.load_clipseg(tiny_weights, torch.float32).clip
    network = ovseg.on_clip(clip, OVSegShape(proposals, class_names=("cup", "wall")))
    with torch.no_grad():
        network.clip.text_model.final_layer_norm.bias.add_(20.0)  # no text is far from the others
    made = tmp_path_factory.mktemp("ovseg")
    ovseg.save(network, made, tiny_weights)
    return made


@pytest.fixture(scope="module")
def settings(folder: Path) -> dict[str, object]:
    words = "; ".join(f"{name}={value}" for name, value in OPTIONS.items())
    return {"engine": "ovseg", "weights": folder, "engine_options": words, "smoothing": 0.0}


def test_the_nodes_scores_are_the_engines(bench, folder: Path) -> None:
    bench.query("cat; dog", "cat", "dog")
    expected = engines.create("ovseg", str(folder), device="cpu", **OPTIONS).segment(
        PICTURE, [Prompt("cat"), Prompt("dog")]
    )
    with bench.camera(PICTURE), bench.listen("score") as scores:
        found = bench.array(bench.next_of(scores))
    np.testing.assert_allclose(found, expected.score, atol=1e-4)
    assert expected.score.max() > 0.1
    bench.query("horse")
