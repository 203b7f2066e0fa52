# SPDX-License-Identifier: Apache-2.0
"""What the command line asks for, and the table of what was found."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import yaml

from clipseg_ros.queries import MAX_PROMPTS, QuerySet, parse
from clipseg_ros.segmentation import Prompt, Segmentation


def read_prompts(query: str) -> tuple[Prompt, ...]:
    """The prompts of --query, at least one. Raises QueryError, ValueError."""
    queries = QuerySet(MAX_PROMPTS)
    queries.replace(parse(query))
    if not queries.prompts:
        raise ValueError(f"--query {query!r}: no prompt in it; write what to look for, such as 'red mug; chair'")
    return queries.prompts


def read_options(words: Sequence[str]) -> dict[str, object]:
    """KEY=VALUE words with values read as YAML: keep_aspect=true, extract_layers=[3,7,9]. Raises ValueError."""
    options = {}
    for word in words:
        key, equals, text = word.partition("=")
        if not key or not equals:
            raise ValueError(f"--option {word!r}: expected KEY=VALUE")
        try:
            value = yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise ValueError(f"--option {word!r}: {text!r} is no YAML value ({error})") from None
        options[key] = text if isinstance(value, dict) else value  # `{}` stands in a template, and no option is a dict
    return options


class Found:
    """What was found of each prompt so far: images with a pixel at or above its threshold, and the highest score."""

    def __init__(self, prompts: Sequence[Prompt]) -> None:
        self.prompts = tuple(prompts)
        self.images = 0
        self.hits = np.zeros(len(prompts), int)
        self.peaks = np.zeros(len(prompts), np.float32)

    def add(self, result: Segmentation, threshold: float | None) -> None:
        """Count one more image."""
        self.images += 1
        self.hits += result.masks(threshold).any(axis=(1, 2))
        np.maximum(self.peaks, result.scores.max(axis=(1, 2)), out=self.peaks)

    def merge(self, other: Found) -> None:
        """Count the images of another with the same prompts."""
        self.images += other.images
        self.hits += other.hits
        np.maximum(self.peaks, other.peaks, out=self.peaks)

    def table(self) -> str:
        """A row a prompt."""
        width = max(len("prompt"), *(len(prompt.name) for prompt in self.prompts))
        rows = [f"{'prompt':{width}}  found in  peak score"]
        for prompt, hits, peak in zip(self.prompts, self.hits, self.peaks):
            rows.append(f"{prompt.name:{width}}  {f'{hits} of {self.images}':>8}  {peak:10.3f}")
        return "\n".join(rows)
