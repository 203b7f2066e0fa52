# SPDX-License-Identifier: Apache-2.0
"""Training examples: a bright square on a dark picture, which "square" means and "circle" does not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from clipseg_ros.datasets import Sample
from clipseg_ros.segmentation import Prompt, Support
from clipseg_ros.training.published import Recipe

SIDE = 64


class Blobs:
    """Ten samples; the phrase of every other one is absent; a support is in the even ones where wanted."""

    def __init__(self, supports: bool = True) -> None:
        self._supports = supports
        self.drawn: list[int] = []

    def __len__(self) -> int:
        return 10

    def draw(self, index: int, rng: np.random.Generator) -> Sample:
        self.drawn.append(index)
        image, mask = picture(rng)
        absent = index % 2 == 1
        support = Support(*picture(rng)) if self._supports and not absent else None
        prompt = Prompt("circle" if absent else "square", support, float(rng.uniform(0.0, 0.5)))
        return Sample(image, (prompt,), (mask & (not absent))[None], str(index))


def picture(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    mask = np.zeros((SIDE, SIDE), bool)
    top, left = rng.integers(0, SIDE // 2, 2)
    mask[top : top + SIDE // 2, left : left + SIDE // 2] = True
    image = rng.integers(0, 60, (SIDE, SIDE, 3), np.uint8)
    image[mask] += 180
    return image, mask


@pytest.fixture(scope="session")
def blobs() -> type[Blobs]:
    """The source of the examples; `source` beside it opens one."""
    return Blobs


def source(recipe: Recipe, root: Path, split: str) -> Blobs:
    """An opener, as recipes name it."""
    return Blobs(recipe.drawing.supports)
