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
from clipseg_ros.training.distributed import share_of
from clipseg_ros.training.losses import mask_loss, presence_loss
from clipseg_ros.training.readings import Readings
from clipseg_ros.training.recipes import Lessons, Recipe


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
        self._objects = {one: np.flatnonzero(readings.shown == one) for one in np.unique(readings.shown)}
        self._shown = np.array([one for one in self._objects if one in book.pairs])

    def draw(self, step: int, rank: int, ranks: int) -> Prompts:
        """The pictures of a step, shared out over the processes, with their prompts."""
        recipe, lessons = self.recipe, self.recipe.masks
        rng = np.random.default_rng([lessons.schedule.seed, 2, step, rank])
        count = share_of(lessons.batch, ranks)
        shape = (count, lessons.prompts)
        pictures = np.sort(rng.choice(len(self._readings.labels), count, replace=False))
        phrases, supports, weights = np.empty(shape, int), np.zeros(shape, int), np.ones(shape, np.float32)
        targets, undecided = np.empty((2, *shape, recipe.output, recipe.output), bool)
        corners = np.empty((count, 2), int)
        for index, picture in enumerate(pictures):
            corners[index], labels = self._cut(self._readings.labels[picture], rng)
            pixels = np.bincount(labels.ravel(), minlength=256)
            phrases[index] = self._book.draw(pixels, lessons.prompts, recipe.absent, rng)
            for place in np.flatnonzero(rng.random(lessons.prompts) < lessons.mixed):
                shown = draw_shown(self._shown, pixels, recipe.absent, rng)
                phrases[index, place] = self._book.pairs[shown]
                supports[index, place] = rng.choice(self._objects[shown])
                weights[index, place] = draw_text_weight(rng)
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
        targets, undecided = (torch.from_numpy(planes).to(device) for planes in (batch.targets, batch.undecided))
        return lesson_loss(logits, targets, undecided, self.recipe.masks)

    def _cut(self, labels: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """The corner (2,) of a square of recipe.grid patches around a pixel of an object, and the square's labels."""
        cell, side = self._readings.cell, self.recipe.grid
        objects = np.argwhere(labels)
        spot = objects[rng.integers(len(objects))] if len(objects) else np.array(labels.shape) // 2
        corner = np.clip(spot // cell - rng.integers(0, side, 2), 0, np.array(self._readings.grid) - side)
        (top, left), length = corner * cell, side * cell
        return corner, labels[top : top + length, left : left + length]


def lesson_loss(
    logits: torch.Tensor, targets: torch.Tensor, undecided: torch.Tensor, lessons: Lessons
) -> torch.Tensor:
    """The loss of logits (B, N, h, w) for masks targets and undecided (B, N, H, W) bool."""
    if logits.shape != targets.shape:  # the head of CLIP-Deconv enlarges by the patch
        logits = F.interpolate(logits, targets.shape[2:], mode="bilinear")
    logits = logits.float().masked_fill(undecided, DENIED)  # without gradient, and no loss to speak of
    return mask_loss(logits, targets, lessons.dice) + lessons.presence * presence_loss(logits, targets)


def draw_shown(classes: np.ndarray, pixels: np.ndarray, absent: float, rng: np.random.Generator) -> int:
    """The class of a support, one of `classes` (K,): of a picture with `pixels` (256,) of each, or, a share `absent` of
    the time, not of it."""
    there, gone = classes[pixels[classes] >= VISIBLE], classes[pixels[classes] == 0]
    return int(rng.choice(there if len(there) and rng.random() >= absent else gone))


def draw_text_weight(rng: np.random.Generator) -> float:
    """How much the text counts beside its support; for a third of them not at all."""
    return max(0.0, rng.uniform(-0.5, 1.0))
