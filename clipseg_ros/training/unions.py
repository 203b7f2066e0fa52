# SPDX-License-Identifier: Apache-2.0
"""Sets of kinds, each said by one of its words: what a trait means, and what prompts without a name mean."""

from __future__ import annotations

import numpy as np

from clipseg_ros.training.batches import VISIBLE, PhraseBook

MOST = 6  # kinds of a set
NONE = -1  # fills up the row of a set with fewer


class Unions:
    """The kinds of a book and the traits that some of them share."""

    def __init__(self, book: PhraseBook) -> None:
        words: dict[bytes, list[int]] = {}
        for index in np.flatnonzero(book.groups == "object"):
            words.setdefault(book.truth[index].tobytes(), []).append(int(index))
        self._words = list(words.values())
        self._truth = np.array([book.truth[one[0]] for one in self._words], bool).reshape(-1, 256)
        # Truth is known of every trait, the kinds included whose masks it is never taught with: a text may say them.
        self._traits = [
            (int(index), np.flatnonzero((self._truth <= book.truth[index]).all(1)))
            for index in np.flatnonzero(book.plain & (book.groups != "object"))
        ]

    def __len__(self) -> int:
        return len(self._words)

    def traits(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """(T,) phrases that mean a trait, and the sets (T, MOST) of phrases of the kinds that have it."""
        sets = [self._say(kinds, rng) for _, kinds in self._traits]
        return np.array([phrase for phrase, _ in self._traits], int), np.array(sets, int).reshape(-1, MOST)

    def draw(self, pixels: np.ndarray, absent: float, rng: np.random.Generator) -> np.ndarray:
        """The set (MOST,) of phrases of some random kinds, for a picture with `pixels` (256,) of each class; one of
        them is there but for a share `absent` of the time. Kinds that hover between there and absent are left out."""
        seen = self._truth @ pixels
        there, gone = np.flatnonzero(seen >= VISIBLE), np.flatnonzero(seen == 0)
        if not len(there) or rng.random() < absent:
            return self._say(rng.permutation(gone)[: rng.integers(2, MOST + 1)], rng)
        first = rng.choice(there)
        others = np.setdiff1d(np.concatenate([there, gone]), first)
        return self._say([first, *rng.permutation(others)[: rng.integers(1, MOST)]], rng)

    def _say(self, kinds: np.ndarray | list[int], rng: np.random.Generator) -> np.ndarray:
        found = np.full(MOST, NONE)
        found[: len(kinds)] = [rng.choice(self._words[kind]) for kind in kinds]
        return found
