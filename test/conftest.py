# SPDX-License-Identifier: Apache-2.0
"""Weights that the tests share: the tiny random network of the golden numbers, and a network that sees brightness."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from transformers import CLIPConfig, CLIPModel, CLIPSegConfig, CLIPSegForImageSegmentation

from clipseg_ros.models import zegclip_checkpoint
from clipseg_ros.models.zegclip import ZegCLIPNetwork

GOLDEN = Path(__file__).parent / "golden" / "clipseg"
ZEGCLIP = GOLDEN.parent / "zegclip"
TOKENIZER = ("vocab.json", "merges.txt", "tokenizer.json", "tokenizer_config.json")


@pytest.fixture(scope="session")
def golden() -> dict[str, np.ndarray]:
    """Arrays of the reference; see golden/clipseg/README.md."""
    with np.load(GOLDEN / "model_golden.npz") as arrays:
        return dict(arrays)


@pytest.fixture(scope="session")
def tiny_weights() -> Path:
    """Folder of the golden network: CLIPSeg with random weights, 352 px, 12 vision blocks."""
    return GOLDEN / "hf_tiny_refined"


@pytest.fixture
def tiny_copy(tiny_weights: Path, tmp_path: Path) -> Path:
    """A copy of the golden network's folder, to break."""
    return Path(shutil.copytree(tiny_weights, tmp_path / "weights"))


@pytest.fixture(scope="session")
def bright_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a CLIPSeg whose logit is positive where a patch of 4 x 4 pixels is brighter than grey, for any prompt.

    Every attention and feed-forward ends in zeros, so a token sees its own patch alone: what is found where is known.
    """
    folder = tmp_path_factory.mktemp("bright")
    tower = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1}
    config = CLIPSegConfig(
        text_config={**tower, "vocab_size": 529, "bos_token_id": 527, "eos_token_id": 528, "pad_token_id": 528},
        vision_config={**tower, "patch_size": 4, "image_size": 128},
        projection_dim=8,
        reduce_dim=8,
        extract_layers=[0],
        decoder_num_attention_heads=1,
        decoder_intermediate_size=8,
    )
    network = CLIPSegForImageSegmentation(config)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if "norm" not in name and "layrnorm" not in name:
                parameter.zero_()
        network.clip.vision_model.embeddings.patch_embedding.weight[0] = 1.0
        network.decoder.reduces[0].weight.copy_(torch.eye(8))
        network.decoder.film_mul.bias.fill_(1.0)
        network.decoder.transposed_convolution.weight[0] = 1.0
    network.save_pretrained(folder)
    processor = {"size": {"height": 352, "width": 352}, "image_mean": [0.5] * 3, "image_std": [0.5] * 3}
    (folder / "preprocessor_config.json").write_text(json.dumps(processor))
    for name in TOKENIZER:
        shutil.copy(GOLDEN / "hf_tiny_refined" / name, folder)
    return folder


@pytest.fixture(scope="session")
def zegclip_golden() -> dict[str, np.ndarray]:
    """Arrays of the ZegCLIP authors' code; see golden/zegclip/README.md."""
    with np.load(ZEGCLIP / "zegclip_tiny.npz") as arrays:
        return dict(arrays)


@pytest.fixture(scope="session")
def zegclip_authors() -> dict[str, torch.Tensor]:
    """The tensors of a tiny checkpoint of ZegCLIP, under the authors' names."""
    return load_file(ZEGCLIP / "zegclip_tiny_weights.safetensors")


@pytest.fixture(scope="session")
def zegclip_clip() -> CLIPModel:
    """A CLIP of random weights and of the golden network's sizes, with the texts of the golden tokenizer."""
    torch.manual_seed(0)
    text = {"hidden_size": 24, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 3}
    vision = {"hidden_size": 32, "intermediate_size": 128, "num_hidden_layers": 4, "num_attention_heads": 4}
    return CLIPModel(CLIPConfig(
        text_config={**text, "vocab_size": 529, "bos_token_id": 527, "eos_token_id": 528},
        vision_config={**vision, "patch_size": 8, "image_size": 32}, projection_dim=16,
    )).eval()


@pytest.fixture
def zegclip_network(zegclip_authors: dict[str, torch.Tensor], zegclip_clip: CLIPModel) -> ZegCLIPNetwork:
    """The golden network of ZegCLIP, whose decoder has 2 heads."""
    return zegclip_checkpoint.join(zegclip_authors, zegclip_clip, heads=2)
