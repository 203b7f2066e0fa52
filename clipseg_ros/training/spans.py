# SPDX-License-Identifier: Apache-2.0
"""Which part of a whole picture a cut-out is to be taken for, since the places of patches are learned too.

A camera's picture spreads all places that the tower knows over its own grid, so that neighbours lie as far apart as its
aspect says; cut-outs are shown at the same distances, else what was learned from them would not hold for pictures.
"""

from __future__ import annotations

import numpy as np

from clipseg_ros.training.recipes import Recipe

ASPECTS = (0.7, 1.9)  # width by height of pictures: from 3:4 to 16:9 and a little more


def draw_scene_spans(count: int, recipe: Recipe, rng: np.random.Generator) -> np.ndarray:
    """(count, 4) float32 spans as CLIPSeg.encode_image takes them: of a square of recipe.side, anywhere in pictures of
    any aspect that have input_side^2 pixels."""
    longer = np.exp(0.5 * rng.uniform(*np.log(ASPECTS), count))
    part = recipe.side / recipe.input_side
    return _anywhere(np.stack([part * longer, part / longer], axis=1), rng)


def draw_view_spans(count: int, recipe: Recipe, rng: np.random.Generator) -> np.ndarray:
    """(count, 4) float32: half of the object views are whole pictures, as when a support is shown; the others are parts
    of any size between what they are in a camera's picture and all of it."""
    least = recipe.view_side / recipe.input_side
    sizes = np.exp(rng.uniform(np.log(least), 0.0, (count, 1))).repeat(2, axis=1)
    sizes[rng.random(count) < 0.5] = 1.0
    return _anywhere(sizes, rng)


def _anywhere(sizes: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    sizes = np.minimum(sizes, 1.0)
    return np.concatenate([rng.random(sizes.shape) * (1.0 - sizes), sizes], axis=1, dtype=np.float32)
