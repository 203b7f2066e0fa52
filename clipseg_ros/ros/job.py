# SPDX-License-Identifier: Apache-2.0
"""All that may change while the node runs, in one immutable piece: each frame takes the newest whole."""

from __future__ import annotations

from dataclasses import dataclass, replace

from clipseg_ros.queries import Entry, Query
from clipseg_ros.queries.fusion import fuse
from clipseg_ros.ros.parameters import Parameters
from clipseg_ros.segmentation import Prompt, Segmentation


@dataclass(frozen=True)
class Job:
    """The settings and the active queries; entries carry the ids of the labels."""

    settings: Parameters
    entries: tuple[Entry, ...]

    @property
    def queries(self) -> tuple[Query, ...]:
        """The entries' queries."""
        return tuple(entry.query for entry in self.entries)

    @property
    def prompts(self) -> tuple[Prompt, ...]:
        """The entries' prompts, those without a threshold with that of the settings, where that is above 0."""
        return tuple(self._complete(query.prompt) for query in self.queries)

    @property
    def searched(self) -> tuple[Prompt, ...]:
        """What an engine gets: the prompts of each query, one query after the other."""
        return tuple(self._complete(prompt) for query in self.queries for prompt in query.searched)

    def fused(self, result: Segmentation) -> Segmentation:
        """What an engine found of `searched` as what it found of the entries; its prompts are `prompts`."""
        return fuse(result, self.queries, self.prompts)

    def _complete(self, prompt: Prompt) -> Prompt:
        if prompt.threshold is not None or self.settings.threshold == 0.0:
            return prompt
        return replace(prompt, threshold=self.settings.threshold)
