# SPDX-License-Identifier: Apache-2.0
"""Batches of tabletop pictures and phrases: random crops, phrases that are there and phrases that are not."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from transformers import BatchEncoding, CLIPTokenizerFast

from clipseg_ros.datasets import tabletop
from clipseg_ros.masks import resize_image
from clipseg_ros.training.recipes import Recipe
from clipseg_ros.training.views import varied

VISIBLE = 12  # pixels of the network's output from which a phrase counts as there; fewer is neither there nor absent
PREFIXES = ("", "", "a ", "the ")


@dataclass(frozen=True, eq=False)
class Captions:
    """phrases (B, N) numbers in the PhraseBook, and texts B x N that say them."""

    phrases: np.ndarray
    texts: list[list[str]]


@dataclass(frozen=True, eq=False)
class Pictures(Captions):
    """B crops of scenes: images (B, side, side, 3) uint8 and labels (B, h, h) uint8 class ids at the network's output
    size; targets (B, N, h, h) bool: where each phrase is; undecided (B, N, h, h) bool: where nothing is said of it."""

    images: np.ndarray
    labels: np.ndarray
    targets: np.ndarray
    undecided: np.ndarray


class PhraseBook:
    """Phrases of the tabletop scenes as tables over the 256 class ids, to draw some for what a picture shows.

    groups: the groups whose phrases it holds, None for all. masks: True never draws an affordance of a picture that
    shows the kind which is held out under it (see datasets.tabletop.held_out).
    pairs: class id -> a phrase that means it alone. plain: (P,) bool: phrases that ask nothing of colour.
    truth, undecided: (P, 256) bool: of which classes a phrase is true, and of which nothing is to be learned: where a
    pair that is held out has the class's colour, to deny the phrases of that pair would teach that by its colour the
    thing can't be what it is in no scene of training.
    """

    def __init__(self, groups: Collection[str] | None = None, masks: bool = False) -> None:
        # A pair that no scene of training shows would only ever be absent, and so be learned as nothing to see.
        unseen = {frozenset([tabletop.class_id(*pair)]) for pair in tabletop.UNSEEN_PAIRS}
        known = [one for one in tabletop.phrases() if one.classes not in unseen]
        self.phrases = [one for one in known if groups is None or one.group in groups]
        self.groups = np.array([phrase.group for phrase in self.phrases])
        self.plain = self.groups != "colour"
        self.pairs = {next(iter(p.classes)): index for index, p in enumerate(self.phrases) if len(p.classes) == 1}
        self.truth = np.zeros((len(self.phrases), 256), bool)
        for row, phrase in zip(self.truth, self.phrases):
            row[list(phrase.classes)] = True
        self.undecided = self.truth @ unseen_by_colour() & ~self.truth
        self._alike = self._share_kind_or_colour()
        kinds = set(tabletop.UNSEEN_KINDS.values()) if masks else set()
        unseen = [index for index, name in tabletop.class_names().items() if name["kind"] in kinds]
        self._hidden = np.zeros_like(self.truth)
        self._hidden[np.ix_(self.groups == "affordance", unseen)] = True
        self._hidden &= self.truth
        # float32, since NumPy multiplies matrices of other types slowly; counts are exact in it
        self._tables = np.concatenate([self.truth, self._alike, self._hidden]).astype(np.float32)

    def draw(
        self, counts: np.ndarray, prompts: int, absent: float, rng: np.random.Generator, plain: bool = False
    ) -> np.ndarray:
        """(prompts,) phrase numbers for a picture with `counts` (256,) pixels a class; phrases that hover between
        there and absent are left out.

        A share `absent` of them is not to be seen, half of these alike: they share a kind or a colour with what is.
        The others are drawn evenly over the groups, then over the phrases of the group.
        plain: none of them asks for a colour.
        """
        pixels, near, hidden = np.split(self._tables @ counts.astype(np.float32), 3)
        asked = self.plain | (not plain)
        visible = np.flatnonzero((pixels >= VISIBLE) & (hidden == 0) & asked)
        missing = np.flatnonzero((pixels == 0) & asked)
        alike = missing[near[missing] >= VISIBLE]
        chosen = []
        for _ in range(prompts):
            pool = visible if len(visible) and rng.random() >= absent else missing
            if pool is missing and len(alike) and rng.random() < 0.5:
                pool = alike
            groups = self.groups[pool]
            chosen.append(rng.choice(pool[groups == rng.choice(np.unique(groups))]))
        return np.array(chosen)

    def captions(self, counts: np.ndarray, count: int, absent: float, rng: np.random.Generator) -> Captions:
        """`count` phrases for each of B pictures with `counts` (B, 256) pixels a class, some with an article."""
        phrases = np.array([self.draw(row, count, absent, rng) for row in counts]).reshape(len(counts), count)
        texts = [[rng.choice(PREFIXES) + self.phrases[phrase].text for phrase in row] for row in phrases]
        return Captions(phrases, texts)

    def _share_kind_or_colour(self) -> np.ndarray:
        """(P, 256) bool: for phrases of one kind and one colour, the classes with the same kind or colour."""
        alike = np.zeros_like(self.truth)
        names = tabletop.class_names()
        for row, phrase in zip(alike, self.phrases):
            if len(phrase.classes) == 1:
                own = names[next(iter(phrase.classes))]
                row[[i for i, n in names.items() if n["kind"] == own["kind"] or n["colour"] == own["colour"]]] = True
        return alike


def tokens_of(book: PhraseBook, words: CLIPTokenizerFast, device: torch.device) -> list[BatchEncoding]:
    """For each of PREFIXES, all phrases of the book behind it: input_ids and attention_mask (P, L)."""
    return [
        words([prefix + phrase.text for phrase in book.phrases], padding=True, return_tensors="pt").to(device)
        for prefix in PREFIXES
    ]


def unseen_by_colour() -> np.ndarray:
    """(256, 256) bool: a row for each class, of held-out pairs alone; true for the classes of their colour."""
    table, names = np.zeros((256, 256), bool), tabletop.class_names()
    for kind, colour in tabletop.UNSEEN_PAIRS:
        same = [index for index, name in names.items() if name["colour"] == colour]
        table[tabletop.class_id(kind, colour), same] = True
    return table


def draw_pictures(
    pool: np.ndarray, book: PhraseBook, recipe: Recipe, count: int, phrases: int, rng: np.random.Generator
) -> Pictures:
    """`count` pictures from the pool (see render_pool), cropped, flipped and varied by rng, with `phrases` each."""
    images = np.empty((count, recipe.side, recipe.side, 3), np.uint8)
    labels = np.empty((count, recipe.output, recipe.output), np.uint8)
    for index, picture in enumerate(rng.choice(len(pool), count, replace=False)):
        images[index], labels[index] = crop(pool[picture], recipe.side, recipe.output, rng)
    pixels = np.array([np.bincount(one.ravel(), minlength=256) for one in labels], int).reshape(count, 256)
    drawn = book.captions(pixels, phrases, recipe.absent, rng)
    targets, undecided = np.empty((2, count, phrases, *labels.shape[1:]), bool)
    for index, (row, one) in enumerate(zip(drawn.phrases, labels)):
        targets[index], undecided[index] = book.truth[row][:, one], book.undecided[row][:, one]
    return Pictures(drawn.phrases, drawn.texts, images, labels, targets, undecided)


def near_objects(labels: np.ndarray, grid: int, share: float, rng: np.random.Generator) -> np.ndarray:
    """(K,) a share of the grid x grid patches of labels (H, W): those that objects cover most, then their neighbours,
    then any."""
    covered = cv2.resize((labels > 0).astype(np.float32), (grid, grid), interpolation=cv2.INTER_AREA)
    rank = covered + 0.1 * cv2.dilate(covered, np.ones((3, 3))) + rng.uniform(0.0, 0.01, covered.shape)
    return np.argsort(-rank, axis=None)[: int(share * rank.size)]


def crop(picture: np.ndarray, side: int, output: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A random square of picture (H, W, 4), see cut: image (side, side, 3) uint8 and class ids (output, output)
    uint8."""
    return shrink(cut(picture, rng), side, output, rng)


