# SPDX-License-Identifier: Apache-2.0
"""A small weights folder for every engine."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from clipseg_ros.training import decoders
from clipseg_ros.training.decoders import Architecture


@pytest.fixture(scope="session")
def tiny_engines(tiny_weights: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Folders by engine: the golden CLIPSeg, whose CLIP engine car takes, and the baselines with a random decoder."""
    tiny = {"clip": str(tiny_weights), "backbone": str(tiny_weights), "reduce_dim": 16, "hidden": 32}
    folders = {"clipseg": tiny_weights, "car": tiny_weights}
    for name, layers in (("clip-deconv", (9,)), ("vitseg", (3, 7, 9))):
        student = decoders.build(Architecture(name, extract_layers=layers, **tiny), seed=0)
        with torch.no_grad():
            for weight in student.learned.parameters():
                weight.mul_(2.0)  # louder, so that prompts and colours can be told apart
        folders[name] = tmp_path_factory.mktemp(name)
        decoders.save(student, folders[name], threshold=0.3)
    return folders
