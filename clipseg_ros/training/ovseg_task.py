# SPDX-License-Identifier: Apache-2.0
"""What OVSeg's stages learn: mask proposals named by vectors of CLIP, then a CLIP for cut-outs, its mask prompts alone
or both (Liang et al., CVPR 2023)."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Protocol

import numpy as np
import torch
from torch import nn

from clipseg_ros.datasets import IGNORE
from clipseg_ros.models.maskformer import IMAGENET_MEAN, IMAGENET_STD, ProposalNetwork
from clipseg_ros.models.ovseg_clip import MaskedCLIP
from clipseg_ros.models.weights import TextFormat
from clipseg_ros.training.distributed import share_of
from clipseg_ros.training.ovseg_losses import Truth, clamp_scale, contrastive, proposal_losses

EPOCHS = 2**31  # no place in a batch, so that orders and examples draw from different generators
LEARNED = ("tower", "prompts")


class Examples(Protocol):
    """Training examples, each drawn anew whenever it is asked for."""

    def __len__(self) -> int:
        """Number of examples."""

    def draw(self, index: int, rng: np.random.Generator) -> Any:
        """A variant of example `index`."""


class Drawing:
    """The examples of every step: shuffled anew each epoch, in any number of threads and processes the same."""

    def __init__(self, examples: Examples, batch: int, seed: int) -> None:
        self._examples, self._batch, self._seed = examples, batch, seed
        self._threads = ThreadPoolExecutor(os.cpu_count() or 1)
        self._permutation = lru_cache(maxsize=2)(self._permute)

    def draw(self, step: int, rank: int, ranks: int) -> list[Any]:
        """The share of process `rank`. Raises ValueError where the processes cannot share the batch evenly."""
        share = share_of(self._batch, ranks)
        first = step * self._batch + rank * share
        return list(self._threads.map(self._example, range(first, first + share)))

    def _example(self, place: int) -> Any:
        epoch, index = divmod(place, len(self._examples))
        rng = np.random.default_rng([self._seed, *divmod(place, self._batch)])
        return self._examples.draw(int(self._permutation(epoch)[index]), rng)

    def _permute(self, epoch: int) -> np.ndarray:
        return np.random.default_rng([self._seed, epoch, EPOCHS]).permutation(len(self._examples))


class ProposalTask:
    """The proposal network and its vector of no object learn masks and classes; the texts stay.

    texts: (K, E) unit vectors of the classes that the examples' labels number.
    """

    def __init__(self, network: ProposalNetwork, texts: torch.Tensor, drawing: Drawing, device: torch.device) -> None:
        self.module = network.to(device)
        self._texts, self._drawing, self._device = texts.to(device), drawing, device

    def draw(self, step: int, rank: int, ranks: int) -> tuple[np.ndarray, np.ndarray]:
        """Images (B, s, s, 3) uint8 and labels (B, s, s) int32."""
        images, labels = zip(*self._drawing.draw(step, rank, ranks))
        return np.stack(images), np.stack(labels)

    def loss(self, batch: tuple[np.ndarray, np.ndarray]) -> torch.Tensor:
        """The sum over decoder layers."""
        images, labels = (torch.from_numpy(array).to(self._device) for array in batch)
        found = self.module(proposal_pixels(images), aux=True)
        parts = proposal_losses(found, self._texts, self.module.no_object, [truth_of(one) for one in labels])
        return sum(layer.weighted() for layer in parts)


def proposal_pixels(images: torch.Tensor) -> torch.Tensor:
    """(B, 3, h, w) float32, normalised for the proposal network, of images (B, h, w, 3) uint8."""
    mean, std = (torch.from_numpy(values).to(images.device)[:, None, None] for values in (IMAGENET_MEAN, IMAGENET_STD))
    return (images.permute(0, 3, 1, 2).float() / 255.0 - mean) / std


def truth_of(labels: torch.Tensor) -> Truth:
    """One mask for each class that labels (H, W) show."""
    present = labels.unique()
    present = present[present != IGNORE]
    return Truth((labels == present[:, None, None]).float(), present.long())


@dataclass(frozen=True, eq=False)
class CutOuts:
    """pixels (B, 3, s, s) float32 normalised, 0 outside the masks; masks (B, 1, s, s) bool; titles B."""

    pixels: torch.Tensor
    masks: torch.Tensor
    titles: list[str]


class CutOutTask:
    """A CLIP learns which words belong to which cut-outs; its text tower stays as it is.

    learn: of LEARNED; the scale of the logits is learned with either. template: the sentence around a word. Raises
    ValueError for another part, or for prompts that the model lacks.
    """

    def __init__(
        self, model: MaskedCLIP, texts: TextFormat, learn: tuple[str, ...], drawing: Drawing, device: torch.device, *,
        template: str = "{}",
    ) -> None:
        unknown = [part for part in learn if part not in LEARNED]
        if unknown or not learn:
            raise ValueError(f"learn {learn}: expected some of {', '.join(LEARNED)}")
        if "prompts" in learn and model.prompts is None:
            raise ValueError("prompts: this model has none; make it with a prompt_depth above 0")
        self._model = model.to(device).eval().requires_grad_(False)
        self._texts, self._drawing, self._device, self._template = texts, drawing, device, template
        self.module = nn.ModuleDict({"scale": nn.ParameterDict({"logit_scale": model.network.logit_scale})})
        if "tower" in learn:
            self.module["vision"] = model.network.vision_model
            self.module["projection"] = model.network.visual_projection
        if "prompts" in learn:
            self.module["prompts"] = model.prompts
        self.module.requires_grad_(True)

    def draw(self, step: int, rank: int, ranks: int) -> CutOuts:
        """The cut-outs of a step."""
        pixels, masks, titles = zip(*self._drawing.draw(step, rank, ranks))
        return CutOuts(torch.stack(pixels), torch.stack(masks), [self._template.replace("{}", one) for one in titles])

    def loss(self, batch: CutOuts) -> torch.Tensor:
        """CLIP's own loss over the batch of all processes."""
        scale = self._model.network.logit_scale
        clamp_scale(scale)
        with torch.no_grad():
            ids, lengths = self._texts(batch.titles)
            texts = self._model.embed_text(ids.to(self._device), lengths.to(self._device))
        images = self._model.embed_regions(batch.pixels.to(self._device), batch.masks.to(self._device))
        return contrastive(images, texts, scale)
