# SPDX-License-Identifier: Apache-2.0
"""The CLIPSeg authors' decoder files: there and back, and what is refused."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn
from transformers import CLIPConfig, CLIPModel

from clipseg_ros.__main__ import main
from clipseg_ros.models import weights
from clipseg_ros.models.clipseg import CLIPSeg
from clipseg_ros.models.clipseg_checkpoint import decoder_names, join
from clipseg_ros.models.hub import WeightsError

Tensors = dict[str, torch.Tensor]


def authors_names(tensors: Tensors) -> Tensors:
    """The decoder of a CLIPSeg of transformers as the authors would have saved it."""
    decoder = {name.removeprefix("decoder."): value for name, value in tensors.items() if name.startswith("decoder.")}
    saved = {
        "reduce.weight": torch.zeros(16, 24),
        "reduce.bias": torch.zeros(16),
        "model.class_embedding": torch.zeros(24),
    }
    for name, value in decoder.items():
        name = (
            name.replace("transposed_convolution", "trans_conv")
            .replace("layer_norm", "norm")
            .replace("mlp.fc", "linear")
        )
        name = re.sub(r"^layers", "blocks", name)
        if ".q_proj." in name:
            key, what = name.split(".q_proj.")
            rows = [decoder[f"layers.{name.split('.')[1]}.self_attn.{part}_proj.{what}"] for part in "qkv"]
            saved[f"{key}.in_proj_{what}"] = torch.cat(rows)
        elif ".k_proj." not in name and ".v_proj." not in name:
            saved[name] = value
    return saved


@pytest.fixture(scope="module")
def authors(tiny_weights: Path) -> Tensors:
    return authors_names(load_file(tiny_weights / "model.safetensors"))


@pytest.fixture(scope="module")
def clip_folder(tiny_weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The golden network's CLIP in transformers' format, with the tokenizer."""
    folder = tmp_path_factory.mktemp("clip")
    network = weights.load_clipseg(tiny_weights, torch.float32)
    config = network.config
    clip = CLIPModel(
        CLIPConfig(
            text_config={**config.text_config.to_dict(), "model_type": "clip_text_model"},
            vision_config={**config.vision_config.to_dict(), "model_type": "clip_vision_model"},
            projection_dim=config.projection_dim,
        )
    )
    clip.load_state_dict(network.clip.state_dict())
    clip.save_pretrained(folder)
    for name in ("vocab.json", "merges.txt", "tokenizer_config.json"):
        shutil.copy(tiny_weights / name, folder)
    return folder


@pytest.fixture(scope="module")
def clip(clip_folder: Path) -> CLIPModel:
    return weights.load_network(CLIPModel, "clip", clip_folder, torch.float32)


def logits(folder: Path) -> torch.Tensor:
    """Of a fixed picture and two texts."""
    model = CLIPSeg(weights.load_clipseg(folder, torch.float32))
    words = weights.read_text_format(folder, 77)(["red cup", "the dog"])
    pixels = torch.linspace(-1, 1, 3 * 96 * 96).reshape(1, 3, 96, 96).sin()
    with torch.inference_mode():
        return model.decode(model.encode_image(pixels), model.embed_text(*words))


