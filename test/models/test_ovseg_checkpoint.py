# SPDX-License-Identifier: Apache-2.0
"""The OVSeg authors' checkpoints: there and back, old names, both backbones, the CLIP alone, and what is refused."""

from __future__ import annotations

import logging
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from transformers import CLIPModel

from clipseg_ros.__main__ import main
from clipseg_ros.models import ovseg, weights
from clipseg_ros.models.hub import WeightsError
from clipseg_ros.models.maskformer import ProposalShape
from clipseg_ros.models.ovseg import OVSegNetwork, OVSegShape, on_clip
from clipseg_ros.models.ovseg_checkpoint import CLIP, DROPPED, is_checkpoint, join, source_of

Tensors = dict[str, torch.Tensor]
SHAPE = ProposalShape(
    width=16, depths=(1, 1, 2, 1), heads=(1, 2, 4, 8), window=4, features=32, decoder_width=32, decoder_layers=2,
    decoder_heads=8, decoder_hidden=48, queries=5, vector_hidden=24, vector_size=16,
)


@pytest.fixture(scope="module")
def clip_folder(ovseg_clip: CLIPModel, tiny_weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clip")
    ovseg_clip.save_pretrained(folder)
    for name in ("vocab.json", "merges.txt", "tokenizer_config.json"):
        shutil.copy(tiny_weights / name, folder)
    return folder


def authors_of(network: OVSegNetwork) -> Tensors:
    """Our tensors under the authors' names."""
    back: Tensors = {}
    stacks: dict[str, dict[int, torch.Tensor]] = {}
    for name, tensor in network.state_dict().items():
        source = source_of(name)
        if source.third is None:
            back[source.name] = tensor.T if source.turned else tensor
        else:
            stacks.setdefault(source.name, {})[source.third] = tensor
    return back | {name: torch.cat([parts[0], parts[1], parts[2]]) for name, parts in stacks.items()}


def same(found: OVSegNetwork, expected: OVSegNetwork) -> bool:
    tensors = expected.state_dict()
    every = found.state_dict()
    return every.keys() == tensors.keys() and all(torch.equal(every[name], tensors[name]) for name in tensors)


def test_every_tensor_goes_there_and_back(ovseg_network: OVSegNetwork, ovseg_authors: Tensors) -> None:
    back = authors_of(ovseg_network)
    live = {name for name in ovseg_authors if not DROPPED.fullmatch(name)}
    assert live == {name for name in back if name in ovseg_authors and not DROPPED.fullmatch(name)}
    assert all(torch.equal(back[name], ovseg_authors[name]) for name in live)


@pytest.mark.parametrize("backbone", ["swin", "resnet_c"])
def test_sizes_are_read_from_the_tensors(ovseg_clip: CLIPModel, backbone: str) -> None:
    shape = replace(SHAPE, backbone=backbone)
    made = on_clip(ovseg_clip, OVSegShape(shape, prompt_depth=2))
    found = join(authors_of(made), ovseg_clip)
    assert same(found, made)
    if backbone == "swin":
        assert ProposalShape(**found.config.proposals) == shape
    assert found.config.proposals["depths"] in ((1, 1, 2, 1), [1, 1, 2, 1])


def test_names_of_a_resnet_are_detectron2s(ovseg_clip: CLIPModel) -> None:
    made = authors_of(on_clip(ovseg_clip, OVSegShape(replace(SHAPE, backbone="resnet_c"))))
    for name in (
        "backbone.stem.conv1.weight", "backbone.stem.conv3.norm.running_var", "backbone.res2.0.shortcut.weight",
        "backbone.res4.1.conv2.norm.bias", "backbone.res5.0.conv3.weight",
    ):
        assert name in made
    assert not any("stages" in name for name in made)


def test_a_text_tower_in_the_checkpoint_is_taken_and_else_the_clips(
    ovseg_authors: Tensors, ovseg_clip: CLIPModel
) -> None:
    network = join(ovseg_authors, ovseg_clip)
    own = authors_of(network)
    assert torch.equal(network.clip.text_projection.weight, ovseg_clip.text_projection.weight)
    doubled = {name: 2.0 * tensor for name, tensor in own.items() if name.startswith(CLIP)}
    found = join({**own, **doubled}, ovseg_clip)
    table = "text_model.embeddings.token_embedding.weight"
    assert torch.equal(found.clip.state_dict()[table], 2.0 * ovseg_clip.state_dict()[table])
    assert torch.equal(found.clip.text_projection.weight, 2.0 * ovseg_clip.text_projection.weight)


def test_old_heads_get_the_level_of_their_pixel_decoder(
    ovseg_authors: Tensors, ovseg_clip: CLIPModel, ovseg_network: OVSegNetwork
) -> None:
    old = {name.replace("pixel_decoder.", ""): tensor for name, tensor in ovseg_authors.items()}
    assert old.keys() != ovseg_authors.keys() and same(join(old, ovseg_clip, heads=4), ovseg_network)


def test_a_clip_that_comes_alone_has_no_proposals(ovseg_clip: CLIPModel) -> None:
    made = authors_of(on_clip(ovseg_clip, OVSegShape(None, prompt_depth=0)))
    alone = {name.removeprefix(CLIP): tensor for name, tensor in made.items()}
    found = join(alone, ovseg_clip)
    assert is_checkpoint(alone) and found.proposer is None and found.mask_prompts is None
    assert all(torch.equal(t, found.clip.state_dict()[n]) for n, t in ovseg_clip.state_dict().items())


def test_what_is_saved_is_loaded(ovseg_network: OVSegNetwork, tiny_weights: Path, tmp_path: Path) -> None:
    ovseg.save(ovseg_network, tmp_path, tiny_weights)
    loaded = ovseg.load(tmp_path, torch.float32)
    assert same(loaded, ovseg_network) and not loaded.training
    pixels = torch.randn(1, 3, 64, 64)
    found, expected = (network.proposer(pixels).last.mask_logits for network in (loaded, ovseg_network))
    torch.testing.assert_close(found, expected, rtol=0, atol=0)
    form = weights.read_input_format(tmp_path)
    assert form.side == 224 and abs(form.mean[0] - 0.48145466) < 1e-7 and abs(form.std[2] - 0.27577711) < 1e-7


def test_other_models_are_refused(tiny_weights: Path) -> None:
    with pytest.raises(WeightsError, match="model_type 'clipseg'; expected ovseg"):
        ovseg.load(tiny_weights, torch.float32)


def test_a_detectron2_file_becomes_a_folder(
    clip_folder: Path, ovseg_authors: Tensors, ovseg_clip: CLIPModel, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    torch.save({"model": ovseg_authors, "iteration": 119999, "optimizer": {"state": {}}}, tmp_path / "model.pth")
    out = tmp_path / "out"
    command = ["convert", str(tmp_path / "model.pth"), "--clip", str(clip_folder), "--out", str(out)]
    assert main([*command, "--extract-layers", "1"]) == 1
    assert "--extract-layers is CLIPSeg's" in capsys.readouterr().err and not out.exists()
    assert main(command) == 0
    assert f"segment PICTURE --engine ovseg --weights {out}" in capsys.readouterr().out
    loaded = ovseg.load(out, torch.float32)
    assert same(loaded, join(ovseg_authors, ovseg_clip))
    assert len(loaded.config.class_names) == 171 and loaded.config.class_names[80] == "banner"


def test_the_file_of_a_clip_alone_becomes_a_folder_for_sam(
    clip_folder: Path, ovseg_clip: CLIPModel, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = authors_of(on_clip(ovseg_clip, OVSegShape(None, prompt_depth=0)))
    torch.save({name.removeprefix(CLIP): tensor for name, tensor in made.items()}, tmp_path / "clip.pth")
    out = tmp_path / "out"
    assert main(["convert", str(tmp_path / "clip.pth"), "--clip", str(clip_folder), "--out", str(out)]) == 0
    assert f"--weights {out} --option proposer=sam --option sam_weights=" in capsys.readouterr().out
    loaded = ovseg.load(out, torch.float32)
    assert loaded.proposer is None
    assert all(torch.equal(t, loaded.clip.state_dict()[n]) for n, t in ovseg_clip.state_dict().items())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sem_seg_head.predictor.query_embed.weight": None}, "no checkpoint of OVSeg: .*query_embed.weight is missing"),
        ({"clip_adapter.non_object_embedding": None}, "clip_adapter.non_object_embedding is missing"),
        ({"backbone.norm3.bias": None}, "no checkpoint of OVSeg: backbone.norm3.bias is missing"),
        ({"backbone.patch_embed.proj.weight": None}, "its backbone is neither a Swin nor a ResNet with a deep stem"),
        (
            {"clip_adapter.clip_model.visual.ln_post.bias": torch.zeros(48)},
            r"visual.ln_post.bias gives clip.vision_model.post_layernorm.bias the shape \[48\], expected \[32\]; is the",
        ),
    ],
)
def test_a_checkpoint_that_does_not_fit_is_refused(
    ovseg_authors: Tensors, ovseg_clip: CLIPModel, changes: dict[str, torch.Tensor | None], message: str
) -> None:
    changed = {name: tensor for name, tensor in {**ovseg_authors, **changes}.items() if tensor is not None}
    with pytest.raises(WeightsError, match=message):
        join(changed, ovseg_clip)


def test_tensors_without_a_place_are_told_and_dead_ones_are_not(
    ovseg_authors: Tensors, ovseg_clip: CLIPModel, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        join({**ovseg_authors, "clip_adapter.pixel_mean": torch.zeros(1, 3, 1, 1)}, ovseg_clip)
        assert not caplog.records
        join({**ovseg_authors, "neck.weight": torch.zeros(1)}, ovseg_clip)
    assert "1 tensors unused, such as neck.weight" in caplog.text
