# SPDX-License-Identifier: Apache-2.0
"""The drawing of one-shot episodes."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from clipseg_ros.datasets import DatasetError
from clipseg_ros.datasets.episodes import Episode, EpisodeFolder, for_classes, for_queries
from clipseg_ros.datasets.label_folder import Pair

PAIRS = {stem: Pair(stem, Path(stem), Path(stem)) for stem in "abcdef"}


def _pair(root: Path, stem: str, values: list[list[int]]) -> Pair:
    labels = np.array(values, np.uint8)
    Image.fromarray(labels).save(root / f"{stem}.png")
    Image.new("RGB", labels.shape[::-1]).save(root / f"{stem}.jpg")
    return Pair(stem, root / f"{stem}.jpg", root / f"{stem}.png")


def test_background_other_classes_and_void_are_no_target(tmp_path):
    query, support = _pair(tmp_path, "q", [[0, 1, 2, 255]]), _pair(tmp_path, "s", [[255, 255, 2, 1]])
    sample = EpisodeFolder((Episode(query, support, 1),), ("cat", "dog"), (255,))[0]
    np.testing.assert_array_equal(sample.target, [[[False, False, True, False]]])
    np.testing.assert_array_equal(sample.prompts[0].support.mask, [[False, False, True, False]])
    np.testing.assert_array_equal(sample.ignore, [[False, False, False, True]])
    assert (sample.prompts[0].text, sample.classes) == ("dog", (1,))


def test_support_without_its_class_and_values_without_class_are_refused(tmp_path):
    pair = _pair(tmp_path, "a", [[0, 2]])
    with pytest.raises(DatasetError, match=r"a\.png: no pixel of 'cat'; expected value 1"):
        EpisodeFolder((Episode(pair, pair, 0),), ("cat", "dog"))[0]
    with pytest.raises(DatasetError, match=r"a\.png: value 2; expected 0 to 1"):
        EpisodeFolder((Episode(pair, pair, 0),), ("cat",))[0]


def test_without_queries_or_another_image_there_is_no_episode():
    with pytest.raises(DatasetError, match="no query image: expected at least one"):
        for_queries([], {})
    with pytest.raises(DatasetError, match="class 3: 1 images to draw from; expected one besides the query"):
        for_queries([(PAIRS["a"], [3])], {3: [PAIRS["a"]]})
    with pytest.raises(DatasetError, match="class 3: 0 images to draw from"):
        for_classes({3: []}, 1)


def test_random_episodes_are_uniform_over_classes_and_images():
    pools = {0: [PAIRS["a"], PAIRS["b"]], 4: [PAIRS["c"], PAIRS["d"], PAIRS["e"], PAIRS["f"]]}
    episodes = for_classes(pools, 1200)
    assert all(e.query != e.support and {e.query, e.support} <= set(pools[e.number]) for e in episodes)
    drawn = Counter((e.number, e.query.name) for e in episodes)
    assert all(240 < drawn[0, name] < 360 for name in "ab")
    assert all(110 < drawn[4, name] < 190 for name in "cdef")
    assert episodes == for_classes(pools, 1200)
