# SPDX-License-Identifier: Apache-2.0
"""Batches of tabletop pictures and phrases: random crops, phrases that are there and phrases that are not."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from clipseg_ros.datasets import tabletop
from clipseg_ros.masks import resize_image
from clipseg_ros.training.recipes import Recipe

VISIBLE = 12  # pixels of the network's output from which a phrase counts as there; fewer is neither there nor absent
PREFIXES = ("", "", "a ", "the ")


@dataclass(frozen=True)
class Batch:
    """Pictures at the network's input and truth at its output, h x h: images (B, side, side, 3) uint8, labels (B, h, h)
    uint8 class ids, texts B x N, targets (B, N, h, h) bool; near (B, K) int64: the patches nearest to objects."""

    images: np.ndarray
    labels: np.ndarray
    texts: list[list[str]]
    targets: np.ndarray
    near: np.ndarray


class PhraseBook:
    """All phrases of the tabletop scenes as tables over the 256 class ids, to draw some for what a picture shows."""

    def __init__(self) -> None:
        self.phrases = tabletop.phrases()
        self.groups = np.array([phrase.group for phrase in self.phrases])
        self.truth = np.zeros((len(self.phrases), 256), bool)
        for row, phrase in zip(self.truth, self.phrases):
            row[list(phrase.classes)] = True
        self._alike = self._share_kind_or_colour()

    def draw(self, counts: np.ndarray, prompts: int, absent: float, rng: np.random.Generator) -> np.ndarray:
        """(prompts,) phrase numbers for a picture with `counts` (256,) pixels a class; phrases that hover between
        there and absent are left out.

        A share `absent` of them is not to be seen, half of these alike: they share a kind or a colour with what is.
        The others are drawn evenly over the groups, then over the phrases of the group.
        """
        pixels = self.truth @ counts
        visible = np.flatnonzero(pixels >= VISIBLE)
        missing = np.flatnonzero(pixels == 0)
        alike = missing[(self._alike[missing] @ counts) >= VISIBLE]
        chosen = []
        for _ in range(prompts):
            pool = visible if len(visible) and rng.random() >= absent else missing
            if pool is missing and len(alike) and rng.random() < 0.5:
                pool = alike
            groups = self.groups[pool]
            chosen.append(rng.choice(pool[groups == rng.choice(np.unique(groups))]))
        return np.array(chosen)

    def _share_kind_or_colour(self) -> np.ndarray:
        """(P, 256) bool: for phrases of one kind and one colour, the classes with the same kind or colour."""
        alike = np.zeros_like(self.truth)
        names = tabletop.class_names()
        for row, phrase in zip(alike, self.phrases):
            if len(phrase.classes) == 1:
                own = names[next(iter(phrase.classes))]
                row[[i for i, n in names.items() if n["kind"] == own["kind"] or n["colour"] == own["colour"]]] = True
        return alike


def draw_batch(pool: np.ndarray, book: PhraseBook, recipe: Recipe, rng: np.random.Generator) -> Batch:
    """A batch of the recipe's size from the pool (see render_pool), its pictures cropped, flipped, jittered by rng."""
    images = np.empty((recipe.batch, recipe.side, recipe.side, 3), np.uint8)
    labels = np.empty((recipe.batch, recipe.output, recipe.output), np.uint8)
    texts, targets = [], np.empty((recipe.batch, recipe.phrases, *labels.shape[1:]), bool)
    for index, picture in enumerate(rng.choice(len(pool), recipe.batch, replace=False)):
        images[index], labels[index] = _crop(pool[picture], recipe, rng)
        chosen = book.draw(np.bincount(labels[index].ravel(), minlength=256), recipe.phrases, recipe.absent, rng)
        texts.append([rng.choice(PREFIXES) + book.phrases[phrase].text for phrase in chosen])
        targets[index] = book.truth[chosen][:, labels[index]]
    near = np.stack([_near_objects(one, recipe, rng) for one in labels])
    return Batch(images, labels, texts, targets, near)


def _near_objects(labels: np.ndarray, recipe: Recipe, rng: np.random.Generator) -> np.ndarray:
    """(K,) the patches that objects cover most, then their neighbours, then any."""
    covered = cv2.resize((labels > 0).astype(np.float32), (recipe.grid, recipe.grid), interpolation=cv2.INTER_AREA)
    rank = covered + 0.1 * cv2.dilate(covered, np.ones((3, 3))) + rng.uniform(0.0, 0.01, covered.shape)
    return np.argsort(-rank, axis=None)[: int(recipe.tower_share * rank.size)]


def _crop(picture: np.ndarray, recipe: Recipe, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A random window around some pixel of an object, squashed to the square; brightness, contrast and noise vary,
    hue does not, since colours are asked for."""
    height, width = picture.shape[:2]
    scale, stretch = rng.uniform(0.5, 1.0), rng.permutation([1.0, rng.uniform(0.85, 1.0)])
    rows, columns = (int(length * scale * factor) for length, factor in zip((height, width), stretch))
    objects = np.argwhere(picture[..., 3])
    spot = objects[rng.integers(len(objects))] if len(objects) else np.array([height, width]) // 2
    corner = spot - rng.uniform(0.2, 0.8, 2) * (rows, columns)
    top, left = np.clip(corner, 0, (height - rows, width - columns)).astype(int)
    window = np.ascontiguousarray(picture[top : top + rows, left : left + columns])
    if rng.random() < 0.5:
        window = np.ascontiguousarray(window[:, ::-1])
    image = resize_image(np.ascontiguousarray(window[..., :3]), (recipe.side, recipe.side)).astype(np.float32)
    labels = cv2.resize(window[..., 3], (recipe.output, recipe.output), interpolation=cv2.INTER_NEAREST)
    image = (image - 128.0) * rng.uniform(0.85, 1.15) + 128.0 + rng.uniform(-20.0, 20.0)
    image += np.float32(rng.uniform(0.0, 4.0)) * rng.standard_normal(image.shape, np.float32)
    return np.clip(image, 0.0, 255.0).astype(np.uint8), labels
