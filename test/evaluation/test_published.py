# SPDX-License-Identifier: Apache-2.0
"""Published numbers: as printed, complete, and asked for by name."""

from __future__ import annotations

import pytest

from clipseg_ros.evaluation import published

TABLES = {"clipseg": range(2, 10), "car": range(1, 9), "zegclip": range(2, 10), "ovseg": range(1, 4)}


@pytest.mark.parametrize(
    ("paper", "name", "row", "column", "value"),
    [
        ("clipseg", "table2", "crop & BG intensity 10% + BG blur", "delta_p_object", 23.5),
        ("clipseg", "table3", "CLIPSeg (PC, D=128)", "mIoU", 48.2),
        ("clipseg", "table4", "JoEm", "unseen-4 mIoU_U", 33.4),
        ("clipseg", "table9", "D = 16", "visual AP", 51.2),
        ("car", "table1", "CaR (Ours)", "Pascal VOC", 67.6),
        ("zegclip", "table2", "ZegCLIP (Ours)", "VOC hIoU", 84.3),
        ("ovseg", "table1", "OVSeg (Ours) | Swin-B | COCO-Stuff-171", "A-150", 29.6),
    ],
)
def test_a_number_is_the_one_that_the_paper_prints(paper: str, name: str, row: str, column: str, value: float) -> None:
    assert dict(published.table(paper, name).rows)[row][column] == value


@pytest.mark.parametrize(("paper", "number"), [(paper, n) for paper, numbers in TABLES.items() for n in numbers])
def test_every_row_has_a_cell_for_every_column(paper: str, number: int) -> None:
    table = published.table(paper, f"table{number}")
    assert table.columns and table.rows and "," in table.source
    assert all(tuple(values) == table.columns for _, values in table.rows)
    assert all(len(words) == len(table.rows) for words in table.labels.values())


def test_a_table_is_called_as_in_its_paper() -> None:
    assert published.table("car", "tableI").number == "CaR, Table I"


def test_an_unknown_paper_or_table_is_refused_with_those_there_are() -> None:
    with pytest.raises(ValueError, match="paper 'lseg': expected one of clipseg, car, zegclip, ovseg"):
        published.table("lseg", "table1")
    with pytest.raises(ValueError, match="table 'table1' of clipseg: expected one of table2, table3"):
        published.table("clipseg", "table1")
