# SPDX-License-Identifier: Apache-2.0
"""The recipes of OVSeg: their numbers, and each stage on a miniature of COCO-Stuff, from a CLIP to the engine."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import SwinConfig, SwinModel

from clipseg_ros import engines
from clipseg_ros.models import ovseg
from clipseg_ros.models.hub import WeightsError
from clipseg_ros.models.maskformer import ProposalNetwork, ProposalShape
from clipseg_ros.segmentation import Prompt
from clipseg_ros.training import log, ovseg_train
from clipseg_ros.training.ovseg_nouns import Nouns
from clipseg_ros.training.ovseg_pair_folder import read_rows
from clipseg_ros.training.ovseg_pictures import Cropping
from clipseg_ros.training.ovseg_recipes import CLIP_NO_DECAY, NO_DECAY, RECIPES, CutOutRecipe, ProposalRecipe

SHAPE = ProposalShape(
    width=8, depths=(1, 1, 1, 1), heads=(1, 1, 1, 1), window=4, features=32, decoder_width=16, decoder_layers=2,
    decoder_heads=2, decoder_hidden=16, queries=5, vector_hidden=8,
)


@pytest.fixture(scope="module")
def coco(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two pictures: a person (raw value 0) on the left, wood (181) on the right; two captions each."""
    root = tmp_path_factory.mktemp("coco")
    for part in ("images", "annotations"):
        (root / part / "train2017").mkdir(parents=True)
    values = np.full((40, 60), 255, np.uint8)
    values[:, :20], values[:, 40:] = 0, 181
    captions = []
    for number in (1, 2):
        image = np.random.default_rng(number).integers(0, 255, (40, 60, 3), np.uint8)
        Image.fromarray(image).save(root / "images" / "train2017" / f"{number:012d}.jpg")
        Image.fromarray(values).save(root / "annotations" / "train2017" / f"{number:012d}.png")
        captions += [{"image_id": number, "id": n, "caption": text} for n, text in enumerate(("a cup", "a jar"))]
    (root / ovseg_train.CAPTIONS).write_text(json.dumps({"annotations": captions}))
    return root


