# SPDX-License-Identifier: Apache-2.0
"""Stage `joint`: towers and decoder learn together from masks, of examples and of sets of kinds, too, and in pictures
without colours or with odd ones."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from transformers import CLIPTokenizerFast

from clipseg_ros.datasets import tabletop
from clipseg_ros.models import visual_prompts
from clipseg_ros.models.clipseg import CLIPSeg
from clipseg_ros.segmentation import Support
from clipseg_ros.training import network
from clipseg_ros.training.batches import PREFIXES, PhraseBook, cut, shrink, tokens_of
from clipseg_ros.training.decoders import input_format
from clipseg_ros.training.distributed import share_of
from clipseg_ros.training.losses import additive_loss, union_loss
from clipseg_ros.training.masks import draw_shown, draw_text_weight, lesson_loss
from clipseg_ros.training.readings import VISUAL_PROMPT
from clipseg_ros.training.recipes import Recipe
from clipseg_ros.training.spans import draw_scene_spans
from clipseg_ros.training.unions import MOST, NONE, Unions
from clipseg_ros.training.views import LEAST, colourless, repainted


@dataclass(frozen=True, eq=False)
class Lesson:
    """B pictures: images (B, side, side, 3) uint8 and spans (1, 4) (see spans). N prompts each: phrases (B, N, M)
    numbers in the book, of whose vectors it is the mean, most of them of one phrase and filled up with unions.NONE;
    supports (B, N) numbers of `shown`, counted from 1, 0 without one, text_weight (B, N) float32; targets, undecided
    (B, N, H, W) bool. shown: (S, 3, v, v) float32 pixels of the supports. prefix: a number in PREFIXES. squares: (K, 4)
    phrases as losses.additive_loss takes them. traits, kinds: (T,) and (T, M), see unions.Unions.traits."""

    images: np.ndarray
    spans: np.ndarray
    phrases: np.ndarray
    supports: np.ndarray
    text_weight: np.ndarray
    targets: np.ndarray
    undecided: np.ndarray
    shown: torch.Tensor
    prefix: int
    squares: np.ndarray
    traits: np.ndarray
    kinds: np.ndarray


class JointTask:
    """All of a model with the loss of its masks. pool: see pool.render_pool; supports are of its first
    recipe.examples pictures."""

    def __init__(
        self, recipe: Recipe, model: CLIPSeg, words: CLIPTokenizerFast, pool: np.ndarray, book: PhraseBook,
        device: torch.device,
    ) -> None:
        self.recipe, self.module = recipe, model.network.requires_grad_(True)
        self._model, self._pool, self._book, self._device = model, pool, book, device
        self._texts = tokens_of(book, words, device)
        self._pictures = _pictures_of(pool[: recipe.examples])
        self._classes = np.array([one for one in self._pictures if one in book.pairs])
        self._words, self._unions = _coloured_words(book), Unions(book)
        self._tables = book.truth, book.undecided
        self._visual = visual_prompts.find(VISUAL_PROMPT)

    def draw(self, step: int, rank: int, ranks: int) -> Lesson:
        """The pictures of a step, shared out over the processes, with their prompts."""
        recipe, lessons = self.recipe, self.recipe.joint
        rng = np.random.default_rng([lessons.schedule.seed, 3, step, rank])
        shape = (share_of(lessons.batch, ranks), lessons.prompts)
        images = np.empty((shape[0], recipe.side, recipe.side, 3), np.uint8)
        phrases = np.full((*shape, MOST), NONE)
        supports, weights = np.zeros(shape, int), np.ones(shape, np.float32)
        targets, undecided = np.empty((2, *shape, recipe.output, recipe.output), bool)
        shown = []
        for index, picture in enumerate(rng.choice(len(self._pool), shape[0], replace=False)):
            window, chance = cut(self._pool[picture], rng), rng.random()
            grey, plain = chance < recipe.colourless, chance < recipe.colourless + recipe.repainted
            window = repainted(window, rng) if plain and not grey else window
            image, labels = shrink(window, recipe.side, recipe.output, rng)
            images[index] = colourless(image, rng) if grey else image
            pixels = np.bincount(labels.ravel(), minlength=256)
            phrases[index, :, 0] = self._book.draw(pixels, lessons.prompts, recipe.absent, rng, plain)
            chance = rng.random(lessons.prompts)
            for place in np.flatnonzero(chance < recipe.unions if len(self._unions) else []):
                phrases[index, place] = self._unions.draw(pixels, recipe.absent, rng)
            for place in np.flatnonzero(chance > 1.0 - lessons.mixed if not plain and len(self._classes) else []):
                one = draw_shown(self._classes, pixels, recipe.absent, rng)
                shown.append(self._support(one, rng))
                phrases[index, place, 0], supports[index, place] = self._book.pairs[one], len(shown)
                weights[index, place] = draw_text_weight(rng)
            for place, members in enumerate(phrases[index]):
                truth, unsaid = (table[members[members != NONE]].any(0) for table in self._tables)
                targets[index, place], undecided[index, place] = truth[labels], (unsaid & ~truth)[labels]
        side = recipe.view_side
        return Lesson(
            images, draw_scene_spans(1, recipe, rng), phrases, supports, weights, targets, undecided,
            torch.stack(shown) if shown else torch.zeros(0, 3, side, side),
            int(rng.integers(len(PREFIXES))), self._squares(rng), *self._unions.traits(rng),
        )

    def loss(self, batch: Lesson) -> torch.Tensor:
        """That of the masks, how far pairs of colour and object are from a sum, and traits from what their kinds have
        in common."""
        own, four, traits, kinds = self._means(
            batch.prefix, batch.phrases, batch.squares[..., None], batch.traits[..., None], batch.kinds
        )
        none = own.new_zeros(1, own.shape[-1])
        shown = self._model.embed_image(batch.shown.to(self._device)).float() if len(batch.shown) else none[:0]
        supports = torch.cat([none, shown])[torch.from_numpy(batch.supports)]
        vectors = torch.lerp(supports, own, torch.from_numpy(batch.text_weight).to(self._device)[..., None])
        pixels = network.normalised(batch.images, self._device)
        readouts = self._model.encode_image(pixels, spans=torch.from_numpy(batch.spans).to(self._device))
        targets, undecided = (torch.from_numpy(one).to(self._device) for one in (batch.targets, batch.undecided))
        loss = lesson_loss(self._model.decode(readouts, vectors), targets, undecided, self.recipe.joint)
        if len(four):
            loss = loss + self.recipe.additive * additive_loss(four)
        return loss + self.recipe.traits * union_loss(traits, kinds) if len(traits) else loss

    def _means(self, prefix: int, *sets: np.ndarray) -> list[torch.Tensor]:
        """(..., E) the mean vector of the phrases in each row of `sets` (..., M), filled up with NONE; every phrase is
        embedded once, and all is float32 from there on, under AMP, too: the losses take small differences."""
        once = np.unique(np.concatenate([one.ravel() for one in sets]))
        once = once[once != NONE]
        texts = self._texts[prefix]
        found = self._model.embed_text(texts["input_ids"][once], texts["attention_mask"][once].sum(1)).float()
        found = torch.cat([found.new_zeros(1, found.shape[1]), found])  # what fills up adds nothing
        means = []
        for one in sets:
            counts = torch.from_numpy((one != NONE).sum(-1, keepdims=True)).to(self._device)
            means.append(found[torch.from_numpy(np.searchsorted(once, one, side="right"))].sum(-2) / counts)
        return means

    def _support(self, one: int, rng: np.random.Generator) -> torch.Tensor:
        """(3, v, v) pixels that show a random object of class `one`."""
        picture = self._pool[rng.choice(self._pictures[one])]
        support = Support(np.ascontiguousarray(picture[..., :3]), picture[..., 3] == one)
        side = self.recipe.view_side
        return visual_prompts.prompt_pixels(support, self._visual, input_format(side), side)

    def _squares(self, rng: np.random.Generator) -> np.ndarray:
        """(recipe.squares, 4) phrases: two words in two colours each, all of which training has."""
        found = []
        while len(found) < self.recipe.squares and self._book.pairs:
            rows, columns = (rng.choice(length, 2, replace=False) for length in self._words.shape)
            four = self._words[np.ix_(rows, columns)].ravel()
            if (four >= 0).all():
                found.append(four)
        return np.array(found, int).reshape(-1, 4)


def _pictures_of(pool: np.ndarray) -> dict[int, np.ndarray]:
    """Class id -> the pictures that show enough of it for a support."""
    found: dict[int, list[int]] = {}
    for index, picture in enumerate(pool):
        pixels = np.bincount(picture[..., 3].ravel(), minlength=256)
        for one in np.flatnonzero(pixels[1:] >= LEAST) + 1:
            found.setdefault(int(one), []).append(index)
    return {one: np.array(pictures) for one, pictures in found.items()}


def _coloured_words(book: PhraseBook) -> np.ndarray:
    """(words, colours) numbers of the phrases such as "red mug", -1 where the book has none."""
    names, table = tabletop.class_names(), {}
    colours = list(tabletop.COLOURS)
    for index, phrase in enumerate(book.phrases):
        if len(phrase.classes) == 1:
            colour = names[next(iter(phrase.classes))]["colour"]
            word = phrase.text.removeprefix(colour)
            table.setdefault(word, [-1] * len(colours))[colours.index(colour)] = index
    return np.array(list(table.values())).reshape(-1, len(colours))
