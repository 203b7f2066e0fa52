# SPDX-License-Identifier: Apache-2.0
"""Pascal VOC 2012 in miniature."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from clipseg_ros.datasets import DatasetError
from clipseg_ros.datasets.class_names import VOC20
from clipseg_ros.datasets.voc import PAIRS, VOC20_UNSEEN, clipseg_unseen, voc20, voc21

VALUES = np.array([[0, 1, 20], [255, 15, 0]], np.uint8)


@pytest.fixture(name="root")
def _root(tmp_path: Path) -> Path:
    for folder in ("JPEGImages", "SegmentationClass", "SegmentationClassAug", "ImageSets/Segmentation"):
        (tmp_path / folder).mkdir(parents=True)
    for split, stem in (("train", "2007_000032"), ("val", "2007_000033"), ("trainval", "2007_000032")):
        (tmp_path / "ImageSets/Segmentation" / f"{split}.txt").write_text(f"{stem}\n")
        Image.new("RGB", (3, 2), (200, 10, 10)).save(tmp_path / "JPEGImages" / f"{stem}.jpg")
        labels = Image.fromarray(VALUES)
        labels.putpalette(list(range(256)) * 3)
        labels.save(tmp_path / "SegmentationClass" / f"{stem}.png")
    (tmp_path / "ImageSets/Segmentation/trainaug.txt").write_text("2007_000032\n")
    (tmp_path / "ImageSets/Segmentation/aug.txt").write_text("2007_000032\n")
    for stem in ("2007_000032", "2007_000033"):
        Image.fromarray(np.full((2, 3), 7, np.uint8)).save(tmp_path / "SegmentationClassAug" / f"{stem}.png")
    return tmp_path


def test_background_is_class_0_of_21(root):
    dataset = voc21(root, "val")
    assert (len(dataset), dataset.classes[0], dataset[0].name) == (1, "background", "2007_000033")
    np.testing.assert_array_equal(dataset[0].labels, [[0, 1, 20], [-1, 15, 0]])
    assert dataset[0].image[0, 0, 0] > 150 > dataset[0].image[0, 0, 2]


def test_background_is_ignored_with_20(root):
    dataset = voc20(root, "train")
    np.testing.assert_array_equal(dataset[0].labels, [[-1, 0, 19], [-1, 14, -1]])
    assert dataset.classes[dataset[0].labels[1, 1]] == "person"


@pytest.mark.parametrize("split", ["trainaug", "aug"])
def test_augmented_splits_read_the_augmented_labels(root, split):
    assert (voc20(root, split)[0].labels == 6).all()
    assert (voc21(root, split)[0].labels == 7).all()


def test_labels_of_val_can_come_from_the_augmented_folder(root):
    assert (voc20(root, "val", "SegmentationClassAug")[0].labels == 6).all()


def test_unknown_split_is_named_with_the_known_ones(root):
    with pytest.raises(DatasetError, match="split 'test': expected one of train, val, trainval, trainaug, aug"):
        voc21(root, "test")


def test_missing_list_and_folder_say_what_is_expected_where(root, tmp_path):
    with pytest.raises(DatasetError, match=r"none/ImageSets/Segmentation/val\.txt: not there; expected the split's"):
        voc21(tmp_path / "none", "val")
    with pytest.raises(DatasetError, match="Other: not there; expected the folder of the label files"):
        voc21(root, "val", "Other")


def test_value_above_20_is_refused(root):
    Image.fromarray(np.full((2, 3), 21, np.uint8)).save(root / "SegmentationClass/2007_000033.png")
    with pytest.raises(DatasetError, match=r"2007_000033\.png: value 21; expected 0 to 20, 255"):
        voc20(root, "val")[0]


def test_zegclip_holds_out_the_last_five():
    assert [VOC20[i] for i in VOC20_UNSEEN] == ["pottedplant", "sheep", "sofa", "train", "tvmonitor"]


def test_clipseg_holds_out_pairs_of_voc_classes():
    assert clipseg_unseen(2) == ("cow", "motorbike")
    assert clipseg_unseen(4) == ("cow", "motorbike", "aeroplane", "sofa")
    assert len(set(clipseg_unseen(10)) & set(VOC20)) == 2 * len(PAIRS) == 10


@pytest.mark.parametrize("count", [0, 3, 12])
def test_clipseg_split_of_another_size_is_refused(count):
    with pytest.raises(DatasetError, match=f"unseen-{count}: expected 2, 4, 6, 8 or 10"):
        clipseg_unseen(count)