@pytest.fixture(scope="module")
def proposals(coco: Path, tiny_weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights after two steps of the first stage."""
    return ovseg_train.train(small("ovseg-swinb", tiny_weights), coco, tmp_path_factory.mktemp("proposals"), "cpu")


def small(name: str, clip: Path, steps: int = 2) -> ProposalRecipe | CutOutRecipe:
    recipe = replace(RECIPES[name], clip=str(clip), batch=2)
    recipe = replace(recipe, schedule=replace(recipe.schedule, steps=steps))
    if isinstance(recipe, CutOutRecipe):
        return recipe
    shape = SHAPE if recipe.shape.backbone == "swin" else replace(SHAPE, backbone="resnet_c")
    return replace(recipe, shape=shape, cropping=Cropping(64, (32, 64), 128), backbone="")


def found_by(folder: Path) -> np.ndarray:
    engine = engines.create("ovseg", str(folder), "cpu", side=64, speed="reference", select="all")
    return engine.segment(np.zeros((40, 60, 3), np.uint8), [Prompt("red cup"), Prompt("a jar")]).scores


def test_the_engine_loads_proposals_that_learned(proposals: Path) -> None:
    network = ovseg.load(proposals, torch.float32)
    assert network.config.class_names[0] == "person" and len(network.config.class_names) == 171
    scores = found_by(proposals)
    assert scores.shape == (2, 40, 60) and np.isfinite(scores).all()
    assert len(log.read(proposals.parent / "log.csv")) == 2 and (proposals.parent / "curves.png").is_file()


def test_the_first_stages_of_a_resnet_stay_as_they_are(coco: Path, tiny_weights: Path, tmp_path: Path) -> None:
    recipe = small("ovseg-r101c", tiny_weights, 1)
    network = ovseg.load(ovseg_train.train(recipe, coco, tmp_path, "cpu"), torch.float32)
    torch.manual_seed(recipe.schedule.seed)
    before = ovseg_train.start(recipe.clip, ovseg.OVSegShape(recipe.shape, 0))[0].proposer.state_dict()
    changed = {name for name, weight in network.proposer.state_dict().items() if not torch.equal(weight, before[name])}
    assert not any(re.search(recipe.frozen, name) for name in changed)
    assert any(name.startswith("backbone.stages.1.") for name in changed)


@pytest.mark.parametrize(("row", "title"), [("1", ["person", "wood"]), ("2", ["cup"]), ("4", ["cup", "jar"])])
def test_pairs_are_mined_from_the_folder_of_the_first_stage(
    coco: Path, proposals: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, row: str, title: list[str]
) -> None:
    # The last word stands in for the nouns, whose library and data are the user's.
    monkeypatch.setattr(Nouns, "__init__", lambda self, data: None)
    monkeypatch.setattr(Nouns, "__call__", lambda self, caption: (caption.split()[-1],))
    recipe = replace(RECIPES[f"ovseg-pairs-{row}"], clip=str(proposals), threshold=0.01, side=64)
    assert ovseg_train.train(recipe, coco, tmp_path / "pairs", "cpu") == tmp_path / "pairs"
    assert [word for _, word in read_rows(tmp_path / "pairs")] == [*title, *title]


def test_clip_then_prompts_learn_pairs_and_the_engine_loads_both(coco: Path, proposals: Path, tmp_path: Path) -> None:
    pairs = ovseg_train.train(
        replace(RECIPES["ovseg-pairs-1"], clip=str(proposals)), coco, tmp_path / "pairs", "cpu"
    )
    clip = ovseg_train.train(small("ovseg-clip-l", proposals), pairs, tmp_path / "clip", "cpu")
    prompts = ovseg_train.train(small("ovseg-prompts-l", clip), pairs, tmp_path / "prompts", "cpu")
    first, second, third = (ovseg.load(folder, torch.float32) for folder in (proposals, clip, prompts))
    assert first.mask_prompts is None and second.mask_prompts is None and third.mask_prompts.tokens.shape[0] == 3
    for name, weight in first.proposer.state_dict().items():
        assert torch.equal(weight, third.proposer.state_dict()[name]), name
    tower = "vision_model.encoder.layers.0.mlp.fc1.weight"
    weights = [network.clip.state_dict()[tower] for network in (first, second, third)]
    assert not torch.equal(weights[0], weights[1]) and torch.equal(weights[1], weights[2])
    assert np.isfinite(found_by(prompts)).all()


def test_epochs_make_the_steps_and_both_learn_at_once(coco: Path, proposals: Path, tmp_path: Path) -> None:
    pairs = ovseg_train.train(replace(RECIPES["ovseg-pairs-1"], clip=str(proposals)), coco, tmp_path / "pairs", "cpu")
    recipe = replace(small("ovseg-joint-l", proposals, 0), epochs=1)
    folder = ovseg_train.train(recipe, pairs, tmp_path / "joint", "cpu")
    assert len(log.read(tmp_path / "joint" / "log.csv")) == 2  # four pairs, two a step
    with pytest.raises(ValueError, match="recipe.txt: another recipe's folder; train ovseg-clip-l into an empty one"):
        ovseg_train.train(small("ovseg-clip-l", proposals), pairs, tmp_path / "joint", "cpu")
    network = ovseg.load(folder, torch.float32)
    assert network.clip.logit_scale <= np.log(100.0) and network.mask_prompts is not None


def test_proposals_are_asked_of_an_ovseg_that_has_some(coco: Path, tiny_weights: Path, tmp_path: Path) -> None:
    network, folder = ovseg_train.start(str(tiny_weights), ovseg.OVSegShape(None, 0))
    ovseg.save(network, tmp_path / "bare", folder)
    recipe = replace(RECIPES["ovseg-pairs-3"], clip=str(tmp_path / "bare"))
    with pytest.raises(WeightsError, match="a CLIP without proposals; name the folder of ovseg-swinb or ovseg-r101c"):
        ovseg_train.train(recipe, coco, tmp_path / "pairs", "cpu")


def test_a_backbone_starts_from_a_swin_of_its_size_alone(tmp_path: Path) -> None:
    sizes = {"embed_dim": 8, "depths": [1, 1, 1, 1], "num_heads": [1, 1, 1, 1]}
    torch.manual_seed(1)
    swin = SwinModel(SwinConfig(**sizes, window_size=7))  # of another window, whose tables stay fresh
    swin.save_pretrained(tmp_path)
    network = ProposalNetwork(replace(SHAPE, vector_size=8))
    ovseg_train.load_swin(network, tmp_path)
    block = network.backbone.model.encoder.layers[2].blocks[0]
    theirs = swin.encoder.layers[2].blocks[0]
    assert torch.equal(block.attention.self.query.weight, theirs.attention.q_proj.weight)
    assert torch.equal(block.output.dense.weight, theirs.mlp.fc2.weight)
    wide = ProposalNetwork(replace(SHAPE, vector_size=8, width=16))
    with pytest.raises(WeightsError, match="no Swin of this size: .* is missing or of another shape"):
        ovseg_train.load_swin(wide, tmp_path)


def test_the_numbers_are_the_published_ones() -> None:
    swin, resnet, clip, prompts = (
        RECIPES[name].schedule for name in ("ovseg-swinb", "ovseg-r101c", "ovseg-clip-l", "ovseg-prompts-l")
    )
    assert (swin.steps, swin.learning_rate, swin.weight_decay) == (120_000, 6e-5, 0.01)
    assert (swin.clip, swin.warm_up, swin.power) == (0.01, 1500, 0.9)
    assert (resnet.learning_rate, resnet.weight_decay, resnet.groups[0][1]) == (2e-4, 1e-4, 0.1)
    assert (clip.learning_rate, clip.weight_decay) == (5e-6, 0.2)
    assert (clip.beta2, clip.epsilon, clip.warm_up) == (0.98, 1e-6, 100)
    assert (prompts.learning_rate, prompts.weight_decay) == (5e-2, 0.0)
    assert {RECIPES[f"ovseg-clip-{model}"].batch for model in "lb"} == {128, 512}
    assert RECIPES["ovseg-swinb"].cropping.sides[0] == 320 and RECIPES["ovseg-r101c"].cropping.sides[-1] == 1024
    assert (RECIPES["ovseg-swinb"].batch, RECIPES["ovseg-clip-l"].epochs) == (32, 5)


def test_what_does_not_decay_is_norms_queries_and_tables() -> None:
    network = ProposalNetwork(replace(SHAPE, vector_size=8))
    still = {name for name, _ in network.named_parameters() if re.search(NO_DECAY, name)}
    assert "decoder.queries.weight" in still and "pixel_decoder.fpn.layers.1.block.1.weight" in still
    assert not any(name.endswith("block.0.weight") or "query.weight" in name or "no_object" in name for name in still)
    assert re.search(CLIP_NO_DECAY, "vision.pre_layrnorm.weight") and not re.search(CLIP_NO_DECAY, "projection.weight")
