# SPDX-License-Identifier: Apache-2.0
"""OVSeg in small, on rendered tabletop scenes and the demo's CLIP: what it learns from.

The CLIP is taken at the side at which it saw single objects in its training, so that a cut-out costs 64 patches.
"""

from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np
import torch
from torch.nn import functional as F
from transformers import CLIPSegConfig, CLIPSegModel

from clipseg_ros.evaluation.ovseg_oracle import perturbed
from clipseg_ros.evaluation.ovseg_scenes import NAMES, labels_of
from clipseg_ros.masks import resize_image
from clipseg_ros.models import clip as clip_files
from clipseg_ros.models.weights import InputFormat
from clipseg_ros.training.ovseg_pair_folder import cut, drawn_part
from clipseg_ros.training.pool import CHUNK, render_pool
from clipseg_ros.training.views import varied

SIZE = (96, 128)  # of pictures for the proposal network
SCENES = 110 * CHUNK  # whole files of the demo recipes' own pool
LEAST = 60  # pixels of an object from which it is a training example


def clip_at(folder: Path, side: int) -> CLIPSegModel:
    """The CLIP of a folder for squares of `side` pixels: its table of positions resized bilinearly."""
    old = clip_files.load(folder, torch.float32)
    settings = old.config.to_dict()
    settings["vision_config"]["image_size"] = side
    made = CLIPSegModel(CLIPSegConfig(**settings))
    weights, place = old.state_dict(), "vision_model.embeddings.position_embedding.weight"
    table, before = weights[place], old.config.vision_config.image_size // old.config.vision_config.patch_size
    now = side // old.config.vision_config.patch_size
    plane = F.interpolate(table[1:].mT.unflatten(1, (before, before))[None], (now, now), mode="bilinear")
    weights[place] = torch.cat([table[:1], plane[0].flatten(1).mT])
    made.load_state_dict(weights)
    return made.eval()


def scene_pool(root: Path) -> np.ndarray:
    """The first scenes of the demo recipes, rendered into root/pool unless they are there."""
    return render_pool(root / "pool", 0, SCENES, os.cpu_count() or 1)


class Scenes:
    """Pictures of a pool (see pool.render_pool) with the class of every pixel, for the proposal network."""

    def __init__(self, pool: np.ndarray, size: tuple[int, int]) -> None:
        self._pool, self._size = pool, size

    def __len__(self) -> int:
        """Number of pictures."""
        return len(self._pool)

    def draw(self, index: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Image (h, w, 3) uint8 and labels (h, w) int32 of a random part of 60 to 100 % of picture `index`."""
        picture, share = self._pool[index], rng.uniform(0.6, 1.0)
        sizes = [int(length * share) for length in picture.shape[:2]]
        top, left = (int(rng.integers(length - size + 1)) for length, size in zip(picture.shape[:2], sizes))
        window = picture[top : top + sizes[0], left : left + sizes[1]]
        window = np.ascontiguousarray(window[:, ::-1] if rng.random() < 0.5 else window)
        image = varied(resize_image(np.ascontiguousarray(window[..., :3]), self._size).astype(np.float32), rng)
        labels = cv2.resize(window[..., 3], self._size[::-1], interpolation=cv2.INTER_NEAREST)
        return image, labels_of(labels)


class SceneCutOuts:
    """Cut-outs of the objects of a pool, their masks as a network might propose them, and what they show."""

    def __init__(self, pool: np.ndarray, form: InputFormat, side: int) -> None:
        self._pool, self._form, self._side = pool, form, side

    def __len__(self) -> int:
        """Number of pictures; each draw shows one object."""
        return len(self._pool)

    def draw(self, index: int, rng: np.random.Generator) -> tuple[torch.Tensor, torch.Tensor, str]:
        """As PairFolder.draw, of a random object of picture `index`; grey, and no word, where it has none."""
        picture = self._pool[index]
        sizes = np.bincount(picture[..., 3].ravel(), minlength=256)
        sizes[0] = 0
        large = np.flatnonzero(sizes >= LEAST)
        if not len(large):
            return torch.zeros(3, self._side, self._side), torch.ones(1, self._side, self._side, dtype=torch.bool), ""
        shown = int(rng.choice(large))
        mask = perturbed(picture[..., 3] == shown, rng)
        pixels, mask = drawn_part(cut(picture[..., :3], mask), self._form, self._side, rng)
        if rng.random() < 0.5:
            pixels, mask = pixels.flip(2), mask.flip(2)
        return pixels, mask, NAMES[shown - 1]
