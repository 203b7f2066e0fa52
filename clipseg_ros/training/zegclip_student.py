# SPDX-License-Identifier: Apache-2.0
"""A fresh ZegCLIP on a CLIP, of which a part learns, and how the whole is written."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from clipseg_ros.engines.zegclip import encode_classes, read_templates
from clipseg_ros.models import clip, hub, weights, zegclip
from clipseg_ros.models.zegclip import Shape, ZegCLIP


@dataclass(frozen=True, eq=False)
class Student:
    """A model of which `learned` alone is to be trained, and how pixels and texts enter it."""

    model: ZegCLIP
    learned: nn.ModuleDict
    pixels: weights.InputFormat
    texts: weights.TextFormat
    templates: tuple[str, ...]
    folder: Path
    """The folder of the CLIP, which has the tokenizer."""

    @torch.no_grad()
    def encode(self, classes: Sequence[str]) -> torch.Tensor:
        """(N, E) float32 unit vectors of classes, on the model's device."""
        return encode_classes(self.model, self.texts, classes, self.templates)


def build(name: str, shape: Shape, tower: bool, templates: str | Sequence[str], seed: int) -> Student:
    """A model on the CPU with fresh parts drawn from `seed`: prompts and decoder learn, everything else is frozen.

    name: weights of a CLIP or of a CLIPSeg whose CLIP is taken. tower: CLIP's vision tower learns too.
    templates: as engine zegclip takes them; they are written into the weights' configuration.
    Raises ValueError, WeightsError.
    """
    sentences = read_templates(templates)
    folder = hub.find(name)
    own = clip.load(folder, torch.float32)
    torch.manual_seed(seed)
    model = ZegCLIP(zegclip.on_clip(own, shape))
    network = model.network.eval()
    network.config.templates = list(sentences)
    learned = nn.ModuleDict({"decoder": network.decoder})
    if network.prompts is not None:
        learned["prompts"] = network.prompts
    if tower:
        learned["vision"] = network.clip.vision_model.requires_grad_(True)
        learned["projection"] = network.clip.visual_projection.requires_grad_(True)
    form = weights.InputFormat(shape.side, *(np.array(one, np.float32) for one in (weights.MEAN, weights.STD)))
    texts = weights.read_text_format(folder, own.config.text_config.max_position_embeddings)
    return Student(model, learned, form, texts, sentences, folder)


def save(student: Student, folder: Path) -> None:
    """Write a folder that engine zegclip loads: float32 safetensors, input format, tokenizer, the CLIP's words."""
    folder.mkdir(parents=True, exist_ok=True)
    student.model.network.save_pretrained(folder)
    weights.write_input_format(folder, student.pixels.side)
    weights.copy_tokenizer(student.folder, folder)
    vocabulary = weights.read_notes(student.folder).vocabulary
    if vocabulary is not None:
        notes = {"vocabulary": sorted(vocabulary), "threshold": None}
        (folder / "clipseg_ros.json").write_text(json.dumps(notes, indent=1) + "\n")
