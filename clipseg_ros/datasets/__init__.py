# SPDX-License-Identifier: Apache-2.0
"""Images with prompts and truth; one module or package per data set."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from clipseg_ros.segmentation import Prompt


@dataclass(frozen=True, eq=False)
class Sample:
    """One image (H, W, 3) uint8 RGB, its N prompts, and target (N, H, W) bool: the true mask of each prompt.

    Masks may overlap, and a mask is empty where the prompt is absent. name is unique in its data set.
    """

    image: np.ndarray
    prompts: tuple[Prompt, ...]
    target: np.ndarray
    name: str
