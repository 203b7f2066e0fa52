# SPDX-License-Identifier: Apache-2.0
"""Class names in the user's files."""

from __future__ import annotations

from pathlib import Path

import pytest

from clipseg_ros.datasets import DatasetError
from clipseg_ros.datasets.name_files import TableRow, class_table, first_synonym, numbered_names, object_info


def _file(folder: Path, text: str) -> Path:
    (folder / "names.txt").write_text(text)
    return folder / "names.txt"


def test_numbered_names_keep_the_order_of_their_lines(tmp_path):
    names = numbered_names(_file(tmp_path, "2: aeroplane\n1: bed clothes\n"), 2)
    assert list(names.items()) == [(2, "aeroplane"), (1, "bed clothes")]


@pytest.mark.parametrize("line", ["aeroplane", "x: aeroplane", "2:", "1: again"])
def test_line_without_a_new_id_and_name_is_refused(tmp_path, line):
    with pytest.raises(DatasetError, match=rf"names\.txt: line '{line}'; expected id: name, each id once"):
        numbered_names(_file(tmp_path, f"1: bag\n{line}\n"), 2)


def test_first_synonym_keeps_its_blanks():
    assert first_synonym("coffee table, cocktail table") == "coffee table"
    assert first_synonym(" building;edifice") == "building"


@pytest.mark.parametrize("header", ["Idx\tRatio\tTrain\tVal\tName", "Idx\tRatio\tTrain\tVal\tStuff\tName"])
def test_object_info_gives_the_first_synonym_in_order(tmp_path, header):
    rest = "\t".join(["0"] * (header.count("\t") - 1))
    path = _file(tmp_path, f"{header}\n1\t{rest}\twall\n2\t{rest}\tcoffee table, cocktail table\n")
    assert object_info(path, 2) == ("wall", "coffee table")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Idx,Name\n1,wall", "columns .*; expected Idx and Name among them, parted by tabs"),
        ("Idx\tName\n2\twall", "row .*; expected 2 columns and Idx 1"),
        ("Idx\tName\n1", "row .*; expected 2 columns and Idx 1"),
        ("Idx\tName\n1\twall\n2\tsky", "2 names; expected 1"),
    ],
)
def test_object_info_of_another_form_is_refused(tmp_path, text, words):
    with pytest.raises(DatasetError, match=words):
        object_info(_file(tmp_path, text), 1)


def test_other_number_of_names_is_refused(tmp_path):
    with pytest.raises(DatasetError, match="1 names; expected 59"):
        numbered_names(_file(tmp_path, "1: bag\n"), 59)


def test_table_is_ordered_by_number(tmp_path):
    path = _file(tmp_path, 'id,trainId,name\n312,1,"door, gate"\n2978, 0, wall\n')
    assert class_table(path, 2) == (TableRow(2978, 0, "wall"), TableRow(312, 1, "door"))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("id,name\n1,wall", "header .*; expected id,trainId,name"),
        ("id,trainId,name\nx,0,wall", "row .*; expected an id below 65536"),
        ("id,trainId,name\n1,0", "row .*; expected an id below 65536"),
        ("id,trainId,name\n65536,0,wall", "row .*; expected an id below 65536"),
        ("id,trainId,name\n1,1,wall", "1 rows; expected the trainIds 0 to 0 once"),
        ("id,trainId,name\n1,0,wall\n2,0,sky", "2 rows; expected the trainIds 0 to 0 once"),
    ],
)
def test_table_of_another_form_is_refused(tmp_path, text, words):
    with pytest.raises(DatasetError, match=words):
        class_table(_file(tmp_path, text), 1)


def test_missing_files_say_what_is_expected(tmp_path):
    for read, words in (
        (lambda path: numbered_names(path, 459), "459 lines, id: name"),
        (object_info, "columns Idx and Name"),
        (class_table, "847 rows of CSV with the header id,trainId,name"),
    ):
        with pytest.raises(DatasetError, match=f"no: not there; expected .*{words}"):
            read(tmp_path / "no")
