# SPDX-License-Identifier: Apache-2.0
"""The baselines as engines: what they share with CLIPSeg's engine and what they refuse."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from clipseg_ros import engines
from clipseg_ros.engines.baselines import ClipDeconvEngine, ViTSegEngine
from clipseg_ros.models import clip_deconv, vitseg, weights
from clipseg_ros.models.hub import WeightsError
from clipseg_ros.segmentation import Prompt, Support

BASELINES = {"clip-deconv": ClipDeconvEngine, "vitseg": ViTSegEngine}
IMAGE = np.random.default_rng(0).integers(0, 256, (96, 96, 3), np.uint8)


@pytest.mark.parametrize("name", BASELINES)
def test_each_name_gives_its_engine_and_its_threshold(name: str, tiny_engines: dict[str, Path]) -> None:
    engine = engines.create(name, str(tiny_engines[name]), "cpu", side=96)
    assert type(engine) is BASELINES[name] and engine.threshold == 0.3


@pytest.mark.parametrize("name", BASELINES)
def test_logits_are_the_models(name: str, tiny_engines: dict[str, Path]) -> None:
    folder = tiny_engines[name]
    model = {
        "clip-deconv": lambda: clip_deconv.CLIPDeconv(clip_deconv.load(folder, torch.float32)),
        "vitseg": lambda: vitseg.ViTSeg(vitseg.load(folder, torch.float32)),
    }[name]()
    with torch.inference_mode():
        vectors = model.embed_text(*weights.read_text_format(folder, 77)(["cup", "a red car"]))
        expected = model.decode(model.encode_image(weights.read_input_format(folder).normalise(IMAGE)), vectors)[0]
    engine = engines.create(name, str(folder), "cpu", side=96)
    np.testing.assert_allclose(engine.logits([IMAGE], [Prompt("cup"), Prompt("a red car")])[0], expected, atol=1e-5)


@pytest.mark.parametrize("name", BASELINES)
def test_supports_and_mixtures_are_prompts(name: str, tiny_engines: dict[str, Path]) -> None:
    support = Support(IMAGE[:, ::-1].copy(), np.arange(96) < np.full((96, 1), 40))
    prompts = [Prompt("cup"), Prompt(support=support), Prompt("cup", support, 0.5)]
    text, image, mixed = engines.create(name, str(tiny_engines[name]), "cpu", side=96).logits([IMAGE], prompts)[0]
    assert np.abs(text - image).max() > 1e-3 and np.abs(mixed - image).max() > 1e-3


@pytest.mark.parametrize("name", BASELINES)
def test_weights_of_another_model_are_refused(name: str, tiny_engines: dict[str, Path]) -> None:
    with pytest.raises(WeightsError, match=f"model_type 'clipseg'; expected {name}"):
        engines.create(name, str(tiny_engines["clipseg"]), "cpu")
    with pytest.raises(WeightsError, match=f"model_type '{name}'; expected clipseg"):
        engines.create("clipseg", str(tiny_engines[name]), "cpu")
