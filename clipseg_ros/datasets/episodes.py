# SPDX-License-Identifier: Apache-2.0
"""One-shot episodes: a query image, a class, and a support image of that class, drawn before any is opened.

The same arguments give the same episodes: episode i draws from NumPy's generator seeded with (seed, i), whatever
the number of episodes. Published runs drew with other generators, so their episodes are not these.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from clipseg_ros.datasets import IGNORE, DatasetError, Sample
from clipseg_ros.datasets.label_folder import Pair
from clipseg_ros.datasets.labels import read_pair, remap, table
from clipseg_ros.segmentation import Prompt, Support


class Episode(NamedTuple):
    """number: of the class, from 0. The label files of query and support hold it as number + 1."""

    query: Pair
    support: Pair
    number: int


@dataclass(frozen=True, eq=False)
class EpisodeFolder:
    """Samples of one prompt each: the class's name as text, the support image with its mask, both in one Prompt.

    names: of all class numbers; a sample's `classes` hold the number. void: values of label files that are not counted.
    Indexing raises DatasetError where a file is missing, damaged, or holds a value that is no class, and where the
    support lacks its class.
    """

    episodes: tuple[Episode, ...]
    names: tuple[str, ...]
    void: tuple[int, ...] = ()

    def __len__(self) -> int:
        """Number of episodes."""
        return len(self.episodes)

    def __getitem__(self, index: int) -> Sample:
        """Episode `index`, from 0. The target is empty where the query lacks the class."""
        query, support, number = self.episodes[index]
        image, labels = self._read(query)
        support_image, support_labels = self._read(support)
        mask = support_labels == number + 1
        if not mask.any():
            raise DatasetError(f"{support.labels}: no pixel of {self.names[number]!r}; expected value {number + 1}")
        return Sample(
            image=image,
            prompts=(Prompt(text=self.names[number], support=Support(support_image, mask)),),
            target=(labels == number + 1)[None],
            name=f"{index:05d}-{query.name}-{number}",
            classes=(number,),
            ignore=labels == IGNORE,
        )

    def _read(self, pair: Pair) -> tuple[np.ndarray, np.ndarray]:
        """Image and labels: 0 for the background, class number + 1, IGNORE."""
        image, values = read_pair(pair.picture, pair.labels)
        numbers = {value: value for value in range(len(self.names) + 1)} | dict.fromkeys(self.void, IGNORE)
        return image, remap(values, table(numbers), pair.labels)


def for_queries(
    queries: Sequence[tuple[Pair, Sequence[int]]],
    pools: Mapping[int, Sequence[Pair]],
    count: int | None = None,
    seed: int = 0,
) -> tuple[Episode, ...]:
    """Episode i asks queries[i % len] for one of its classes, uniform; the support is uniform in the class's pool.

    count: None for one episode a query. A query never supports itself: DatasetError where nothing else is left, and
    without queries.
    """
    if not queries:
        raise DatasetError("no query image: expected at least one with a class of the fold")
    episodes = []
    for index in range(len(queries) if count is None else count):
        rng = np.random.default_rng((seed, index))
        query, classes = queries[index % len(queries)]
        number = classes[rng.integers(len(classes))]
        episodes.append(Episode(query, _draw(pools[number], rng, number, query), number))
    return tuple(episodes)


def for_classes(pools: Mapping[int, Sequence[Pair]], count: int, seed: int = 0) -> tuple[Episode, ...]:
    """Episodes of a uniform class, a uniform query in its pool and a uniform support that is another image.

    Raises DatasetError where a pool has fewer than two images.
    """
    numbers = sorted(pools)
    episodes = []
    for index in range(count):
        rng = np.random.default_rng((seed, index))
        number = numbers[rng.integers(len(numbers))]
        query = _draw(pools[number], rng, number)
        episodes.append(Episode(query, _draw(pools[number], rng, number, query), number))
    return tuple(episodes)


def _draw(pool: Sequence[Pair], rng: np.random.Generator, number: int, other_than: Pair | None = None) -> Pair:
    left = [pair for pair in pool if pair != other_than]
    if not left:
        raise DatasetError(f"class {number}: {len(pool)} images to draw from; expected one besides the query")
    return left[rng.integers(len(left))]
