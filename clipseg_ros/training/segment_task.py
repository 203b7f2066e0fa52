# SPDX-License-Identifier: Apache-2.0
"""The published task: a decoder on a frozen CLIP learns the mask of one prompt an image."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

import cv2
import numpy as np
import torch
from torch.nn import functional as F

from clipseg_ros.datasets import Sample
from clipseg_ros.masks import resize_image
from clipseg_ros.models.visual_prompts import VisualPrompt, prompt_pixels
from clipseg_ros.training.decoders import Student
from clipseg_ros.training.distributed import share_of

ORDERS = ("shuffled", "file")
EPOCHS = 2**31  # no place in a batch, so that orders and examples draw from different generators


class Source(Protocol):
    """Training examples, each drawn anew whenever it is asked for."""

    def __len__(self) -> int:
        """Number of samples that examples are drawn from."""

    def draw(self, index: int, rng: np.random.Generator) -> Sample:
        """An example of sample `index` with one prompt; its text_weight mixes text and support where it has both."""


@dataclass(frozen=True)
class Sampling:
    """What a step sees: `batch` examples of all processes together.

    order: shuffled anew every epoch, or file: as the authors' code had it, so that the phrases of an image follow each
    other. Raises ValueError for another order.
    """

    batch: int = 64
    order: str = "shuffled"
    seed: int = 0

    def __post_init__(self) -> None:
        if self.order not in ORDERS:
            raise ValueError(f"order {self.order!r}: expected one of {', '.join(ORDERS)}")


@dataclass(frozen=True, eq=False)
class Batch:
    """images (B, s, s, 3) uint8, texts B ("" for none), weights (B,) float32 of the texts, targets (B, s, s) bool;
    supports (K, 3, s, s) float32 normalised, of the examples `supported` (K,) int64."""

    images: np.ndarray
    texts: list[str]
    weights: np.ndarray
    targets: np.ndarray
    supports: torch.Tensor
    supported: torch.Tensor


class SegmentTask:
    """Binary cross-entropy of the logits; the vector of a prompt is w * text + (1 - w) * support, w its text_weight.

    Examples depend on (seed, step, place in the batch) alone, so any number of processes sees the same ones.
    """

    def __init__(
        self, student: Student, source: Source, visual: VisualPrompt, sampling: Sampling, device: torch.device
    ) -> None:
        student.model.network.to(device)
        self.module, self._student, self._source, self._visual = student.learned, student, source, visual
        self._sampling, self._device = sampling, device
        self._threads = ThreadPoolExecutor(os.cpu_count() or 1)
        self._permutation = lru_cache(maxsize=2)(self._permute)

    def draw(self, step: int, rank: int, ranks: int) -> Batch:
        """The share of process `rank`. Raises ValueError where the processes cannot share the batch evenly."""
        size = self._sampling.batch
        share = share_of(size, ranks)
        places = range(step * size + rank * share, step * size + (rank + 1) * share)
        examples = list(self._threads.map(self._example, places))
        images, prompts, targets, supports = zip(*examples)
        weights = [0.0 if not p.text else 1.0 if p.support is None else p.text_weight for p in prompts]
        shown = [one for one in supports if one is not None]
        side = self._student.pixels.side
        return Batch(
            np.stack(images), [prompt.text for prompt in prompts], np.array(weights, np.float32), np.stack(targets),
            torch.stack(shown) if shown else torch.empty(0, 3, side, side),
            torch.tensor([place for place, one in enumerate(supports) if one is not None], dtype=torch.int64),
        )

    def loss(self, batch: Batch) -> torch.Tensor:
        """The scalar to be made small."""
        logits = self.logits(batch)
        targets = torch.from_numpy(batch.targets).to(self._device)[:, None].float()
        # The logits' side is the input's, but for heads whose enlargement is not the patch size.
        targets = F.interpolate(targets, logits.shape[-2:], mode="nearest-exact")[:, 0]
        return F.binary_cross_entropy_with_logits(logits, targets)

    def logits(self, batch: Batch) -> torch.Tensor:
        """(B, h, w) float32."""
        model, form = self._student.model, self._student.pixels
        pixels = torch.from_numpy(batch.images).to(self._device).permute(0, 3, 1, 2).float() / 255.0
        mean, std = (torch.from_numpy(values).to(self._device)[:, None, None] for values in (form.mean, form.std))
        readouts = model.encode_image((pixels - mean) / std)
        return model.decode(readouts, self._vectors(batch)[:, None])[:, 0].float()

    def foreground_iou(self, steps: int, threshold: float) -> float:
        """Intersection over union, both summed over the examples of the first `steps` batches, NaN if all is empty."""
        cut, hits, union = float(np.log(threshold / (1.0 - threshold))), 0, 0
        for step in range(steps):
            batch = self.draw(step, 0, 1)
            logits = self.logits(batch)[:, None]
            found = F.interpolate(logits, batch.targets.shape[1:], mode="bilinear")[:, 0].cpu().numpy() >= cut
            hits, union = hits + int((found & batch.targets).sum()), union + int((found | batch.targets).sum())
        return hits / union if union else float("nan")

    def _vectors(self, batch: Batch) -> torch.Tensor:
        """(B, E); equal texts are encoded once."""
        model = self._student.model
        texts = list(dict.fromkeys(text for text in batch.texts if text)) or [" "]
        ids, lengths = self._student.texts(texts)
        encoded = model.embed_text(ids.to(self._device), lengths.to(self._device))
        places = {text: index for index, text in enumerate(texts)}
        mixed = encoded[torch.tensor([places.get(text, 0) for text in batch.texts], device=self._device)]
        if len(batch.supports):
            where = batch.supported.to(self._device)
            images = model.embed_image(batch.supports.to(self._device)).to(mixed.dtype)
            weights = torch.from_numpy(batch.weights).to(self._device, mixed.dtype)[where, None]
            mixed = mixed.index_copy(0, where, weights * mixed[where] + (1.0 - weights) * images)
        return mixed

    def _example(self, place: int) -> tuple:
        """Image, prompt, target and the support's pixels or None of the example at a place of the whole run."""
        sampling, count, side = self._sampling, len(self._source), self._student.pixels.side
        epoch, index = divmod(place, count)
        if sampling.order == "shuffled":
            index = int(self._permutation(epoch)[index])
        rng = np.random.default_rng([sampling.seed, *divmod(place, sampling.batch)])
        sample = self._source.draw(index, rng)
        prompt, target = sample.prompts[0], sample.target[0].astype(np.uint8)
        support = prompt.support
        shown = None if support is None else prompt_pixels(support, self._visual, self._student.pixels, side)
        target = cv2.resize(target, (side, side), interpolation=cv2.INTER_NEAREST_EXACT) > 0
        return resize_image(sample.image, (side, side)), prompt, target, shown

    def _permute(self, epoch: int) -> np.ndarray:
        return np.random.default_rng([self._sampling.seed, epoch, EPOCHS]).permutation(len(self._source))
