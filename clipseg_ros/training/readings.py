# SPDX-License-Identifier: Apache-2.0
"""What frozen towers say of the training pictures, computed once, so that a decoder learns from it alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from tqdm import tqdm

from clipseg_ros.models import visual_prompts
from clipseg_ros.models.clipseg import CLIPSeg, Readouts
from clipseg_ros.models.weights import InputFormat
from clipseg_ros.segmentation import Support
from clipseg_ros.training import network
from clipseg_ros.training.batches import crop
from clipseg_ros.training.recipes import Recipe
from clipseg_ros.training.views import LEAST

BATCH = 32
VISUAL_PROMPT = "crop_bg_blur_intensity_10"  # the engine's default


@dataclass(frozen=True, eq=False)
class Readings:
    """Of P pictures: tokens (P, R, 1 + h * w, C) float16 read-outs, labels (P, H, W) uint8 class ids at the network's
    output size; of S objects shown as visual prompts: vectors (S, E) float32 and the class id shown (S,)."""

    tokens: np.ndarray
    labels: np.ndarray
    vectors: np.ndarray
    shown: np.ndarray
    grid: tuple[int, int]

    def readouts(self, chosen: np.ndarray, device: torch.device) -> Readouts:
        """Read-outs of the pictures `chosen` (B,)."""
        tokens = torch.from_numpy(self.tokens[chosen]).to(device).float()
        return Readouts(tuple(tokens.unbind(1)), self.grid)


@torch.inference_mode()
def read(model: CLIPSeg, pool: np.ndarray, recipe: Recipe, device: torch.device) -> Readings:
    """One crop and one object of every picture of the pool, seen by the towers of the model."""
    rng = np.random.default_rng([recipe.masks.seed, 1])
    labels = np.empty((len(pool), recipe.output, recipe.output), np.uint8)
    tokens = np.empty((len(pool), len(model.extract_layers), 1 + recipe.grid**2, recipe.width), np.float16)
    images = np.empty((BATCH, recipe.side, recipe.side, 3), np.uint8)
    for first in tqdm(range(0, len(pool), BATCH), "reading", unit="batch"):
        count = min(BATCH, len(pool) - first)
        for index in range(count):
            images[index], labels[first + index] = crop(pool[first + index], recipe.side, recipe.output, rng)
        seen = model.encode_image(network.normalised(images[:count], device))
        tokens[first : first + count] = torch.stack(seen.tokens, 1).half().cpu().numpy()
    supports = [support for picture in pool if (support := _example(picture, rng)) is not None]
    vectors = _embed(model.embed_image, [support for support, _ in supports], recipe.view_side, device)
    return Readings(tokens, labels, vectors, np.array([one for _, one in supports]), seen.grid)


def _example(picture: np.ndarray, rng: np.random.Generator) -> tuple[Support, int] | None:
    sizes = np.bincount(picture[..., 3].ravel(), minlength=256)
    there = 1 + np.flatnonzero(sizes[1:] >= LEAST)
    if not len(there):
        return None
    chosen = int(rng.choice(there))
    return Support(np.ascontiguousarray(picture[..., :3]), picture[..., 3] == chosen), chosen


def _embed(
    embed: Callable[[torch.Tensor], torch.Tensor], supports: list[Support], side: int, device: torch.device
) -> np.ndarray:
    form = InputFormat(side, np.array(network.MEAN, np.float32), np.array(network.STD, np.float32))
    visual, vectors = visual_prompts.find(VISUAL_PROMPT), []
    for first in tqdm(range(0, len(supports), BATCH), "supports", unit="batch"):
        some = supports[first : first + BATCH]
        pixels = torch.stack([visual_prompts.prompt_pixels(one, visual, form, side) for one in some])
        vectors.append(embed(pixels.to(device)).float().cpu().numpy())
    return np.concatenate(vectors)
