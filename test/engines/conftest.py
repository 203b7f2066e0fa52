# SPDX-License-Identifier: Apache-2.0
"""A small weights folder for every engine."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn
from torch.nn.modules.module import register_module_forward_pre_hook
from transformers import CLIPConfig, CLIPModel

from clipseg_ros.models import ovseg, ovseg_checkpoint, weights, zegclip
from clipseg_ros.models.maskformer import ProposalShape
from clipseg_ros.models.ovseg import OVSegShape
from clipseg_ros.models.zegclip import Shape
from clipseg_ros.tools import convert_weights
from clipseg_ros.training import decoders
from clipseg_ros.training.decoders import Architecture


@pytest.fixture(scope="session")
def tiny_engines(tiny_weights: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Folders by engine: the golden CLIPSeg, whose CLIP engine car takes, and the others with a random decoder."""
    tiny = {"clip": str(tiny_weights), "backbone": str(tiny_weights), "reduce_dim": 16, "hidden": 32}
    folders = {"clipseg": tiny_weights, "car": tiny_weights}
    for name, layers in (("clip-deconv", (9,)), ("vitseg", (3, 7, 9))):
        student = decoders.build(Architecture(name, extract_layers=layers, **tiny), seed=0)
        with torch.no_grad():
            for weight in student.learned.parameters():
                weight.mul_(2.0)  # louder, so that prompts and colours can be told apart
        folders[name] = tmp_path_factory.mktemp(name)
        decoders.save(student, folders[name], threshold=0.3)
    folders["zegclip"] = tmp_path_factory.mktemp("zegclip")
    _write_zegclip(tiny_weights, folders["zegclip"])
    folders["ovseg"] = tmp_path_factory.mktemp("ovseg")
    _write_ovseg(tiny_weights, folders["ovseg"])
    return folders


@pytest.fixture(scope="session")
def golden_ovseg(tiny_weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the golden OVSeg, with the texts of the golden CLIPSeg."""
    text = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    vision = {"hidden_size": 32, "intermediate_size": 128, "num_hidden_layers": 5, "num_attention_heads": 4}
    clip = CLIPModel(CLIPConfig(
        text_config={**text, "vocab_size": 529, "bos_token_id": 527, "eos_token_id": 528},
        vision_config={**vision, "patch_size": 32, "image_size": 224}, projection_dim=16,
    ))
    tensors = load_file(tiny_weights.parents[1] / "ovseg" / "ovseg_tiny_weights.safetensors")
    folder = tmp_path_factory.mktemp("golden_ovseg")
    authors = {name: tensor.float() for name, tensor in tensors.items()}
    ovseg.save(ovseg_checkpoint.join(authors, clip, heads=4), folder, tiny_weights)
    return folder


@pytest.fixture
def counts() -> Iterator[Counter[str]]:
    """How often a module of each class runs."""
    counter: Counter[str] = Counter()

    def count(module: nn.Module, _: object) -> None:
        counter[type(module).__name__] += 1

    handle = register_module_forward_pre_hook(count)
    yield counter
    handle.remove()


def _write_zegclip(tiny_weights: Path, folder: Path) -> None:
    clip = weights.load_clipseg(tiny_weights, torch.float32).clip
    torch.manual_seed(0)
    network = zegclip.on_clip(clip, Shape(prompts=3, heads=4, hidden=32, side=96))
    with torch.no_grad():
        for weight in network.decoder.parameters():
            weight.mul_(3.0)
    convert_weights.write(network, 96, tiny_weights, folder)


def _write_ovseg(tiny_weights: Path, folder: Path) -> None:
    clip = weights.load_clipseg(tiny_weights, torch.float32).clip
    torch.manual_seed(0)
    proposals = ProposalShape(
        width=16, depths=(1, 1, 1, 1), heads=(1, 2, 4, 8), window=4, features=32, decoder_width=32, decoder_layers=2,
        decoder_heads=4, decoder_hidden=48, queries=12, vector_hidden=24,
    )
    network = ovseg.on_clip(clip, OVSegShape(proposals, class_names=("cup", "wall", "floor")))
    proposer = network.proposer
    with torch.no_grad():  # masks of half a picture that differ, and texts that are near to each other
        planes = proposer.mask_features(proposer.features(torch.randn(1, 3, 96, 128)))
        proposer.pixel_decoder.mask_projection.bias.sub_(planes.mean(dim=(0, 2, 3)))
        proposer.mask_embed[4].weight.mul_(10.0)
        proposer.decoder.queries.weight.mul_(3.0)
        network.clip.text_model.final_layer_norm.bias.add_(20.0)
    ovseg.save(network, folder, tiny_weights)
