# SPDX-License-Identifier: Apache-2.0
"""Where ZegCLIP's training examples come from, each opener a function of a root and a training's views."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from clipseg_ros.datasets import IGNORE, LabelMaps
from clipseg_ros.datasets.coco import COCO_STUFF_UNSEEN, coco_stuff
from clipseg_ros.datasets.context import CONTEXT60_UNSEEN, context60
from clipseg_ros.datasets.voc import VOC20_UNSEEN, voc20
from clipseg_ros.evaluation.zegclip_scenes import CLASSES, UNSEEN, kind_table
from clipseg_ros.masks import input_size, resize_image
from clipseg_ros.models.weights import InputFormat
from clipseg_ros.training.pool import render_pool
from clipseg_ros.training.views import varied
from clipseg_ros.training.zegclip_losses import IGNORED
from clipseg_ros.training.zegclip_task import Example
from clipseg_ros.training.zegclip_views import Views, draw_view

SCENES = 3_200
KIND_OF = kind_table()
CELL = 4  # pixels of a scene a label, finer than which the patches of small towers do not tell


@dataclass(frozen=True, eq=False)
class LabelViews:
    """A Source of a data set with label maps, seen through the published augmentations.

    told: whether training knows the labels of unseen classes; otherwise they do not decide which cut-out is taken.
    """

    data: LabelMaps
    unseen: tuple[int, ...]
    told: bool
    views: Views
    form: InputFormat

    @property
    def classes(self) -> tuple[str, ...]:
        """The data set's."""
        return self.data.classes

    def __len__(self) -> int:
        """Number of pictures."""
        return len(self.data)

    def draw(self, index: int, rng: np.random.Generator) -> Example:
        """A cut-out of picture `index`."""
        sample = self.data[index]
        labels = np.where(sample.labels == IGNORE, IGNORED, sample.labels).astype(np.int16)
        hidden = () if self.told else self.unseen
        return Example(*draw_view(sample.image, labels, hidden, self.views, self.form, rng))


@dataclass(frozen=True, eq=False)
class SceneCuts:
    """A Source of rendered scenes pool (P, H, W, 4) uint8, RGB and class id: squares of views.side around a pixel of an
    object, of a seen kind unless unseen ones are `told`, out of the picture as an engine sees it, at its place in that.
    """

    pool: np.ndarray
    views: Views
    form: InputFormat
    patch: int
    told: bool
    classes: tuple[str, ...] = CLASSES
    unseen: tuple[int, ...] = tuple(CLASSES.index(name) for name in UNSEEN)

    def __len__(self) -> int:
        """Number of pictures."""
        return len(self.pool)

    def draw(self, index: int, rng: np.random.Generator) -> Example:
        """A cut-out of picture `index`, mirrored at every second time, its light varied."""
        picture, side = self.pool[index], self.views.side
        picture = np.ascontiguousarray(picture[:, ::-1] if rng.random() < 0.5 else picture)
        size = input_size(picture.shape[:2], self.form.side, self.patch, keep_aspect=True)
        kinds = KIND_OF[picture[..., 3]]
        objects = np.argwhere((kinds != IGNORE) & ~np.isin(kinds, () if self.told else self.unseen))
        spot = objects[rng.integers(len(objects))] if len(objects) else np.array(picture.shape[:2]) // 2
        spot = spot * size // picture.shape[:2]
        top, left = np.clip(spot - rng.integers(0, side, 2), 0, np.array(size) - side)
        box = np.s_[top : top + side, left : left + side]
        image = varied(resize_image(picture[..., :3].copy(), size)[box].astype(np.float32), rng)
        rows, columns = (
            (np.arange(start, start + side, CELL) + 0.5 * CELL) * whole // length
            for start, whole, length in zip((top, left), picture.shape, size)
        )
        labels = kinds[np.ix_(rows.astype(int), columns.astype(int))]
        labels = np.where(labels == IGNORE, IGNORED, labels).astype(np.int16)
        span = (top / size[0], left / size[1], side / size[0], side / size[1])
        return Example(self.form.normalise(image)[0].numpy(), labels, span)


def voc(root: Path, views: Views, form: InputFormat, patch: int, told: bool) -> LabelViews:
    """VOC 2012's trainaug; root: VOCdevkit/VOC2012. Raises DatasetError."""
    return LabelViews(voc20(root, "trainaug"), VOC20_UNSEEN, told, views, form)


def coco(root: Path, views: Views, form: InputFormat, patch: int, told: bool) -> LabelViews:
    """COCO-Stuff 164K's train2017; root: coco_stuff164k as mmsegmentation converts it. Raises DatasetError."""
    return LabelViews(coco_stuff(root, "train", "train_ids"), COCO_STUFF_UNSEEN, told, views, form)


def context(root: Path, views: Views, form: InputFormat, patch: int, told: bool) -> LabelViews:
    """Pascal Context's train with its background as a class; root: VOCdevkit/VOC2010. Raises DatasetError."""
    return LabelViews(context60(root, "train"), CONTEXT60_UNSEEN, told, views, form)


def scenes(root: Path, views: Views, form: InputFormat, patch: int, told: bool) -> SceneCuts:
    """The first scenes of the demo recipes, rendered into root/pool unless they are there."""
    return SceneCuts(render_pool(root / "pool", 0, SCENES, os.cpu_count() or 1), views, form, patch, told)
