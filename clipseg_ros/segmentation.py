# SPDX-License-Identifier: Apache-2.0
"""The nouns that every part of the package shares: Frame, Support, Prompt, Segmentation."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from functools import cached_property
from typing import Protocol

import numpy as np


class PromptError(ValueError):
    """A prompt that cannot be used; the message holds the prompt, the reason and the remedy."""


def check_image(image: np.ndarray) -> None:
    """Raise ValueError unless image is (H, W, 3) uint8 with at least one pixel."""
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or image.size == 0:
        raise ValueError(f"image of shape {image.shape} and dtype {image.dtype}: expected (H, W, 3) uint8 RGB")


@dataclass(frozen=True, eq=False)
class Frame:
    """One camera picture: image (H, W, 3) uint8 RGB, capture time in nanoseconds, optical frame."""

    image: np.ndarray
    stamp_ns: int = 0
    frame_id: str = ""

    def __post_init__(self) -> None:
        check_image(self.image)


@dataclass(frozen=True, eq=False)
class Support:
    """An example to search for: support image (H, W, 3) uint8 RGB and support mask (H, W) bool.

    Two supports are equal when their pixels are. Raises PromptError where sizes differ or the mask is empty.
    """

    image: np.ndarray
    mask: np.ndarray

    def __post_init__(self) -> None:
        check_image(self.image)
        if self.mask.shape != self.image.shape[:2] or self.mask.dtype != bool:
            raise PromptError(
                f"support mask of shape {self.mask.shape} and dtype {self.mask.dtype}: "
                f"expected {self.image.shape[:2]} bool, the size of its image"
            )
        if not self.mask.any():
            raise PromptError("support mask is empty: mark the pixels of the example")

    @cached_property
    def digest(self) -> str:
        """Hexadecimal SHA-256 of size, image and mask: the identity of this support."""
        content = hashlib.sha256(str(self.image.shape).encode())
        content.update(np.ascontiguousarray(self.image))
        content.update(np.ascontiguousarray(self.mask))
        return content.hexdigest()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Support) and self.digest == other.digest

    def __hash__(self) -> int:
        return hash(self.digest)


@dataclass(frozen=True)
class Prompt:
    """What to look for: a text, a support, or both mixed with `text_weight` in [0, 1] on the text.

    label: the name shown to people, the text unless given. threshold: the score in (0, 1] at or above which a
    pixel belongs to this prompt, None for the caller's or the engine's. Raises PromptError.
    """

    text: str = ""
    support: Support | None = None
    text_weight: float = 0.5
    label: str = ""
    threshold: float | None = None

    def __post_init__(self) -> None:
        if not self.text and self.support is None:
            raise PromptError("prompt without text and without support: give one of them")
        if not 0.0 <= self.text_weight <= 1.0:
            raise PromptError(f"text_weight {self.text_weight}: expected 0 (support alone) to 1 (text alone)")
        if self.threshold is not None and not 0.0 < self.threshold <= 1.0:
            raise PromptError(f"threshold {self.threshold} of {self.name!r}: expected above 0 and at most 1")

    @property
    def name(self) -> str:
        """The label, else the text, else the beginning of the support's digest."""
        return self.label or self.text or f"support {self.support.digest[:8]}"


class ScoreMaps(Protocol):
    """Scores of N prompts over one image, kept where and at the size they were computed until asked.

    Thresholds are (N,) float arrays in (0, 1]; a pixel belongs to a prompt at or above its threshold.
    """

    def scores(self) -> np.ndarray:
        """(N, H, W) float32 in [0, 1] at the image's own size."""

    def score(self) -> np.ndarray:
        """(H, W) float32: the maximum over the prompts, 0 where there is none."""

    def masks(self, thresholds: np.ndarray) -> np.ndarray:
        """(N, H, W) bool."""

    def labels(self, thresholds: np.ndarray) -> np.ndarray:
        """(H, W) uint8: 1 + index of the best prompt among those reaching their threshold, else 0."""

    def present(self, thresholds: np.ndarray) -> np.ndarray:
        """(N,) bool: the prompts that the engine found."""


@dataclass(frozen=True)
class Verdict:
    """How sure an engine that judges its masks is of a prompt's, in [0, 1]; dropped_at: the step, from 1, at which it
    dropped the prompt, None where it kept it."""

    confidence: float
    dropped_at: int | None = None


@dataclass(frozen=True, eq=False)
class Segmentation:
    """What an engine found of `prompts` in one image; every array is computed when it is asked for.

    A prompt's threshold is its own, else the argument of the call, else `threshold`, the engine's default. verdicts:
    one a prompt, of engines that judge their masks; others give none.
    """

    prompts: tuple[Prompt, ...]
    maps: ScoreMaps = field(repr=False)
    threshold: float
    verdicts: tuple[Verdict, ...] = ()

    @cached_property
    def present(self) -> np.ndarray:
        """(N,) bool: some pixel reaches the prompt's threshold (or the engine's own word, where it has one)."""
        return self.maps.present(self._thresholds(None))

    @cached_property
    def scores(self) -> np.ndarray:
        """(N, H, W) float32 in [0, 1], on the image's own grid."""
        return self.maps.scores()

    @cached_property
    def score(self) -> np.ndarray:
        """(H, W) float32 in [0, 1]: the maximum over the prompts; 0 without prompts."""
        return self.maps.score()

    def masks(self, threshold: float | None = None) -> np.ndarray:
        """(N, H, W) bool: one mask a prompt; they may overlap."""
        return self.maps.masks(self._thresholds(threshold))

    def labels(self, threshold: float | None = None) -> np.ndarray:
        """(H, W) uint8: i + 1 is prompts[i], the highest score among those at or above their own threshold;
        0 where none is; ties go to the earlier prompt."""
        return self.maps.labels(self._thresholds(threshold))

    def mask(self, threshold: float | None = None) -> np.ndarray:
        """(H, W) bool: the union of the masks."""
        return self.labels(threshold) > 0

    def _thresholds(self, threshold: float | None) -> np.ndarray:
        default = self.threshold if threshold is None else threshold
        return np.array([default if p.threshold is None else p.threshold for p in self.prompts], np.float32)
