# SPDX-License-Identifier: Apache-2.0
"""Stage `captions`: a small CLIP from scratch, taught which captions fit scenes, their patches and object views; and
the same vision tower without captions, for the baseline ViTSeg."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn
from transformers import CLIPTokenizerFast

from clipseg_ros.models.clipseg import CLIPSeg
from clipseg_ros.training import network
from clipseg_ros.training.batches import VISIBLE, Captions, PhraseBook, Pictures, draw_pictures, near_objects
from clipseg_ros.training.distributed import share_of
from clipseg_ros.training.losses import DenseClasses, Fit, Look
from clipseg_ros.training.recipes import Recipe
from clipseg_ros.training.spans import draw_scene_spans, draw_view_spans
from clipseg_ros.training.views import draw_view

VIEW_CAPTIONS = 6  # drawn for each view while views are learned alone


@dataclass(frozen=True, eq=False)
class Lesson:
    """B scenes with captions, and the patches near objects (B, K); B is 0 while views are learned alone. V object
    views: images (V, s, s, 3) uint8, class ids (V, s, s) uint8 and the class shown (V,). scene_spans and view_spans
    (1, 4): see spans. texts: the T captions, each once, and meant (T,) their numbers in the PhraseBook; own (B, N):
    which of them were drawn for a scene."""

    scenes: Pictures
    near: np.ndarray
    scene_spans: np.ndarray
    views: np.ndarray
    view_labels: np.ndarray
    view_spans: np.ndarray
    shown: np.ndarray
    texts: list[str]
    meant: np.ndarray
    own: np.ndarray


@dataclass(frozen=True, eq=False)
class Sight:
    """What the vision tower made of pictures: tokens (B, 1 + K, C), the class ids (B, H, W), and where it looked."""

    tokens: torch.Tensor
    labels: torch.Tensor
    look: Look


class KindTask:
    """A vision tower that never sees text: it learns what every patch shows, kind and colour, and which object a view
    is of, by classification. The other tower stays as it starts."""

    def __init__(self, recipe: Recipe, words: CLIPTokenizerFast, pool: np.ndarray, device: torch.device) -> None:
        self.recipe, self._words, self._pool, self._device = recipe, words, pool, device
        self._book = PhraseBook()
        self.model = CLIPSeg(network.initialise(network.configure(recipe, words), recipe.captions.seed))
        self.module = nn.ModuleDict({
            "clip": self.model.network.clip, "classes": DenseClasses(recipe.width),
            "patches": Fit(-3.0), "views": Fit(-3.0), "scenes": Fit(-3.0), "means": Fit(-3.0),
        }).to(device)

    def draw(self, step: int, rank: int, ranks: int) -> Lesson:
        """The lesson of a step, its scenes and views shared out over the processes."""
        recipe, rng = self.recipe, np.random.default_rng([self.recipe.captions.seed, step, rank])
        alone = step < recipe.view_steps
        scenes = draw_pictures(
            self._pool, self._book, recipe, 0 if alone else share_of(recipe.batch, ranks), recipe.phrases, rng
        )
        near = [near_objects(one, recipe.grid, recipe.share, rng) for one in scenes.labels]
        count = share_of(recipe.views_alone if alone else recipe.views, ranks)
        chosen = rng.choice(len(self._pool), count, replace=count > len(self._pool))
        views, labels, shown = zip(*(draw_view(self._pool[one], recipe.view_side, rng) for one in chosen))
        rows = scenes if len(near) else self._captions_of(np.array(shown), rng)
        texts = list(dict.fromkeys(text for row in rows.texts for text in row))
        places = {text: index for index, text in enumerate(texts)}
        own = np.array([[places[text] for text in row] for row in rows.texts])
        meant = np.empty(len(texts), int)
        meant[own] = rows.phrases
        return Lesson(
            scenes, np.array(near), draw_scene_spans(1, recipe, rng), np.stack(views), np.stack(labels),
            draw_view_spans(1, recipe, rng), np.array(shown), texts, meant, own,
        )

    def _captions_of(self, shown: np.ndarray, rng: np.random.Generator) -> Captions:
        counts = VISIBLE * np.eye(256, dtype=int)[shown]
        return self._book.captions(counts, VIEW_CAPTIONS, self.recipe.absent, rng)

    def loss(self, batch: Lesson) -> torch.Tensor:
        """The scalar to be made small."""
        loss = self._view_lesson(self._look_at_views(batch), batch)
        return loss + self._scene_lesson(self._look_at_scenes(batch)) if len(batch.near) else loss

    def _look_at_views(self, batch: Lesson) -> Sight:
        return self._look(batch.views, batch.view_labels, batch.view_spans, None)

    def _look_at_scenes(self, batch: Lesson) -> Sight:
        return self._look(batch.scenes.images, batch.scenes.labels, batch.scene_spans, batch.near)

    def _look(self, images: np.ndarray, labels: np.ndarray, spans: np.ndarray, near: np.ndarray | None) -> Sight:
        patches, truth = None if near is None else self._tensor(near), self._tensor(labels)
        pixels = network.normalised(images, self._device)
        readouts = self.model.encode_image(pixels, patches, self._tensor(spans))
        return Sight(readouts.tokens[-1], truth, Look(truth, readouts.grid, patches))

    def _view_lesson(self, views: Sight, batch: Lesson) -> torch.Tensor:
        """What the patches of views show, and what object a view is of."""
        whole = self._tensor(batch.shown)[:, None, None]
        patches = self.module["classes"](views.tokens[:, 1:], views.labels, views.look)
        return patches + self.module["classes"](views.tokens[:, :1], whole, Look(whole, (1, 1), None))

    def _scene_lesson(self, scenes: Sight) -> torch.Tensor:
        """What the patches of scenes show."""
        return self.module["classes"](scenes.tokens[:, 1:], scenes.labels, scenes.look)

    def _tensor(self, array: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(array).to(self._device)


class CaptionTask(KindTask):
    """A small CLIP: beside the lessons of KindTask, dropped afterwards, it learns which captions fit which patches,
    which object views and which whole scenes; every caption of the batch is compared with all of them."""

    def loss(self, batch: Lesson) -> torch.Tensor:
        """The scalar to be made small."""
        vectors, views = self._embed(batch.texts), self._look_at_views(batch)
        loss = self._view_lesson(views, batch) + self._views(views, vectors, batch)
        if not len(batch.near):
            return loss
        scenes = self._look_at_scenes(batch)
        return (
            loss + self._scene_lesson(scenes) + self._patches(scenes, vectors, batch)
            + self._scenes(scenes, vectors, batch)
        )

    def _views(self, views: Sight, vectors: torch.Tensor, batch: Lesson) -> torch.Tensor:
        """All captions of the batch and all object views: their class tokens, and the means of their patches."""
        fits = self._tensor(self._book.truth[batch.meant][:, batch.shown].T).float()[..., None]
        clear = self._tensor(~self._book.undecided[batch.meant][:, batch.shown].T).float()
        return sum(
            (losses[..., 0] * clear).sum() / clear.sum() for losses in self._whole("views", views, vectors, fits)
        )

    def _patches(self, scenes: Sight, vectors: torch.Tensor, batch: Lesson) -> torch.Tensor:
        """Every scene's own captions and the patches that they are about."""
        fits, unclear = (
            scenes.look.shares(self._tensor(planes).float())
            for planes in (batch.scenes.targets, batch.scenes.undecided)
        )
        patches, own = self._project(scenes.tokens[:, 1:]), vectors[self._tensor(batch.own)]
        return scenes.look.mean((self.module["patches"](patches, own, fits) * (1.0 - unclear)).mean(1))

    def _scenes(self, scenes: Sight, vectors: torch.Tensor, batch: Lesson) -> torch.Tensor:
        """All captions of the batch and all scenes, but for what hovers between there and absent, or is undecided."""
        counts = np.stack([np.bincount(one.ravel(), minlength=256) for one in batch.scenes.labels])
        pixels, unclear = (
            counts @ table[batch.meant].T for table in (self._book.truth, self._book.undecided)
        )
        clear = self._tensor((pixels == 0) & (unclear == 0) | (pixels >= VISIBLE)).float()
        fits = self._tensor(pixels > 0).float()[..., None]
        return sum(
            (losses[..., 0] * clear).sum() / clear.sum() for losses in self._whole("scenes", scenes, vectors, fits)
        )

    def _whole(self, name: str, seen: Sight, vectors: torch.Tensor, fits: torch.Tensor) -> Iterator[torch.Tensor]:
        """The losses of the class tokens, then of the means of the projected patches, of which CLIP-ES takes the
        gradients that tell where a text fits."""
        projected = self._project(seen.tokens)
        yield self.module[name](projected[:, :1], vectors[None], fits)
        yield self.module["means"](projected[:, 1:].mean(1, keepdim=True), vectors[None], fits)

    def _embed(self, texts: list[str]) -> torch.Tensor:
        encoded = self._words(texts, padding=True, return_tensors="pt").to(self._device)
        return self.model.embed_text(encoded["input_ids"], encoded["attention_mask"].sum(1))

    def _project(self, tokens: torch.Tensor) -> torch.Tensor:
        clip = self.model.network.clip
        return clip.visual_projection(clip.vision_model.post_layernorm(tokens))