def cut(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(h, w, 4) a random window of picture (H, W, 4) around some pixel of an object, nearly square, flipped or not."""
    height, width = picture.shape[:2]
    length, stretch = min(height, width) * rng.uniform(0.6, 1.0), rng.permutation([1.0, rng.uniform(0.85, 1.0)])
    rows, columns = (int(length * factor) for factor in stretch)
    objects = np.argwhere(picture[..., 3])
    spot = objects[rng.integers(len(objects))] if len(objects) else np.array([height, width]) // 2
    corner = spot - rng.uniform(0.2, 0.8, 2) * (rows, columns)
    top, left = np.clip(corner, 0, (height - rows, width - columns)).astype(int)
    window = np.ascontiguousarray(picture[top : top + rows, left : left + columns])
    return np.ascontiguousarray(window[:, ::-1]) if rng.random() < 0.5 else window


def shrink(
    window: np.ndarray, side: int, output: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """window (h, w, 4) as the network takes it: image (side, side, 3) uint8, varied, and class ids (output, output)
    uint8."""
    image = resize_image(np.ascontiguousarray(window[..., :3]), (side, side)).astype(np.float32)
    labels = cv2.resize(window[..., 3], (output, output), interpolation=cv2.INTER_NEAREST)
    return varied(image, rng), labels
