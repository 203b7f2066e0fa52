# SPDX-License-Identifier: Apache-2.0
"""Class names that come with the data set, in files that the user has: nothing of them is shipped here."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import NamedTuple

from clipseg_ros.datasets import DatasetError
from clipseg_ros.datasets.labels import lines


class TableRow(NamedTuple):
    """A class: its value in the raw label files, its number from 0, its name."""

    value: int
    number: int
    name: str


def numbered_names(path: Path, count: int) -> dict[int, str]:
    """Id and name of each class, in the order of the lines, of Pascal Context's labels.txt or 59_labels.txt.

    A line is "id: name". Raises DatasetError for another line, an id that comes twice, and another count.
    """
    names: dict[int, str] = {}
    for line in lines(path, f"{count} lines, id: name"):
        number, _, name = (part.strip() for part in line.partition(":"))
        if not (number.isdecimal() and name) or int(number) in names:
            raise DatasetError(f"{path}: line {line!r}; expected id: name, each id once")
        names[int(number)] = name
    if len(names) != count:
        raise DatasetError(f"{path}: {len(names)} names; expected {count}")
    return names


def object_info(path: Path, count: int = 150) -> tuple[str, ...]:
    """The names of ADE20K's objectInfo150.txt: columns parted by tabs, among them Idx and Name.

    Of the synonyms in Name, "building, edifice", the first is the class's name. Raises DatasetError.
    """
    header, *rows = (line.split("\t") for line in lines(path, "a table with the columns Idx and Name"))
    if "Idx" not in header or "Name" not in header:
        raise DatasetError(f"{path}: columns {header}; expected Idx and Name among them, parted by tabs")
    index, name = header.index("Idx"), header.index("Name")
    names = []
    for row in rows:
        if len(row) != len(header) or row[index].strip() != str(len(names) + 1):
            raise DatasetError(f"{path}: row {row}; expected {len(header)} columns and Idx {len(names) + 1}")
        names.append(first_synonym(row[name]))
    if len(names) != count:
        raise DatasetError(f"{path}: {len(names)} names; expected {count}")
    return tuple(names)


def class_table(path: Path, count: int = 847) -> tuple[TableRow, ...]:
    """The user's table of ADE20K-847: CSV with the header id,trainId,name. Ordered by trainId, which is the number.

    Raises DatasetError unless the numbers are 0 to count - 1 and no id occurs twice.
    """
    reader = csv.DictReader(lines(path, f"{count} rows of CSV with the header id,trainId,name"), skipinitialspace=True)
    if not {"id", "trainId", "name"} <= set(reader.fieldnames or ()):
        raise DatasetError(f"{path}: header {reader.fieldnames}; expected id,trainId,name")
    rows = []
    for row in reader:
        value, number, name = (row[key] or "" for key in ("id", "trainId", "name"))
        if not (value.isdecimal() and number.isdecimal() and name.strip()) or int(value) >= 1 << 16:
            raise DatasetError(f"{path}: row {row}; expected an id below 65536, a number and a name")
        rows.append(TableRow(int(value), int(number), first_synonym(name)))
    rows.sort(key=lambda row: row.number)
    if [row.number for row in rows] != list(range(count)) or len({row.value for row in rows}) != count:
        raise DatasetError(f"{path}: {len(rows)} rows; expected the trainIds 0 to {count - 1} once, each with an id")
    return tuple(rows)


def first_synonym(names: str) -> str:
    """The first of names parted by commas or semicolons: "coffee table" of "coffee table, cocktail table"."""
    return names.replace(";", ",").split(",")[0].strip()
