# SPDX-License-Identifier: Apache-2.0
"""Stage `masks`: the decoder learns from read-outs of frozen towers, with absent prompts and supports among them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from clipseg_ros.models.clipseg import CLIPSeg
from clipseg_ros.training.batches import VISIBLE, PhraseBook
from clipseg_ros.training.losses import mask_loss, presence_loss
from clipseg_ros.training.readings import Readings
from clipseg_ros.training.recipes import Recipe


DENIED = -20.0  # logit


@dataclass(frozen=True, eq=False)
class Prompts:
    """pictures (B,) numbers and corners (B, 2) of what is seen of them, in patches; for N prompts each: phrases (B, N)
    numbers in the book, supports (B, N) numbers of the readings' objects, text_weight (B, N) float32, 1 without a
    support; targets, undecided (B, N, H, W) bool: where it is, and where nothing is said of it."""

    pictures: np.ndarray
    corners: np.ndarray
    phrases: np.ndarray
    supports: np.ndarray
    text_weight: np.ndarray
    targets: np.ndarray
    undecided: np.ndarray


class MaskTask:
    """The decoder of a model with the loss of its masks.

    texts: (P, E) the vector of every phrase of the book.
    """

    def __init__(
        self, recipe: Recipe, model: CLIPSeg, decoder: nn.Module, readings: Readings, book: PhraseBook,
        texts: torch.Tensor,
    ) -> None:
        self.recipe, self.module = recipe, decoder
        self._model, self._readings, self._book, self._texts = model, readings, book, texts
        self._vectors = torch.from_numpy(readings.vectors).to(texts.device)
        self._pairs = {next(iter(phrase.classes)): index for index, phrase in enumerate(book.phrases)
                       if len(phrase.classes) == 1}
        self._objects = {one: np.flatnonzero(readings.shown == one) for one in np.unique(readings.shown)}

    def draw(self, step: int, rank: int, ranks: int) -> Prompts:
        """The pictures of a step, shared out over the processes, with their prompts."""
        recipe, rng = self.recipe, np.random.default_rng([self.recipe.masks.seed, 2, step, rank])
        count, shape = recipe.mask_batch // ranks, (recipe.mask_batch // ranks, recipe.prompts)
        pictures = np.sort(rng.choice(len(self._readings.labels), count, replace=False))
        phrases, supports, weights = np.empty(shape, int), np.zeros(shape, int), np.ones(shape, np.float32)
        targets, undecided = np.empty((2, *shape, recipe.output, recipe.output), bool)
        corners = np.empty((count, 2), int)
        for index, picture in enumerate(pictures):
            corners[index], labels = self._cut(self._readings.labels[picture], rng)
            pixels = np.bincount(labels.ravel(), minlength=256)
            phrases[index] = self._book.draw(pixels, recipe.prompts, recipe.absent, rng)
            for place in np.flatnonzero(rng.random(recipe.prompts) < recipe.mixed):
                shown = self._support(pixels, rng)
                phrases[index, place] = self._pairs[shown]
                supports[index, place] = rng.choice(self._objects[shown])
                weights[index, place] = max(0.0, rng.uniform(-0.5, 1.0))  # a third are supports alone
            targets[index] = self._book.truth[phrases[index]][:, labels]
            undecided[index] = self._book.undecided[phrases[index]][:, labels]
        return Prompts(pictures, corners, phrases, supports, weights, targets, undecided)

    def loss(self, batch: Prompts) -> torch.Tensor:
        """Cross-entropy and Dice of the masks, and whether each is there at all."""
        device = self._texts.device
        weight = torch.from_numpy(batch.text_weight).to(device)[..., None]
        texts, supports = self._texts[batch.phrases], self._vectors[batch.supports]
        vectors = weight * texts + (1.0 - weight) * supports
        readouts = self._readings.readouts(batch.pictures, batch.corners, self.recipe.grid, device)
        logits = self._model.decode(readouts, vectors)
        if logits.shape[2:] != batch.targets.shape[2:]:  # the head of CLIP-Deconv enlarges by the patch
            logits = F.interpolate(logits, batch.targets.shape[2:], mode="bilinear")
        targets, undecided = (torch.from_numpy(planes).to(device) for planes in (batch.targets, batch.undecided))
        logits = logits.float().masked_fill(undecided, DENIED)  # without gradient, and no loss to speak of
        return mask_loss(logits, targets, self.recipe.dice) + self.recipe.presence * presence_loss(logits, targets)

    def _cut(self, labels: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """The corner (2,) of a square of recipe.grid patches around a pixel of an object, and the square's labels."""
        cell, side = self._readings.cell, self.recipe.grid
        objects = np.argwhere(labels)
        spot = objects[rng.integers(len(objects))] if len(objects) else np.array(labels.shape) // 2
        corner = np.clip(spot // cell - rng.integers(0, side, 2), 0, np.array(self._readings.grid) - side)
        (top, left), length = corner * cell, side * cell
        return corner, labels[top : top + length, left : left + length]

    def _support(self, pixels: np.ndarray, rng: np.random.Generator) -> int:
        """A class that some object shows: of the picture, or, a share `absent` of the time, not of it."""
        classes = np.array([one for one in self._objects if one in self._pairs])
        there, absent = classes[pixels[classes] >= VISIBLE], classes[pixels[classes] == 0]
        return int(rng.choice(there if len(there) and rng.random() >= self.recipe.absent else absent))
