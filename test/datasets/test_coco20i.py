# SPDX-License-Identifier: Apache-2.0
"""COCO-20i in miniature."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from clipseg_ros.datasets import DatasetError
from clipseg_ros.datasets.class_names import COCO80
from clipseg_ros.datasets.coco20i import coco20i, fold_classes, read_lists

NAMES = [f"val2014/COCO_val2014_{number:012d}.jpg" for number in range(3)]


@pytest.fixture(name="root")
def _root(tmp_path: Path) -> Path:
    """Three pictures that hold every class of fold 1 in one, two and three pixels."""
    values = np.array([[0, *(number + 1 for number in fold_classes(1))]], np.uint8)
    for index, name in enumerate(NAMES):
        picture, labels = tmp_path / name, (tmp_path / "annotations" / name).with_suffix(".png")
        for path in (picture, labels):
            path.parent.mkdir(parents=True, exist_ok=True)
        rows = np.repeat(values, index + 1, axis=0)
        Image.fromarray(rows).save(labels)
        Image.new("RGB", rows.shape[::-1], (80 * index, 0, 0)).save(picture)
    return tmp_path


@pytest.fixture(name="pickled")
def _pickled(tmp_path: Path) -> Callable[..., Path]:
    def write(lists: object, folder: str = "val", fold: int = 1, protocol: int = 4) -> Path:
        path = tmp_path / "splits" / folder / f"fold{fold}.pkl"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(pickle.dumps(lists, protocol))
        return path

    return write


def test_fold_tests_every_fourth_class_and_trains_on_the_others():
    assert fold_classes(1)[:3] == (1, 5, 9)
    assert len(fold_classes(1)) == 20
    assert set(fold_classes(1, "train")) == set(range(80)) - set(fold_classes(1))


def test_unknown_fold_and_part_are_refused():
    with pytest.raises(DatasetError, match="fold -1: expected 0 to 3"):
        fold_classes(-1)
    with pytest.raises(DatasetError, match="part 'val': expected test or train"):
        fold_classes(0, "val")


@pytest.mark.parametrize("protocol", [2, 4])
def test_episode_holds_two_pictures_of_a_class(root, pickled, protocol):
    pickled({number: NAMES if number in fold_classes(1) else [] for number in range(80)}, protocol=protocol)
    dataset = coco20i(root, root / "splits", 1)
    assert len(dataset) == 1000
    assert {episode.number for episode in dataset.episodes} == set(fold_classes(1))
    assert all(episode.query != episode.support for episode in dataset.episodes)
    episode, sample = dataset.episodes[3], dataset[3]
    (prompt,) = sample.prompts
    assert (prompt.text, sample.classes) == (COCO80[episode.number], (episode.number,))
    assert prompt.support.mask.sum() == int(episode.support.name[-1]) + 1
    assert sample.target.sum() == int(episode.query.name[-1]) + 1
    assert not sample.ignore.any()


def test_train_part_reads_the_other_list(root, pickled):
    pickled({number: NAMES for number in fold_classes(1, "train")}, "trn")
    dataset = coco20i(root, root / "splits", 1, "train", count=300)
    assert {episode.number % 4 for episode in dataset.episodes} == {0, 2, 3}


@pytest.mark.parametrize("lists", [[NAMES], {"1": NAMES}, {80: NAMES}, {True: NAMES}, {1: "name"}, {1: [b"name"]}])
def test_other_content_is_refused(pickled, lists):
    with pytest.raises(DatasetError, match="expected a dict from class numbers, 0 to 79, to lists of names"):
        read_lists(pickled(lists))


def test_missing_list_says_what_is_expected(root):
    with pytest.raises(DatasetError, match=r"val/fold2\.pkl: not there; expected HSNet's lists"):
        coco20i(root, root / "splits", 2)


def test_class_without_two_pictures_is_named(root, pickled):
    lists = {number: NAMES for number in fold_classes(1)}
    pickled({**lists, 5: NAMES[:1] * 2, 77: []})
    with pytest.raises(DatasetError, match="fewer than two pictures of bus, teddy bear; expected the lists of fold 1"):
        coco20i(root, root / "splits", 1)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("../secret.jpg", "relative and without"),
        ("/etc/secret.jpg", "relative and without"),
        ("val2014/a.gif", "a .jpg"),
    ],
)
def test_names_that_lead_elsewhere_are_refused(root, pickled, name, words):
    pickled({number: [*NAMES, name] for number in fold_classes(1)})
    with pytest.raises(DatasetError, match=f"name '{name}': expected .*{words}"):
        coco20i(root, root / "splits", 1)
