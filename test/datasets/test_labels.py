# SPDX-License-Identifier: Apache-2.0
"""Pictures and label files as they lie on disk, and folders of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import scipy.io
from PIL import Image

from clipseg_ros.datasets import IGNORE, DatasetError
from clipseg_ros.datasets.label_folder import LabelFolder, Pair, beside, listed
from clipseg_ros.datasets.labels import below, lines, read_image, read_mat, read_pair, read_values, remap, table

VALUES = np.array([[0, 1, 20], [255, 2, 1]], np.uint8)


def _save(path: Path, values: np.ndarray, **options: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values).save(path, **options)
    return path


def _palette(path: Path, values: np.ndarray) -> Path:
    picture = Image.fromarray(values)
    picture.putpalette(np.random.default_rng(0).integers(0, 256, 768, np.uint8).tobytes())
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.save(path)
    return path


def test_palette_colours_are_not_taken_for_labels(tmp_path):
    path = _palette(tmp_path / "a.png", VALUES)
    assert Image.open(path).mode == "P"
    np.testing.assert_array_equal(read_values(path), VALUES)


@pytest.mark.parametrize(("suffix", "dtype"), [("png", np.uint8), ("tif", np.uint16), ("png", np.uint16)])
def test_grey_and_16_bit_labels_keep_their_values(tmp_path, suffix, dtype):
    values = VALUES.astype(dtype) * (1 if dtype == np.uint8 else 257)
    np.testing.assert_array_equal(read_values(_save(tmp_path / f"a.{suffix}", values)), values)


def test_label_map_of_a_mat_file_is_read(tmp_path):
    scipy.io.savemat(tmp_path / "a.mat", {"LabelMap": VALUES.astype(np.uint16) * 2})
    np.testing.assert_array_equal(read_values(tmp_path / "a.mat"), VALUES.astype(int) * 2)


def test_colour_labels_are_refused(tmp_path):
    path = _save(tmp_path / "a.png", np.zeros((2, 2, 3), np.uint8))
    with pytest.raises(DatasetError, match=r"a\.png: mode RGB; expected one number a pixel"):
        read_values(path)


@pytest.mark.parametrize("content", [b"", b"no picture", b"\x89PNG\r\n\x1a\n damaged"])
def test_damaged_pictures_and_labels_name_the_file(tmp_path, content):
    path = tmp_path / "a.png"
    path.write_bytes(content)
    with pytest.raises(DatasetError, match=r"a\.png: no readable label file"):
        read_values(path)
    with pytest.raises(DatasetError, match=r"a\.png: no readable picture"):
        read_image(path)


def test_truncated_jpeg_names_the_file(tmp_path):
    path = _save(tmp_path / "a.jpg", np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8))
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(DatasetError, match=r"a\.jpg: no readable picture"):
        read_image(path)


def test_missing_pictures_and_labels_name_the_file(tmp_path):
    with pytest.raises(DatasetError, match=r"a\.jpg: not there; expected a picture"):
        read_image(tmp_path / "a.jpg")
    with pytest.raises(DatasetError, match=r"a\.png: not there; expected a label file"):
        read_values(tmp_path / "a.png")


def test_damaged_mat_file_and_missing_array_name_the_file(tmp_path):
    (tmp_path / "a.mat").write_bytes(b"MATLAB 5.0 and then nothing")
    with pytest.raises(DatasetError, match=r"a\.mat: no readable MATLAB file"):
        read_values(tmp_path / "a.mat")
    scipy.io.savemat(tmp_path / "b.mat", {"LabelMap": VALUES / 2, "other": VALUES})
    for key in ("LabelMap", "third"):
        with pytest.raises(DatasetError, match=rf"b\.mat: expected an integer array {key} with two axes"):
            read_mat(tmp_path / "b.mat", key)


def test_grey_picture_becomes_rgb(tmp_path):
    image = read_image(_save(tmp_path / "a.png", VALUES))
    assert (image.shape, image.dtype) == ((2, 3, 3), np.uint8)
    np.testing.assert_array_equal(image[..., 2], VALUES)


def test_exif_rotation_does_not_turn_the_picture_away_from_its_labels(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    assert read_image(_save(tmp_path / "a.jpg", np.zeros((4, 6, 3), np.uint8), exif=exif)).shape == (4, 6, 3)


def test_picture_and_labels_of_different_size_are_refused(tmp_path):
    picture = _save(tmp_path / "a.jpg", np.zeros((3, 2, 3), np.uint8))
    with pytest.raises(DatasetError, match="a.png and .*a.jpg: 3 x 2 and 2 x 3 pixels; expected one size"):
        read_pair(picture, _save(tmp_path / "a.png", VALUES))


def test_values_become_classes_by_the_table():
    labels = remap(VALUES, table({0: IGNORE, 1: 0, 2: 1, 20: 19, 255: IGNORE}), Path("a.png"))
    assert labels.dtype == np.int32
    np.testing.assert_array_equal(labels, [[-1, 0, 19], [-1, 1, 0]])


@pytest.mark.parametrize("values", [[[3, 0]], [[70000, 0]], [[0, 300]]])
def test_value_without_class_is_named_with_the_known_ones(values):
    with pytest.raises(DatasetError, match=rf"a\.png: value {np.max(values)} \(no hint\); expected 0 to 2, 7, 255"):
        remap(np.array(values), table({0: 0, 1: 1, 2: 2, 7: 3, 255: IGNORE}), Path("a.png"), "no hint")


def test_negative_values_do_not_count_from_the_end():
    with pytest.raises(DatasetError, match="value -1; expected 0 to 1"):
        remap(np.array([[-1, 0]]), table({0: 0, 1: 1}), Path("a.tif"))


def test_other_values_take_what_the_table_says():
    np.testing.assert_array_equal(remap(np.array([[0, 9, 65535]]), table({9: 4}, IGNORE), Path("a")), [[-1, 4, -1]])


@pytest.mark.parametrize("name", ["/etc/passwd", "../a", "a/../../b", "", "a\0b"])
def test_names_that_leave_the_root_are_refused(name):
    with pytest.raises(DatasetError, match="expected a path below root, relative and without"):
        below(Path("root"), name)


def test_names_inside_the_root_are_joined():
    assert below(Path("root"), "a/b..c.png") == Path("root/a/b..c.png")


def test_lists_lose_blank_lines_and_windows_ends(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"\xef\xbb\xbfone\r\n\n two \n")
    assert lines(tmp_path / "a.txt", "a list") == ["one", "two"]


def test_missing_empty_and_binary_lists_say_what_is_expected(tmp_path):
    (tmp_path / "empty.txt").write_text("\n")
    (tmp_path / "binary.txt").write_bytes(b"\xff\xfe\x00")
    for name, words in (("no", "not there"), ("empty", "empty"), ("binary", "no text in UTF-8")):
        with pytest.raises(DatasetError, match=rf"{name}\.txt: {words}.*; expected a list of stems"):
            lines(tmp_path / f"{name}.txt", "a list of stems")


def _folder(root: Path) -> tuple[Path, Path]:
    for stem in "ba":
        _save(root / "pictures" / f"{stem}.jpg", np.zeros((2, 3, 3), np.uint8))
        _palette(root / "labels" / f"{stem}.png", VALUES)
    return root / "pictures", root / "labels"


def test_folder_gives_its_pairs_by_name(tmp_path):
    folder = LabelFolder(("x",), beside(*_folder(tmp_path)), table({}, IGNORE))
    assert [folder[i].name for i in range(len(folder))] == ["a", "b"]
    assert (folder[1].labels == IGNORE).all()
    with pytest.raises(IndexError):
        folder[2]


def test_listed_stems_keep_their_order_and_stay_below(tmp_path):
    pictures, labels = _folder(tmp_path)
    assert listed(pictures, labels, ["b", "a"])[0] == Pair("b", pictures / "b.jpg", labels / "b.png")
    with pytest.raises(DatasetError, match="expected a path below"):
        listed(pictures, labels, ["../labels/a"])


def test_incomplete_folders_are_refused_before_they_are_scored(tmp_path):
    pictures, labels = _folder(tmp_path)
    (labels / "a.png").unlink()
    with pytest.raises(DatasetError, match=r"labels: 1 label files are missing, the first is a\.png"):
        beside(pictures, labels)
    with pytest.raises(DatasetError, match=r"labels: no picture; expected \*\.jpg"):
        beside(labels, labels)
    for bad in (tmp_path / "none", labels), (pictures, tmp_path / "none"):
        with pytest.raises(DatasetError, match="none: not there; expected a folder of"):
            beside(*bad)
        with pytest.raises(DatasetError, match="none: not there; expected the folder of the"):
            listed(*bad, ["a"])
