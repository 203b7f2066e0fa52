# SPDX-License-Identifier: Apache-2.0
"""The ZegCLIP authors' checkpoints: there and back, the text tower in them, and what is refused."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from transformers import CLIPConfig, CLIPModel

from clipseg_ros import engines
from clipseg_ros.__main__ import main
from clipseg_ros.models import weights, zegclip
from clipseg_ros.models.hub import WeightsError
from clipseg_ros.models.zegclip import ZegCLIP, ZegCLIPNetwork
from clipseg_ros.models.zegclip_checkpoint import DEEP, FIRST, PROMPTS, join, source_of
from clipseg_ros.segmentation import Prompt

GOLDEN = Path(__file__).parents[1] / "golden" / "zegclip"
Tensors = dict[str, torch.Tensor]


@pytest.fixture(scope="module")
def clip_folder(zegclip_clip: CLIPModel, tiny_weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clip")
    zegclip_clip.save_pretrained(folder)
    for name in ("vocab.json", "merges.txt", "tokenizer_config.json"):
        shutil.copy(tiny_weights / name, folder)
    return folder


def test_every_tensor_goes_there_and_back(zegclip_network: ZegCLIPNetwork, zegclip_authors: Tensors) -> None:
    back: Tensors = {}
    stacks: dict[str, dict[int, torch.Tensor]] = {}
    for name, tensor in zegclip_network.state_dict().items():
        source = source_of(name, last=2)
        if source.third is None:
            back[source.name] = tensor.T if source.turned else tensor
        else:
            stacks.setdefault(source.name, {})[source.third] = tensor
    back |= {name: torch.cat([parts[0], parts[1], parts[2]]) for name, parts in stacks.items()}
    back[FIRST], back[DEEP] = back[PROMPTS][:1], back[PROMPTS][1:]
    live = {name for name in zegclip_authors if not dead(name)}
    assert live == {name for name in back if name.startswith(("backbone.", "decode_head."))} - {PROMPTS}
    assert all(torch.equal(back[name], zegclip_authors[name]) for name in live)


def dead(name: str) -> bool:
    """What the authors' code never reads, of a decoder of three layers."""
    never = (".self_attn.", ".norm1.", "loss_decode")
    last = (".layers.2.norm", ".layers.2.linear", ".layers.2.multihead_attn.v", ".layers.2.multihead_attn.proj")
    return name.startswith("decode_head.") and any(part in name for part in never + last)


def test_a_text_tower_in_the_checkpoint_is_taken(zegclip_authors: Tensors, zegclip_clip: CLIPModel) -> None:
    texts = load_file(GOLDEN / "clip_text_tiny_weights.safetensors")
    config = zegclip_clip.config.to_dict()
    config["text_config"] = {**config["text_config"], "vocab_size": 60, "bos_token_id": 58, "eos_token_id": 59}
    clip = CLIPModel(CLIPConfig(**config))
    model = ZegCLIP(join({**zegclip_authors, **{f"text_encoder.{n}": t for n, t in texts.items()}}, clip, heads=2))
    golden = np.load(GOLDEN / "clip_text_tiny.npz")
    ids = torch.from_numpy(golden["tokens"])
    found = model.embed_text(ids, ids.argmax(dim=1) + 1)
    np.testing.assert_allclose(found.detach().numpy(), golden["features_normalised"], atol=1e-5)


def test_a_training_checkpoint_becomes_a_folder_that_the_engine_opens(
    clip_folder: Path, zegclip_authors: Tensors, zegclip_clip: CLIPModel, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    saved = {f"module.{name}": tensor for name, tensor in zegclip_authors.items()}
    checkpoint = {"meta": {"iter": 20000, "CLASSES": ("sky",)}, "state_dict": saved, "optimizer": {"state": {}}}
    torch.save(checkpoint, tmp_path / "zegclip.pth")
    out = tmp_path / "out"
    assert main(["convert", str(tmp_path / "zegclip.pth"), "--clip", str(clip_folder), "--out", str(out)]) == 0
    assert f"segment PICTURE --engine zegclip --weights {out}" in capsys.readouterr().out
    expected = join(zegclip_authors, zegclip_clip).state_dict()
    loaded = zegclip.load(out, torch.float32).state_dict()
    assert loaded.keys() == expected.keys() and all(torch.equal(loaded[name], expected[name]) for name in loaded)
    form = weights.read_input_format(out)
    assert form.side == 32 and form.mean.tolist() == np.float32([0.485, 0.456, 0.406]).tolist()
    found = engines.create("zegclip", str(out), device="cpu").segment(np.zeros((20, 30, 3), np.uint8), [Prompt("cup")])
    assert found.scores.shape == (1, 20, 30)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"backbone.prompt_embeddings": None}, "no checkpoint of ZegCLIP: backbone.prompt_embeddings is missing"),
        (
            {"decode_head.decoder_1.layers.1.norm2.bias": None, "backbone.proj": None},
            r"lacks 2 tensors: backbone.proj, decode_head.decoder_1.layers.1.norm2.bias; is it whole",
        ),
        (
            {"backbone.ln_post.bias": torch.zeros(48)},
            r"backbone.ln_post.bias gives clip.vision_model.post_layernorm.bias the shape \[48\], expected \[32\]",
        ),
    ],
)
def test_a_checkpoint_that_does_not_fit_is_refused(
    zegclip_authors: Tensors, zegclip_clip: CLIPModel, changes: dict[str, torch.Tensor | None], message: str
) -> None:
    changed = {name: tensor for name, tensor in {**zegclip_authors, **changes}.items() if tensor is not None}
    with pytest.raises(WeightsError, match=message):
        join(changed, zegclip_clip, heads=2)


def test_tensors_without_a_place_are_told_and_dead_ones_are_not(
    zegclip_authors: Tensors, zegclip_clip: CLIPModel, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        join(zegclip_authors, zegclip_clip, heads=2)
        assert not caplog.records
        join({**zegclip_authors, "neck.weight": torch.zeros(1)}, zegclip_clip, heads=2)
    assert "1 tensors unused, such as neck.weight" in caplog.text


def test_what_convert_cannot_use_is_refused(
    clip_folder: Path, zegclip_authors: Tensors, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, out = tmp_path / "file.pth", tmp_path / "out"
    command = ["convert", str(path), "--clip", str(clip_folder), "--out", str(out)]
    torch.save(zegclip_authors, path)
    assert main([*command, "--extract-layers", "1"]) == 1
    assert "--extract-layers is CLIPSeg's" in capsys.readouterr().err
    torch.save({"state_dict": zegclip_authors, "meta": Path("an object")}, path)
    assert main(command) == 1
    assert "of a training's checkpoint, save the state_dict alone" in capsys.readouterr().err
    assert not out.exists()
