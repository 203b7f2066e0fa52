# SPDX-License-Identifier: Apache-2.0
"""Vectors are made once, together, and the oldest are forgotten."""

from __future__ import annotations

import torch

from clipseg_ros.engines.vectors import VectorCache


class Maker:
    """Vectors of numbers, and which numbers were asked for."""

    def __init__(self) -> None:
        self.made: list[list[int]] = []

    def __call__(self, keys: list[int]) -> torch.Tensor:
        self.made.append(keys)
        return torch.tensor(keys, dtype=torch.float32)[:, None]


def test_a_vector_is_made_once_and_at_most_so_many_together() -> None:
    cache, make = VectorCache(most=9, at_once=2), Maker()
    assert {key: float(row) for key, row in cache([1, 2, 1, 3], make).items()} == {1: 1.0, 2: 2.0, 3: 3.0}
    cache([3, 4], make)
    assert make.made == [[1, 2], [3], [4]]


def test_the_vectors_asked_for_longest_ago_are_forgotten() -> None:
    cache, make = VectorCache(most=2, at_once=9), Maker()
    cache([1, 2], make)
    cache([1, 3], make)
    cache([1], make)
    assert make.made == [[1, 2], [3]]
    cache([2], make)
    assert make.made[-1] == [2]


def test_one_call_gets_all_it_asks_for_however_few_are_kept() -> None:
    cache, make = VectorCache(most=1, at_once=9), Maker()
    assert sorted(cache([1, 2, 3], make)) == [1, 2, 3]
    cache([3], make)
    assert len(make.made) == 1


def test_a_cleared_cache_knows_nothing() -> None:
    cache, make = VectorCache(most=9, at_once=9), Maker()
    cache([1], make)
    cache.clear()
    cache([1], make)
    assert make.made == [[1], [1]]
