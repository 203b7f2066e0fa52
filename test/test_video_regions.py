# SPDX-License-Identifier: Apache-2.0
"""What is read off regions is kept while they stay where they are, for as many frames as were allowed."""

from __future__ import annotations

import numpy as np
import pytest

from clipseg_ros.video import RegionMemory


class Reader:
    """Reads a new number off a region at each look; keeps which were looked at."""

    def __init__(self) -> None:
        self.count, self.looks = 0.0, []

    def __call__(self, rows: np.ndarray) -> np.ndarray:
        self.looks.append(rows.tolist())
        first, self.count = self.count, self.count + len(rows)
        return np.arange(first, self.count, dtype=np.float32)[:, None]


def boxes(*starts: int, width: int = 10, size: int = 40) -> np.ndarray:
    """(M, 4, size) bool: columns from each start on."""
    masks = np.zeros((len(starts), 4, size), bool)
    for mask, start in zip(masks, starts):
        mask[:, start : start + width] = True
    return masks


def test_what_stays_keeps_what_was_read_off_it() -> None:
    memory, reader = RegionMemory(), Reader()
    assert memory.read(boxes(0, 20), 9, reader).ravel().tolist() == [0, 1]
    assert memory.read(boxes(21, 0), 9, reader).ravel().tolist() == [1, 0]
    assert reader.looks == [[0, 1], []]


def test_what_is_new_or_moved_away_is_read() -> None:
    memory, reader = RegionMemory(), Reader()
    memory.read(boxes(0, 20), 9, reader)
    assert memory.read(boxes(0, 25, 10), 9, reader).ravel().tolist() == [0, 2, 3]
    assert reader.looks[1] == [1, 2]


@pytest.mark.parametrize("every, expected", [(3, [0, 0, 0, 1, 1, 1, 2]), (1, [0, 1, 2, 3, 4, 5, 6])])
def test_everything_is_read_again_after_so_many_frames(every: int, expected: list[int]) -> None:
    memory, reader = RegionMemory(), Reader()
    assert [memory.read(boxes(0), every, reader)[0, 0] for _ in expected] == expected


def test_no_region_and_another_size_start_anew() -> None:
    memory, reader = RegionMemory(), Reader()
    memory.read(boxes(0), 9, reader)
    assert memory.read(boxes(), 9, reader).shape == (0, 1)
    assert memory.read(boxes(0), 9, reader).ravel().tolist() == [1]
    assert memory.read(boxes(0, size=48), 9, reader).ravel().tolist() == [2]
    memory.reset()
    assert memory.read(boxes(0, size=48), 9, reader).ravel().tolist() == [3]


def test_what_was_handed_out_is_the_callers_own() -> None:
    memory, reader = RegionMemory(), Reader()
    memory.read(boxes(0), 9, reader)[:] = 7.0
    assert memory.read(boxes(0), 9, reader)[0, 0] == 0.0


def test_never_is_refused() -> None:
    with pytest.raises(ValueError, match=r"every 0: expected 1 \(every frame\) or more"):
        RegionMemory().read(boxes(0), 0, Reader())
