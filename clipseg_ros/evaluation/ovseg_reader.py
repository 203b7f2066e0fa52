# SPDX-License-Identifier: Apache-2.0
"""The two halves of an OVSeg apart: the masks that its network proposes, and what its CLIP says of any masks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from clipseg_ros.engines.devices import find_device, find_dtype, release
from clipseg_ros.engines.ovseg import resized_picture
from clipseg_ros.engines.ovseg_proposals import propose
from clipseg_ros.engines.ovseg_settings import TEMPLATES, settings
from clipseg_ros.engines.vectors import VectorCache
from clipseg_ros.evaluation.passes import Job
from clipseg_ros.models import hub, ovseg, weights
from clipseg_ros.models.ovseg import OVSegNetwork
from clipseg_ros.models.ovseg_clip import MaskedCLIP
from clipseg_ros.models.ovseg_regions import cut_outs
from clipseg_ros.models.weights import InputFormat, TextFormat

CHUNK = 32  # cut-outs or sentences at once
CACHED = 4096
SIDE, THRESHOLD = 640, 0.4  # of the authors' Swin-B


class RegionReader:
    """form: of the CLIP's input. templates: sentences around a word. side: of the picture that masks are proposed for,
    the shorter one; threshold: of their probabilities."""

    def __init__(
        self, network: OVSegNetwork, form: InputFormat, texts: TextFormat, templates: Sequence[str] = TEMPLATES["vild"],
        side: int = SIDE, threshold: float = THRESHOLD,
    ) -> None:
        self._network, self._form, self._texts = network.eval(), form, texts
        self._clip = MaskedCLIP(network.clip, network.mask_prompts)
        self._templates, self._side, self._threshold = tuple(templates), side, threshold
        self._vectors: VectorCache[str] = VectorCache(CACHED, max(1, CHUNK // len(self._templates)))

    @property
    def device(self) -> torch.device:
        """Where the parameters lie."""
        return self._network.clip.logit_scale.device

    @torch.inference_mode()
    def propose(self, image: np.ndarray) -> np.ndarray:
        """(Q, H, W) bool, some perhaps empty, of image (H, W, 3) uint8."""
        candidates = propose(self._network.proposer, resized_picture(image, self._side, 1))
        masks = candidates.full(torch.arange(len(candidates.vectors), device=self.device))
        masks = F.interpolate(masks[None], image.shape[:2], mode="bilinear", align_corners=False)[0]
        return (masks > self._threshold).cpu().numpy()

    @torch.inference_mode()
    def cosines(self, image: np.ndarray, masks: np.ndarray, words: Sequence[str]) -> np.ndarray:
        """(M, N) float32 of the cut-outs of masks (M, H, W) bool, each with a pixel, and of N words."""
        found = self._vectors(words, self._encode)
        vectors = torch.stack([found[word] for word in words])
        pixels, every = self._form.normalise(image, self.device)[0], torch.from_numpy(masks).to(self.device)
        rows = [
            self._clip.embed_regions(*cut_outs(pixels, some, self._clip.side)) @ vectors.T
            for some in every.split(CHUNK)
        ]
        return torch.cat(rows).float().cpu().numpy() if len(masks) else np.zeros((0, len(words)), np.float32)

    def close(self) -> None:
        """Give the device's memory back."""
        self._vectors.clear()
        release(str(self.device), self._network)

    def _encode(self, words: Sequence[str]) -> torch.Tensor:
        ids, lengths = self._texts([one.replace("{}", word) for word in words for one in self._templates])
        vectors = self._clip.embed_text(ids.to(self.device), lengths.to(self.device))
        return F.normalize(vectors.unflatten(0, (len(words), len(self._templates))).mean(dim=1), dim=-1)


def read_regions(job: Job, options: Mapping[str, Any]) -> RegionReader:
    """The halves of the user's weights; of engine ovseg's options, side, mask_threshold and templates. Raises
    ValueError, WeightsError."""
    given = job.joined(options)
    unknown = sorted(set(given) - {"side", "mask_threshold", "templates"})
    if job.engine != "ovseg":
        raise ValueError(f"engine {job.engine!r}: this benchmark takes weights of ovseg apart; take --engine ovseg")
    if unknown:
        raise ValueError(f"--option {unknown[0]}: this benchmark has side, mask_threshold and templates alone")
    own = settings({"side": SIDE, "mask_threshold": THRESHOLD, **given})
    folder, device = hub.find(job.weights), find_device(job.device)
    network = ovseg.load(folder, find_dtype(job.precision, device)).requires_grad_(False).to(device)
    if network.proposer is None:
        raise hub.WeightsError(f"{folder}: a CLIP without proposals, which are half of this benchmark")
    texts = weights.read_text_format(folder, network.config.text_config.max_position_embeddings)
    form = weights.read_input_format(folder)
    return RegionReader(network, form, texts, own.templates, own.side, own.mask_threshold)
