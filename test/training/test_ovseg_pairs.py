# SPDX-License-Identifier: Apache-2.0
"""Mask-category pairs: which mask a word takes, what lies on disk, and what training sees of it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from clipseg_ros.datasets import IGNORE, DatasetError
from clipseg_ros.models.weights import InputFormat
from clipseg_ros.training import ovseg_pair_folder as folders
from clipseg_ros.training.ovseg_pair_folder import PairFolder, PairWriter, random_part, read_rows
from clipseg_ros.training.ovseg_pairs import SOURCES, Miner, Picture, coco_captions

FORM = InputFormat(16, np.full(3, 0.5, np.float32), np.full(3, 0.25, np.float32))
COLOURS = {"red": 0, "green": 1, "blue": 2}


def picture(name: str = "000000000001") -> Picture:
    """Red on the left, green on the right, nothing in between; two captions."""
    image, labels = np.zeros((20, 30, 3), np.uint8), np.full((20, 30), IGNORE, np.int32)
    image[:, :10, 0], image[5:15, 20:, 1] = 255, 255
    labels[:, :10], labels[5:15, 20:] = 0, 1
    return Picture(name, image, labels, ("red on blue", "red and green"))


def nouns(caption: str) -> list[str]:
    return [word for word in caption.split() if word in COLOURS]


def judge(image: np.ndarray, masks: np.ndarray, words: Sequence[str]) -> np.ndarray:
    """How much of a word's colour a mask has."""
    return np.array([[image[mask, COLOURS[word]].mean() for word in words] for mask in masks])


def propose(image: np.ndarray) -> np.ndarray:
    """An empty mask, the whole picture, and what is green."""
    return np.stack([np.zeros(image.shape[:2], bool), np.ones(image.shape[:2], bool), image[..., 1] > 0])


def miner(source: str) -> Miner:
    return Miner(SOURCES[source], ("rose", "leaf"), nouns, judge, propose)


@pytest.mark.parametrize(
    ("source", "areas", "pairs"),
    [
        ("1", [200, 100], [(0, "rose"), (1, "leaf")]),
        ("2", [200, 100], [(0, "red"), (0, "blue")]),
        ("3", [600, 100], [(0, "red"), (0, "blue")]),
        ("4", [600, 100], [(0, "red"), (0, "blue"), (1, "green")]),
    ],
)
def test_words_take_the_masks_that_their_row_of_the_table_says(
    source: str, areas: list[int], pairs: list[tuple[int, str]]
) -> None:
    masks, found = miner(source).masks_and_pairs(picture())
    assert [int(mask.sum()) for mask in masks] == areas and found == pairs


def test_a_picture_without_captions_or_masks_gives_no_pair() -> None:
    bare = Picture("1", picture().image, np.full((20, 30), IGNORE, np.int32))
    assert miner("4").masks_and_pairs(bare)[1] == [] and miner("1").masks_and_pairs(bare)[1] == []
    spoken = Picture("1", bare.image, bare.labels, ("red",))
    assert miner("2").masks_and_pairs(spoken)[1] == []


def test_cut_outs_keep_the_picture_and_hold_the_mask_in_the_alpha_channel(tmp_path: Path) -> None:
    assert miner("4").mine([picture()], tmp_path) == 3
    lines = (tmp_path / "pairs.csv").read_text().splitlines()
    whole, green = (f"cut_outs/000000000001/{index:03d}.png" for index in (0, 1))
    assert lines == ["filepath\ttitle", f"{whole}\tred", f"{whole}\tblue", f"{green}\tgreen"]
    stored = np.array(Image.open(tmp_path / whole))
    np.testing.assert_array_equal(stored[..., :3], picture().image)
    assert (stored[..., 3] == 255).all() and Image.open(tmp_path / green).size == (10, 10)


