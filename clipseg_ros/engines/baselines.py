# SPDX-License-Identifier: Apache-2.0
"""The two baselines of the CLIPSeg paper as engines: CLIPSeg's engine around other models, with the same options."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from clipseg_ros.engines.clipseg import ClipSegEngine
from clipseg_ros.models import clip_deconv, vitseg
from clipseg_ros.models.clipseg import CLIPSeg


class ClipDeconvEngine(ClipSegEngine):
    """Scores are the sigmoid of CLIP-Deconv's logits; options are those of ClipSegEngine, with one layer to read."""

    @staticmethod
    def _load(folder: Path, dtype: torch.dtype, extract_layers: Sequence[int] | None) -> CLIPSeg:
        return clip_deconv.CLIPDeconv(clip_deconv.load(folder, dtype), extract_layers)


class ViTSegEngine(ClipSegEngine):
    """Scores are the sigmoid of ViTSeg's logits; options are those of ClipSegEngine."""

    @staticmethod
    def _load(folder: Path, dtype: torch.dtype, extract_layers: Sequence[int] | None) -> CLIPSeg:
        return vitseg.ViTSeg(vitseg.load(folder, dtype), extract_layers)