def test_there_and_back_keeps_the_logits(
    tiny_weights: Path, clip_folder: Path, authors: Tensors, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.save(authors, tmp_path / "rd64-uni-refined.pth")
    out = tmp_path / "out"
    assert main(["convert", str(tmp_path / "rd64-uni-refined.pth"), "--clip", str(clip_folder), "--out", str(out)]) == 0
    assert f"python -m clipseg_ros check {out}" in capsys.readouterr().out
    torch.testing.assert_close(logits(out), logits(tiny_weights), rtol=0, atol=0)
    form, published = weights.read_input_format(out), weights.read_input_format(tiny_weights)
    assert form.side == 352 and (form.mean == published.mean).all() and (form.std == published.std).all()


def test_the_layers_read_are_written_down(clip: CLIPModel, authors: Tensors) -> None:
    assert CLIPSeg(join(authors, clip, [3, 7, 9])).extract_layers == (3, 7, 9)


def test_the_plain_head_converts_too(clip: CLIPModel, authors: Tensors) -> None:
    plain = {name: value for name, value in authors.items() if not name.startswith("trans_conv")}
    plain |= {"trans_conv.weight": torch.ones(16, 1, 16, 16), "trans_conv.bias": torch.full((1,), 3.0)}
    network = join(plain, clip, [3, 6, 9])
    assert network.decoder.transposed_convolution.bias.item() == 3.0


def test_attention_is_split_into_query_key_and_value() -> None:
    names = decoder_names({"blocks.2.self_attn.in_proj_bias": torch.arange(6)})
    assert {name: value.tolist() for name, value in names.items()} == {
        "layers.2.self_attn.q_proj.bias": [0, 1],
        "layers.2.self_attn.k_proj.bias": [2, 3],
        "layers.2.self_attn.v_proj.bias": [4, 5],
    }


@pytest.mark.parametrize(
    ("changes", "layers", "message"),
    [
        ({"film_mul.weight": None}, [3, 6, 9], "no decoder of CLIPSeg: film_mul.weight .* is missing"),
        ({"blocks.0.linear1.weight": None}, [3, 6, 9], "no decoder of CLIPSeg: layers.0.mlp.fc1.weight"),
        ({"blocks.1.norm2.bias": None}, [3, 6, 9], "decoder: layers.1.layer_norm2.bias is missing"),
        ({"extra_blocks.0.norm1.bias": torch.zeros(16)}, [3, 6, 9], "tensor 'extra_blocks.0.norm1.bias': no name of"),
        ({"film_add.bias": torch.zeros(8)}, [3, 6, 9], r"decoder: film_add.bias is of shape \[8\], expected \[16\]"),
        ({}, [3, 6], "decoder: layers.2.* is one too many; are there as many extract_layers"),
    ],
)
def test_a_decoder_that_does_not_fit_is_refused(
    clip: CLIPModel, authors: Tensors, changes: dict[str, torch.Tensor | None], layers: list[int], message: str
) -> None:
    changed = {name: value for name, value in {**authors, **changes}.items() if value is not None}
    with pytest.raises(WeightsError, match=message):
        join(changed, clip, layers)


def convert(decoder: Path, clip_folder: Path, out: Path, *more: str) -> int:
    return main(["convert", str(decoder), "--clip", str(clip_folder), "--out", str(out), *more])


def test_what_is_no_file_of_tensors_is_refused(
    clip_folder: Path, tiny_weights: Path, authors: Tensors, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    decoder, out = tmp_path / "decoder.pth", tmp_path / "out"
    decoder.write_text("nothing")
    assert convert(decoder, clip_folder, out) == 1
    assert f"error: {decoder}: no file of tensors" in capsys.readouterr().err
    torch.save([1, 2], decoder)
    assert convert(decoder, clip_folder, out) == 1
    assert f"error: {decoder}: holds a list; expected a dictionary of tensors" in capsys.readouterr().err
    assert convert(tmp_path / "none.pth", clip_folder, out) == 1
    assert "none.pth" in capsys.readouterr().err
    torch.save(authors, decoder)
    assert convert(decoder, tiny_weights, out) == 1
    assert "model_type 'clipseg'; expected clip" in capsys.readouterr().err
    assert convert(decoder, clip_folder, out, "--extract-layers", "3", "6", "12") == 1
    assert "extract_layers [3, 6, 12]" in capsys.readouterr().err
    assert not out.exists()
    assert convert(decoder, clip_folder, tmp_path) == 1
    assert f"error: {tmp_path}: not empty" in capsys.readouterr().err


def test_the_names_are_those_of_pytorchs_own_layers(authors: Tensors) -> None:
    """The authors build the decoder from these layers, so loading shows that the names above are theirs."""
    layer = nn.TransformerEncoderLayer(d_model=16, nhead=4, dim_feedforward=64)
    layer.load_state_dict(
        {n.removeprefix("blocks.1."): value for n, value in authors.items() if n.startswith("blocks.1.")}
    )
    head = nn.Sequential(
        nn.Conv2d(16, 16, 3), nn.ReLU(), nn.ConvTranspose2d(16, 8, 4, 4), nn.ReLU(), nn.ConvTranspose2d(8, 1, 4, 4)
    )
    head.load_state_dict({n.removeprefix("trans_conv."): v for n, v in authors.items() if n.startswith("trans_conv.")})