def test_mining_goes_on_after_the_last_finished_picture(tmp_path: Path) -> None:
    miner("1").mine([picture("000000000001")], tmp_path)
    before = (tmp_path / "pairs.csv").read_text()
    unfinished = "cut_outs/000000000002/000.png\tunfinished\n"
    (tmp_path / "pairs.csv").write_text(before + unfinished)
    assert miner("1").mine([picture("000000000001"), picture("000000000002")], tmp_path) == 2
    titles = [title for _, title in read_rows(tmp_path)]
    assert titles == ["rose", "leaf", "rose", "leaf"]


def test_training_sees_the_mean_colour_outside_the_mask(tmp_path: Path) -> None:
    image = np.full((24, 24, 3), 255, np.uint8)
    mask = np.tri(24, dtype=bool)
    PairWriter(tmp_path).write("a", image, mask[None], [(0, "wedge")])
    pixels, kept, word = PairFolder(tmp_path, FORM, 16).draw(0, np.random.default_rng(0))
    assert word == "wedge" and pixels.shape == (3, 16, 16) and kept.shape == (1, 16, 16) and kept.dtype == torch.bool
    inside, outside = pixels[:, 13, 2], pixels[:, 2, 13]
    torch.testing.assert_close(inside, torch.full((3,), 2.0))
    torch.testing.assert_close(outside, torch.zeros(3))
    assert kept[0, 13, 2] and not kept[0, 2, 13]


def test_random_parts_have_at_least_nine_tenths_of_the_area() -> None:
    rng, corners = np.random.default_rng(0), set()
    for _ in range(200):
        rows, columns = random_part(40, 80, rng)
        share = (rows.stop - rows.start) * (columns.stop - columns.start) / 3200
        assert 0.88 <= share <= 1.0 and rows.stop <= 40 and columns.stop <= 80
        corners.add((rows.start, columns.start))
    assert len(corners) > 10 and random_part(1, 1, rng) == (slice(0, 1), slice(0, 1))


def test_a_part_that_never_fits_is_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folders, "SCALE", (2.0, 2.0))
    assert random_part(5, 7, np.random.default_rng(0)) == (slice(0, 5), slice(0, 7))


def test_broken_folders_say_what_is_wrong(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"pairs.csv: not there; expected a table with tabs"):
        PairFolder(tmp_path, FORM, 16)
    (tmp_path / "pairs.csv").write_text("filepath,title\n")
    with pytest.raises(DatasetError, match="expected two columns with tabs between them"):
        PairFolder(tmp_path, FORM, 16)
    (tmp_path / "pairs.csv").write_text("filepath\ttitle\n")
    with pytest.raises(DatasetError, match="no pair; expected a line for each cut-out"):
        PairFolder(tmp_path, FORM, 16)
    (tmp_path / "pairs.csv").write_text("filepath\ttitle\nx.png\tx\n")
    pairs = PairFolder(tmp_path, FORM, 16)
    with pytest.raises(DatasetError, match="x.png: not there; expected a cut-out"):
        pairs.draw(0, np.random.default_rng(0))
    Image.new("RGB", (4, 4)).save(tmp_path / "x.png")
    with pytest.raises(DatasetError, match="mode RGB; expected RGBA with the mask in the alpha channel"):
        pairs.draw(0, np.random.default_rng(0))
    (tmp_path / "x.png").write_bytes(b"no picture")
    with pytest.raises(DatasetError, match="x.png: no readable picture"):
        pairs.draw(0, np.random.default_rng(0))


def test_captions_come_by_picture_in_the_order_of_their_ids(tmp_path: Path) -> None:
    rows = [{"image_id": 7, "id": 2, "caption": "second"}, {"image_id": 7, "id": 1, "caption": "first"}]
    (tmp_path / "captions.json").write_text(json.dumps({"annotations": rows}))
    assert coco_captions(tmp_path / "captions.json") == {"000000000007": ("first", "second")}
    (tmp_path / "captions.json").write_text(json.dumps({"annotations": []}))
    with pytest.raises(DatasetError, match="no caption; expected COCO's captions_train2017.json"):
        coco_captions(tmp_path / "captions.json")
