# SPDX-License-Identifier: Apache-2.0
"""What frozen towers say of the training pictures, computed once, so that a decoder learns from it alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from tqdm import tqdm

from clipseg_ros.masks import input_size, resize_image
from clipseg_ros.models import visual_prompts
from clipseg_ros.models.clipseg import CLIPSeg, Readouts
from clipseg_ros.models.weights import InputFormat
from clipseg_ros.segmentation import Support
from clipseg_ros.training import network
from clipseg_ros.training.recipes import Recipe
from clipseg_ros.training.views import LEAST, varied

BATCH = 32
VISUAL_PROMPT = "crop_bg_blur_intensity_10"  # the engine's default


@dataclass(frozen=True, eq=False)
class Readings:
    """Of P pictures as the engine sees a camera's: tokens (P, R, 1 + h * w, C) float16 read-outs, labels (P, H, W)
    uint8 class ids at the network's output size; of S objects shown as visual prompts: vectors (S, E) float32 and the
    class id shown (S,)."""

    tokens: np.ndarray
    labels: np.ndarray
    vectors: np.ndarray
    shown: np.ndarray
    grid: tuple[int, int]

    @property
    def cell(self) -> int:
        """Pixels of the output across one patch."""
        return self.labels.shape[1] // self.grid[0]

    def readouts(self, chosen: np.ndarray, corners: np.ndarray, side: int, device: torch.device) -> Readouts:
        """Read-outs of side x side patches from `corners` (B, 2) on, row and column, of the pictures `chosen` (B,)."""
        square = np.arange(side)[:, None] * self.grid[1] + np.arange(side)
        patches = 1 + (corners @ (self.grid[1], 1))[:, None] + square.ravel()
        patches = np.concatenate([np.zeros((len(chosen), 1), int), patches], axis=1)
        tokens = self.tokens[chosen[:, None, None], np.arange(self.tokens.shape[1])[:, None], patches[:, None]]
        return Readouts(tuple(torch.from_numpy(tokens).to(device).float().unbind(1)), (side, side))


@torch.inference_mode()
def read(model: CLIPSeg, pool: np.ndarray, recipe: Recipe, device: torch.device) -> Readings:
    """Every picture of the pool, mirrored or not, and one object of each, seen by the towers of the model."""
    rng = np.random.default_rng([recipe.masks.schedule.seed, 1])
    size = input_size(pool.shape[1:3], recipe.input_side, recipe.patch, keep_aspect=True)
    grid = (size[0] // recipe.patch, size[1] // recipe.patch)
    cell = recipe.output // recipe.grid
    labels = np.empty((len(pool), grid[0] * cell, grid[1] * cell), np.uint8)
    tokens = np.empty((len(pool), len(model.extract_layers), 1 + grid[0] * grid[1], recipe.width), np.float16)
    images = np.empty((BATCH, *size, 3), np.uint8)
    for first in tqdm(range(0, len(pool), BATCH), "reading", unit="batch"):
        count = min(BATCH, len(pool) - first)
        for index in range(count):
            picture = pool[first + index] if rng.random() < 0.5 else pool[first + index, :, ::-1]
            image = resize_image(np.ascontiguousarray(picture[..., :3]), size)
            images[index] = varied(image.astype(np.float32), rng)
            labels[first + index] = cv2.resize(
                np.ascontiguousarray(picture[..., 3]), labels.shape[:0:-1], interpolation=cv2.INTER_NEAREST
            )
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
