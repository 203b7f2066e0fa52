# SPDX-License-Identifier: Apache-2.0
"""Phrases with a support: another sample of the same phrase, for benchmarks that ask PhraseCut by image."""

from __future__ import annotations

from dataclasses import replace
from typing import Protocol

import numpy as np

from clipseg_ros.datasets import Sample, Samples
from clipseg_ros.segmentation import Support


class Phrases(Samples, Protocol):
    """A data set of samples of one phrase each, and the number of each sample's image."""

    phrases: tuple[str, ...]
    image_ids: tuple[int, ...]


class SupportedPhrases:
    """The samples of a data set, each with a support drawn from the others of its phrase, the same at every call.

    Never the sample itself, and never of its image: the authors' code draws any sample of the phrase, so also the very
    one that is asked. A phrase that occurs in one image alone keeps its text alone.
    """

    def __init__(self, samples: Phrases, seed: int = 123) -> None:
        self._samples, self._seed = samples, seed
        self._phrases, self._image_ids = samples.phrases, samples.image_ids
        self._same: dict[str, list[int]] = {}
        for index, phrase in enumerate(self._phrases):
            self._same.setdefault(phrase, []).append(index)

    def __len__(self) -> int:
        """Number of samples."""
        return len(self._samples)

    def __getitem__(self, index: int) -> Sample:
        """Sample `index` with its support, where there is one."""
        sample, own = self._samples[index], self._image_ids[index]
        others = [other for other in self._same[self._phrases[index]] if self._image_ids[other] != own]
        for other in np.random.default_rng([self._seed, index]).permutation(np.array(others, int)).tolist():
            shown = self._samples[other]
            if shown.target[0].any():
                support = Support(shown.image, shown.target[0])
                return replace(sample, prompts=(replace(sample.prompts[0], support=support),))
        return sample
