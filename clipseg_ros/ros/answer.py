# SPDX-License-Identifier: Apache-2.0
"""One frame and what was found in it: every array that a topic shows, computed when it is asked for and once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np

from clipseg_ros import masks
from clipseg_ros.masks import Component
from clipseg_ros.queries import Entry
from clipseg_ros.ros.companions import Belongings
from clipseg_ros.ros.parameters import Parameters
from clipseg_ros.segmentation import Frame, Segmentation


@dataclass(frozen=True, eq=False)
class Answer:
    """result.prompts are those of `entries`; belongings: the camera_info and depth of the frame."""

    frame: Frame
    result: Segmentation
    entries: Sequence[Entry]
    settings: Parameters
    belongings: Belongings

    @cached_property
    def labels(self) -> np.ndarray:
        """(H, W) uint8: the entry's id, 0 background."""
        return np.array([0, *(entry.id for entry in self.entries)], np.uint8)[self._places]

    @cached_property
    def mask(self) -> np.ndarray:
        """(H, W) uint8: 255 where any prompt is, else 0."""
        return np.where(self._places > 0, np.uint8(255), np.uint8(0))

    @cached_property
    def prompt_masks(self) -> np.ndarray:
        """(N, H, W) bool, overlapping, in the order of the entries."""
        return self.result.masks()

    @cached_property
    def overlay(self) -> np.ndarray:
        """(H, W, 3) uint8 RGB."""
        return masks.overlay(self.frame.image, self.labels, self.settings.overlay_opacity)

    @property
    def stack(self) -> np.ndarray:
        """(N * H, W) uint8: 0 or 255, the masks one below the other."""
        return self.prompt_masks.reshape(-1, self.prompt_masks.shape[2]).astype(np.uint8) * 255

    @property
    def confidence(self) -> np.ndarray:
        """(H, W) uint8: 255 times the score of the labelled prompt, 0 for background."""
        if len({prompt.threshold for prompt in self.result.prompts}) == 1:
            score = self.result.score  # one threshold for all: the labelled prompt is the one that scores highest
        else:
            places = np.maximum(self._places, 1)[None].astype(np.intp) - 1
            score = np.take_along_axis(self.result.scores, places, axis=0)[0]
        return np.where(self._places > 0, np.rint(score * 255.0), 0.0).astype(np.uint8)

    @property
    def channels(self) -> np.ndarray:
        """(h, w, N) float32 in [0, 1]: the scores, at `scores_scale` of the image's size, area-averaged."""
        scores, scale = self.result.scores, self.settings.scores_scale
        if scale < 1.0:
            height, width = (max(1, round(side * scale)) for side in scores.shape[1:])
            scores = np.stack([cv2.resize(one, (width, height), interpolation=cv2.INTER_AREA) for one in scores])
        return np.ascontiguousarray(scores.transpose(1, 2, 0))

    @property
    def detections(self) -> list[tuple[Entry, Component]]:
        """The components of each entry's mask, those of the first entry first, the larger before the smaller."""
        least = self.settings.min_area
        parts = zip(self.entries, self.prompt_masks, self.result.scores)
        return [(entry, part) for entry, mask, score in parts for part in masks.components(mask, score, least)]

    @cached_property
    def target(self) -> np.ndarray:
        """(H, W) bool: the largest component of the mask with the highest mean score; empty where there is none."""
        best = masks.best_of(self.prompt_masks, self.result.scores)
        if best is None:
            return np.zeros(self._places.shape, bool)
        return masks.largest_component(self.prompt_masks[best], self.settings.min_area)

    @cached_property
    def _places(self) -> np.ndarray:
        return self.result.labels()
