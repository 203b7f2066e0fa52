# SPDX-License-Identifier: Apache-2.0
"""Several prompts that mean one thing: what an engine found of each -> what it found of the thing.

The score of a query is the maximum of its prompts' scores, so a pixel belongs to it where any of them reaches the
query's threshold. Nothing is computed before it is asked for, as in every ScoreMaps.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np

from clipseg_ros.queries.entries import Query
from clipseg_ros.segmentation import Prompt, ScoreMaps, Segmentation, Verdict


@dataclass(frozen=True, eq=False)
class FusedMaps:
    """ScoreMaps of N things over `maps`, whose prompts are those of the first thing, of the second, and so on.

    counts: how many prompts each thing has, at least one. Thresholds are those of the things.
    """

    maps: ScoreMaps
    counts: tuple[int, ...]

    def scores(self) -> np.ndarray:
        """(N, H, W) float32."""
        return np.maximum.reduceat(self.maps.scores(), self._starts, axis=0)

    def score(self) -> np.ndarray:
        """(H, W) float32: the maximum over things is that over prompts."""
        return self.maps.score()

    def masks(self, thresholds: np.ndarray) -> np.ndarray:
        """(N, H, W) bool: the union of each thing's masks."""
        return np.logical_or.reduceat(self.maps.masks(self._each(thresholds)), self._starts, axis=0)

    def labels(self, thresholds: np.ndarray) -> np.ndarray:
        """(H, W) uint8: the thing of the best prompt; ties still go to the earlier thing."""
        things = np.repeat(np.arange(1, len(self.counts) + 1, dtype=np.uint8), self.counts)
        return np.concatenate([np.zeros(1, np.uint8), things])[self.maps.labels(self._each(thresholds))]

    def present(self, thresholds: np.ndarray) -> np.ndarray:
        """(N,) bool: some prompt of the thing was found."""
        return np.logical_or.reduceat(self.maps.present(self._each(thresholds)), self._starts)

    @property
    def _starts(self) -> np.ndarray:
        return np.cumsum((0, *self.counts[:-1]))

    def _each(self, thresholds: np.ndarray) -> np.ndarray:
        return np.repeat(thresholds, self.counts)


def fuse(result: Segmentation, queries: Sequence[Query], prompts: Sequence[Prompt]) -> Segmentation:
    """The result whose prompts are those searched for the queries, with one prompt a query, that of `prompts`."""
    if not any(query.parts for query in queries):
        return result
    counts = tuple(len(query.searched) for query in queries)
    verdicts = _fused_verdicts(result.verdicts, counts) if result.verdicts else ()
    return replace(result, prompts=tuple(prompts), maps=FusedMaps(result.maps, counts), verdicts=verdicts)


def _fused_verdicts(verdicts: Sequence[Verdict], counts: Sequence[int]) -> tuple[Verdict, ...]:
    """A thing is as sure as its surest prompt, and dropped with its last."""
    each, fused = iter(verdicts), []
    for count in counts:
        own = list(islice(each, count))
        steps = [verdict.dropped_at for verdict in own]
        fused.append(Verdict(max(verdict.confidence for verdict in own), None if None in steps else max(steps)))
    return tuple(fused)
