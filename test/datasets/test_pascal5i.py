# SPDX-License-Identifier: Apache-2.0
"""Pascal-5i in miniature."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from clipseg_ros.datasets import DatasetError
from clipseg_ros.datasets.pascal5i import fold_classes, pascal5i, pascal5i_hsnet

# stem: {value: rows of 64 pixels}; 32 rows are 2,048 pixels. 255 is a border, 11 a class of another fold.
PICTURES = {
    "a": {1: 32, 255: 4},
    "b": {1: 40, 2: 3},
    "c": {1: 31, 11: 20},
    "d": {2: 33, 1: 31},
    "e": {2: 64},
    "f": {11: 64},
}


@pytest.fixture(name="root")
def _root(tmp_path: Path) -> Path:
    for folder in ("JPEGImages", "SegmentationClassAug"):
        (tmp_path / folder).mkdir()
    for index, (stem, rows) in enumerate(PICTURES.items()):
        values = np.repeat(np.array([*rows, 0], np.uint8), [*rows.values(), 64 - sum(rows.values())])
        Image.fromarray(np.tile(values[:, None], 64)).save(tmp_path / f"SegmentationClassAug/{stem}.png")
        Image.new("RGB", (64, 64), (40 * index, 0, 0)).save(tmp_path / f"JPEGImages/{stem}.jpg")
    pairs = [f"JPEGImages/{stem}.jpg SegmentationClassAug/{stem}.png" for stem in PICTURES]
    (tmp_path / "val.txt").write_text("\n".join(pairs))
    (tmp_path / "train.txt").write_text("\n".join([*pairs, "JPEGImages/f.jpg SegmentationClassAug/g.png"]))
    Image.fromarray(np.full((64, 64), 11, np.uint8)).save(tmp_path / "SegmentationClassAug/g.png")
    return tmp_path


@pytest.mark.parametrize(("fold", "first"), [(0, 0), (1, 5), (3, 15)])
def test_fold_tests_five_classes_and_trains_on_the_others(fold, first):
    assert fold_classes(fold) == tuple(range(first, first + 5))
    assert set(fold_classes(fold, "train")) == set(range(20)) - set(fold_classes(fold))


def test_unknown_fold_and_part_are_refused():
    with pytest.raises(DatasetError, match="fold 4: expected 0 to 3"):
        fold_classes(4)
    with pytest.raises(DatasetError, match="part 'val': expected test or train"):
        fold_classes(0, "val")


def test_only_images_with_2048_pixels_of_a_fold_class_enter(root):
    episodes = pascal5i(root, root / "val.txt", 0).episodes
    assert [episode.query.name for episode in episodes] == ["a", "b", "d", "e"]


def test_supports_have_2048_pixels_and_are_never_the_query(root):
    pools = {0: {"a", "b"}, 1: {"d", "e"}}
    for episode in pascal5i(root, root / "val.txt", 0, count=200).episodes:
        assert episode.support.name in pools[episode.number] - {episode.query.name}


def test_small_fold_classes_of_a_query_are_asked_for_too(root):
    asked = Counter((e.query.name, e.number) for e in pascal5i(root, root / "val.txt", 0, count=400).episodes)
    assert set(asked) == {("a", 0), ("b", 0), ("b", 1), ("d", 0), ("d", 1), ("e", 1)}
    assert 30 < asked["b", 1] < 70


def test_train_part_takes_the_classes_of_the_other_folds(root):
    for fold in (1, 3):  # of the classes here, fold 0 has 1 and 2, fold 2 has 11
        numbers = {e.number for e in pascal5i(root, root / "train.txt", fold, "train", count=60).episodes}
        assert numbers == {0, 1, 10}


def test_sample_holds_class_text_support_and_border(root):
    dataset = pascal5i(root, root / "val.txt", 0)
    sample = dataset[0]
    (prompt,) = sample.prompts
    assert (len(dataset), sample.classes, sample.name) == (4, (0,), "00000-a-0")
    assert (prompt.text, int(prompt.support.mask.sum())) == ("aeroplane", 40 * 64)
    assert 30 < prompt.support.image[0, 0, 0] < 50
    assert (sample.target.shape, int(sample.target.sum())) == ((1, 64, 64), 32 * 64)
    assert sample.ignore.sum() == 4 * 64 and sample.ignore[33, 0]


def test_same_seed_same_episodes_and_more_of_them_change_none(root):
    first, again = (pascal5i(root, root / "val.txt", 0, count=60).episodes for _ in range(2))
    assert first == again == pascal5i(root, root / "val.txt", 0, count=90).episodes[:60]
    assert first != pascal5i(root, root / "val.txt", 0, count=60, seed=1).episodes


@pytest.mark.parametrize("line", ["JPEGImages/a.jpg", "a b c"])
def test_line_without_a_pair_is_refused(root, line):
    (root / "bad.txt").write_text(line)
    with pytest.raises(DatasetError, match=rf"bad\.txt: line '{line}'; expected a picture and its labels"):
        pascal5i(root, root / "bad.txt", 0)


def test_absolute_paths_in_a_list_are_refused(root):
    (root / "bad.txt").write_text("/JPEGImages/a.jpg /SegmentationClassAug/a.png")
    with pytest.raises(DatasetError, match="'/JPEGImages/a.jpg': expected a path below"):
        pascal5i(root, root / "bad.txt", 0)


def _hsnet(root: Path, folder: str, *lists: str) -> Path:
    for fold, lines in enumerate(lists):
        path = root / "splits" / folder / f"fold{fold}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(lines)
    return root / "splits"


def test_hsnet_list_names_query_and_class(root):
    dataset = pascal5i_hsnet(root, _hsnet(root, "val", "a__01\nb__01\nd__02\ne__02\n"), 0)
    assert len(dataset) == 1000
    assert [(e.query.name, e.support.name, e.number) for e in dataset.episodes[:4]] == [
        ("a", "b", 0), ("b", "a", 0), ("d", "e", 1), ("e", "d", 1),
    ]
    assert (dataset[2].prompts[0].text, int(dataset[2].target.sum())) == ("bicycle", 33 * 64)


def test_hsnet_trains_on_the_lists_of_the_other_folds(root):
    splits = _hsnet(root, "trn", "a__01\nb__01", "d__06\ne__06", "c__11\nf__11", "a__16\nb__16")
    dataset = pascal5i_hsnet(root, splits, 0, "train", count=None)
    assert [e.number for e in dataset.episodes] == [5, 5, 10, 10, 15, 15]


@pytest.mark.parametrize("line", ["a", "a__x", "__1", "a__06", "a__0"])
def test_hsnet_line_of_another_form_or_fold_is_refused(root, line):
    with pytest.raises(DatasetError, match=rf"fold0\.txt: line '{line}'; expected stem__class"):
        pascal5i_hsnet(root, _hsnet(root, "val", line), 0)


def test_missing_lists_say_what_is_expected(root):
    with pytest.raises(DatasetError, match=r"no\.txt: not there; expected PFENet's list"):
        pascal5i(root, root / "no.txt", 0)
    with pytest.raises(DatasetError, match=r"val/fold1\.txt: not there; expected HSNet's list"):
        pascal5i_hsnet(root, root / "splits", 1)
