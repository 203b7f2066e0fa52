# SPDX-License-Identifier: Apache-2.0
"""Queries, and the set of the active ones: the union of what each source asked for, with ids that stay."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from clipseg_ros.segmentation import Prompt

MAX_PROMPTS = 254  # ids are 1..254: 0 is background and 255 means unlabelled
SOURCES = ("seg_query", "seg_affordance", "seg_support")  # each owns a set of its own; the union is in this order


class QueryError(ValueError):
    """A query that is refused; the message holds the value, the reason and the remedy."""


@dataclass(frozen=True)
class Query:
    """One thing to look for.

    prompt: its text, label and threshold. parts: the prompts that are searched in its place, () for the prompt
    itself; their scores are fused by their maximum. once: it is answered for one frame and then dropped. source: who
    asked, one of SOURCES.
    """

    prompt: Prompt
    parts: tuple[Prompt, ...] = ()
    once: bool = False
    source: str = SOURCES[0]

    @property
    def searched(self) -> tuple[Prompt, ...]:
        """The prompts for an engine, at least one."""
        return self.parts or (self.prompt,)

    @property
    def identity(self) -> tuple[Prompt, ...]:
        """What makes it the same query as before: all but threshold, source and whether it is asked once."""
        return (replace(self.prompt, threshold=None), *self.parts)


@dataclass(frozen=True)
class Entry:
    """An active query and its id in 1..254, the value of its pixels in published labels."""

    id: int
    query: Query

    @property
    def prompt(self) -> Prompt:
        """What people see of it."""
        return self.query.prompt


class QuerySet:
    """The active queries, at most `limit` of them, in the order of SOURCES, with stable ids.

    A query keeps its id for as long as some source asks for it; a new threshold makes no new query. New ones take ids
    that were never used, then the one that has been free the longest. Raises ValueError for a bad limit.
    """

    def __init__(self, limit: int = MAX_PROMPTS) -> None:
        if not 1 <= limit <= MAX_PROMPTS:
            raise ValueError(f"limit of {limit} prompts: expected 1 to {MAX_PROMPTS}")
        self._limit = limit
        self._free = deque(range(1, MAX_PROMPTS + 1))
        self._sets: dict[str, tuple[Query, ...]] = dict.fromkeys(SOURCES, ())
        self._entries: tuple[Entry, ...] = ()

    @property
    def entries(self) -> tuple[Entry, ...]:
        """Queries with their ids; a snapshot that later changes leave alone."""
        return self._entries

    @property
    def prompts(self) -> tuple[Prompt, ...]:
        """All prompts to search, in order, as an engine takes them."""
        return tuple(prompt for entry in self._entries for prompt in entry.query.searched)

    @property
    def ids(self) -> np.ndarray:
        """(N,) uint8: the ids, in order."""
        return np.array([entry.id for entry in self._entries], np.uint8)

    def of(self, source: str) -> tuple[Query, ...]:
        """What one source asks for."""
        return self._sets[source]

    def union(self, sets: Mapping[str, Sequence[Query]]) -> tuple[Query, ...]:
        """What would be active if the sources asked for these; those not named keep theirs. The first of equals stays.

        Raises QueryError where they are too many.
        """
        wanted = tuple(_distinct(query for one in {**self._sets, **_owned(sets)}.values() for query in one).values())
        if len(wanted) > self._limit:
            raise QueryError(f"{len(wanted)} prompts: at most {self._limit} fit; send fewer, or raise the limit")
        searched = sum(len(query.searched) for query in wanted)
        if searched > MAX_PROMPTS:
            raise QueryError(f"{searched} prompts, those of affordances counted: at most {MAX_PROMPTS}; send fewer")
        return wanted

    def update(self, sets: Mapping[str, Sequence[Query]]) -> bool:
        """Let the sources ask for these. False where nothing changes of what is active.

        Raises QueryError where they are too many; the old ones stay.
        """
        wanted = self.union(sets)
        self._sets.update(_owned(sets))
        return self._activate(wanted)

    def replace(self, queries: Sequence[Query], source: str = SOURCES[0]) -> bool:
        """The same for one source."""
        return self.update({source: queries})

    def drop(self, entries: Sequence[Entry]) -> bool:
        """Take these out, whoever asked for them. False where none of them was active."""
        gone = {entry.query.identity for entry in entries}
        return self.update({
            source: [query for query in queries if query.identity not in gone]
            for source, queries in self._sets.items()
        })

    def _activate(self, wanted: tuple[Query, ...]) -> bool:
        if wanted == tuple(entry.query for entry in self._entries):
            return False
        ids = {entry.query.identity: entry.id for entry in self._entries}
        kept = {query.identity for query in wanted}
        self._free.extend(id_ for identity, id_ in ids.items() if identity not in kept)
        self._entries = tuple(
            Entry(ids[query.identity] if query.identity in ids else self._free.popleft(), query) for query in wanted
        )
        return True


def _owned(sets: Mapping[str, Sequence[Query]]) -> dict[str, tuple[Query, ...]]:
    """Each source's queries, the first of equals, signed by it."""
    return {
        source: tuple(_distinct(replace(query, source=source) for query in queries).values())
        for source, queries in sets.items()
    }


def _distinct(queries: Iterable[Query]) -> dict[tuple[Prompt, ...], Query]:
    """Identity -> query, in order, the first of each."""
    distinct: dict[tuple[Prompt, ...], Query] = {}
    for query in queries:
        distinct.setdefault(query.identity, query)
    return distinct
