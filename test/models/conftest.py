# SPDX-License-Identifier: Apache-2.0
"""The golden network of OVSeg."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from transformers import CLIPConfig, CLIPModel

from clipseg_ros.models import ovseg_checkpoint
from clipseg_ros.models.maskformer import IMAGENET_MEAN, IMAGENET_STD
from clipseg_ros.models.ovseg import CLIP_MEAN, CLIP_STD, OVSegNetwork
from clipseg_ros.models.weights import InputFormat

OVSEG = Path(__file__).parents[1] / "golden" / "ovseg"


@pytest.fixture(scope="session")
def ovseg_golden() -> dict[str, np.ndarray]:
    """Arrays of the OVSeg authors' code; see golden/ovseg/README.md."""
    with np.load(OVSEG / "ovseg_tiny.npz") as arrays:
        return dict(arrays)


@pytest.fixture(scope="session")
def ovseg_authors() -> dict[str, torch.Tensor]:
    """The tensors of a tiny checkpoint of OVSeg, under the authors' names."""
    tensors = load_file(OVSEG / "ovseg_tiny_weights.safetensors")
    return {name: tensor.float() for name, tensor in tensors.items()}


@pytest.fixture(scope="session")
def ovseg_clip() -> CLIPModel:
    """A CLIP of random weights and of the golden network's sizes, with the texts of the golden tokenizer."""
    torch.manual_seed(0)
    text = {"hidden_size": 24, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 3}
    vision = {"hidden_size": 32, "intermediate_size": 128, "num_hidden_layers": 5, "num_attention_heads": 4}
    return CLIPModel(CLIPConfig(
        text_config={**text, "vocab_size": 529, "bos_token_id": 527, "eos_token_id": 528},
        vision_config={**vision, "patch_size": 32, "image_size": 224}, projection_dim=16,
    )).eval()


@pytest.fixture
def ovseg_network(ovseg_authors: dict[str, torch.Tensor], ovseg_clip: CLIPModel) -> OVSegNetwork:
    """The golden network of OVSeg, whose decoder has 4 heads."""
    return ovseg_checkpoint.join(ovseg_authors, ovseg_clip, heads=4).requires_grad_(False)


@pytest.fixture(scope="session")
def ovseg_input(ovseg_golden: dict[str, np.ndarray]) -> torch.Tensor:
    """(1, 3, 64, 96) what the golden proposal network saw."""
    pixels = torch.zeros(1, 3, 64, 96)
    pixels[..., :90] = normalised(ovseg_golden["image"], IMAGENET_MEAN, IMAGENET_STD)
    return pixels


@pytest.fixture(scope="session")
def ovseg_pixels(ovseg_golden: dict[str, np.ndarray]) -> torch.Tensor:
    """(3, 64, 90) what the golden CLIP's cut-outs were cut from."""
    return normalised(ovseg_golden["image"], CLIP_MEAN, CLIP_STD)


def normalised(image: np.ndarray, mean: Sequence[float], std: Sequence[float]) -> torch.Tensor:
    return InputFormat(0, np.array(mean, np.float32), np.array(std, np.float32)).normalise(image.transpose(1, 2, 0))[0]
