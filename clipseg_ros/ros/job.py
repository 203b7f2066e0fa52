# SPDX-License-Identifier: Apache-2.0
"""All that may change while the node runs, in one immutable piece: each frame takes the newest whole."""

from __future__ import annotations

from dataclasses import dataclass, replace

from clipseg_ros.queries import Entry
from clipseg_ros.ros.parameters import Parameters
from clipseg_ros.segmentation import Prompt


@dataclass(frozen=True)
class Job:
    """The settings and the active queries; entries carry the ids of the labels."""

    settings: Parameters
    entries: tuple[Entry, ...]

    @property
    def prompts(self) -> tuple[Prompt, ...]:
        """The entries' prompts, those without a threshold with that of the settings, where that is above 0."""
        return tuple(self._complete(entry.prompt) for entry in self.entries)

    def _complete(self, prompt: Prompt) -> Prompt:
        if prompt.threshold is not None or self.settings.threshold == 0.0:
            return prompt
        return replace(prompt, threshold=self.settings.threshold)
