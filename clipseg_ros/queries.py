# SPDX-License-Identifier: Apache-2.0
"""The query language: the text of `seg_query` -> prompts, and the active prompts with ids that stay.

Prompts are separated by `;` or line breaks; a JSON list says more of each:
    red mug; something to sit on
    ["red mug", {"text": "cup", "label": "my cup", "threshold": 0.4}]
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np

from clipseg_ros.segmentation import Prompt, PromptError

MAX_PROMPTS = 254  # ids are 1..254: 0 is background and 255 means unlabelled
MAX_CHARACTERS = 200  # a text longer than that never fits the 77 tokens of CLIP
KEYS = ("text", "label", "threshold")
EXAMPLE = '["red mug", {"text": "cup", "label": "my cup", "threshold": 0.4}]'


class QueryError(ValueError):
    """A query that is refused; the message holds the value, the reason and the remedy."""


@dataclass(frozen=True)
class Entry:
    """An active prompt and its id in 1..254, the value of its pixels in published labels."""

    id: int
    prompt: Prompt


class QuerySet:
    """The active prompts, at most `limit` of them, in order, with stable ids.

    A prompt keeps its id for as long as it stays in the set; a new threshold makes no new prompt. New prompts take
    ids that were never used, then the one that has been free the longest. Raises ValueError for a bad limit.
    """

    def __init__(self, limit: int = MAX_PROMPTS) -> None:
        if not 1 <= limit <= MAX_PROMPTS:
            raise ValueError(f"limit of {limit} prompts: expected 1 to {MAX_PROMPTS}")
        self._limit = limit
        self._free = deque(range(1, MAX_PROMPTS + 1))
        self._entries: tuple[Entry, ...] = ()

    @property
    def entries(self) -> tuple[Entry, ...]:
        """Prompts with their ids; a snapshot that later changes leave alone."""
        return self._entries

    @property
    def prompts(self) -> tuple[Prompt, ...]:
        """The prompts in order, as an engine takes them."""
        return tuple(entry.prompt for entry in self._entries)

    @property
    def ids(self) -> np.ndarray:
        """(N,) uint8: the ids, in the order of the prompts."""
        return np.array([entry.id for entry in self._entries], np.uint8)

    def replace(self, prompts: Iterable[Prompt]) -> bool:
        """Make these the active prompts; of duplicates the first stays. False where nothing changes.

        Raises QueryError where they are too many; the old ones stay.
        """
        wanted = _distinct(prompts)
        if len(wanted) > self._limit:
            raise QueryError(f"{len(wanted)} prompts: at most {self._limit} fit; send fewer, or raise the limit")
        if tuple(wanted.values()) == self.prompts:
            return False
        ids = {_identity(entry.prompt): entry.id for entry in self._entries}
        self._free.extend(id_ for key, id_ in ids.items() if key not in wanted)
        self._entries = tuple(
            Entry(ids[key] if key in ids else self._free.popleft(), prompt) for key, prompt in wanted.items()
        )
        return True


def parse(text: str) -> tuple[Prompt, ...]:
    """The prompts of a query, in order; duplicates are dropped, the first stays; () for an empty one.

    Texts are kept as written but for white space, of which each run becomes one blank. Raises QueryError.
    """
    if text.lstrip().startswith("["):
        prompts = [_from_json(item, place) for place, item in enumerate(_read_list(text), start=1)]
    else:
        texts = (_clean(part, "prompt") for part in re.split(r"[;\r\n]", text))
        prompts = [Prompt(part) for part in texts if part]
    return tuple(_distinct(prompts).values())


def _identity(prompt: Prompt) -> Prompt:
    return replace(prompt, threshold=None)


def _distinct(prompts: Iterable[Prompt]) -> dict[Prompt, Prompt]:
    """Identity -> prompt, in order, the first of each."""
    distinct: dict[Prompt, Prompt] = {}
    for prompt in prompts:
        distinct.setdefault(_identity(prompt), prompt)
    return distinct


def _clean(text: str, what: str) -> str:
    """One blank for each run of white space; refused where too long or not a text to read."""
    text = " ".join(text.split())
    if len(text) > MAX_CHARACTERS:
        raise QueryError(f"{what} of {len(text)} characters: at most {MAX_CHARACTERS}; shorten {text[:40] + '...'!r}")
    for character in text:
        if unicodedata.category(character) in ("Cc", "Cs"):  # control characters and halves of surrogate pairs
            raise QueryError(f"{what} {text!r} holds the control character {character!r}: remove it")
    return text


def _read_list(text: str) -> list[object]:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise QueryError(f"broken JSON, {error}: a query that begins with [ is a list such as {EXAMPLE}") from None


def _from_json(item: object, place: int) -> Prompt:
    """The prompt of one item of a JSON list, the `place`-th."""
    if isinstance(item, str):
        item = {"text": item}
    if not isinstance(item, dict):
        raise QueryError(f"prompt {place} is {json.dumps(item)[:40]}: expected a text or an object, as in {EXAMPLE}")
    for key in item:
        if key not in KEYS:
            raise QueryError(f"key {key!r} of prompt {place}: expected one of {', '.join(KEYS)}")
    text, label, threshold = item.get("text", ""), item.get("label", ""), item.get("threshold")
    for key, value in (("text", text), ("label", label)):
        if not isinstance(value, str):
            raise QueryError(f"{key} {value!r} of prompt {place}: expected a string")
    if isinstance(threshold, bool) or not isinstance(threshold, (int, float, type(None))):
        raise QueryError(f"threshold {threshold!r} of prompt {place}: expected a number above 0 and at most 1")
    try:
        return Prompt(_clean(text, "text"), label=_clean(label, "label"), threshold=threshold)
    except PromptError as error:
        raise QueryError(f"prompt {place}: {error}") from None
