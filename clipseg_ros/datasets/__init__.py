# SPDX-License-Identifier: Apache-2.0
"""Images with truth; one module or package per data set, read from a folder that the user supplies.

Two nouns: a Sample asks prompts of an image and knows the true mask of each; a Labelled image gives every pixel one
class. Both come from sequences: `len(dataset)`, `dataset[i]`, the same answer every time.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np

from clipseg_ros.segmentation import Prompt

IGNORE = -1
"""The class of pixels in Labelled.labels that no metric counts."""


class DatasetError(ValueError):
    """A data set that is not there or not as described; the message says what is expected where."""


@dataclass(frozen=True, eq=False)
class Sample:
    """One image (H, W, 3) uint8 RGB, its N prompts, and target (N, H, W) bool: the true mask of each prompt.

    Masks may overlap, and a mask is empty where the prompt is absent. name is unique in its data set. classes: the
    class number of each prompt, where results are averaged over classes. ignore: (H, W) bool pixels not to be counted.
    """

    image: np.ndarray
    prompts: tuple[Prompt, ...]
    target: np.ndarray
    name: str
    classes: tuple[int, ...] = ()
    ignore: np.ndarray | None = field(default=None, repr=False)


@dataclass(frozen=True, eq=False)
class Labelled:
    """One image (H, W, 3) uint8 RGB and labels (H, W) int32: a class number from 0, or IGNORE, for every pixel."""

    image: np.ndarray
    labels: np.ndarray
    name: str


class Samples(Protocol):
    """A data set of prompts and masks."""

    def __len__(self) -> int:
        """Number of samples."""

    def __getitem__(self, index: int) -> Sample:
        """Sample `index`, from 0; IndexError from len on."""


class LabelMaps(Protocol):
    """A data set of label maps. classes: the name of each class number, "background" included where it is a class."""

    classes: tuple[str, ...]

    def __len__(self) -> int:
        """Number of images."""

    def __getitem__(self, index: int) -> Labelled:
        """Image `index`, from 0; IndexError from len on."""


def expect(path: Path, what: str) -> Path:
    """The path itself. Raises DatasetError, which says what should lie there, where there is nothing."""
    if not path.exists():
        raise DatasetError(f"{path}: not there; expected {what}")
    return path
