# SPDX-License-Identifier: Apache-2.0
"""Pickles that want more than data."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import numpy as np
import pytest

from clipseg_ros.datasets import DatasetError
from clipseg_ros.datasets.pickles import read_pickle


class _Attack:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.path),)


def _write(folder: Path, content: object, protocol: int = 4) -> Path:
    (folder / "a.p").write_bytes(pickle.dumps(content, protocol))
    return folder / "a.p"


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_plain_data_comes_back(tmp_path, protocol):
    content = [{"ref_id": 7, "sent": "the left one", "box": (1.5, None, True)}]
    assert read_pickle(_write(tmp_path, content, protocol), "refs") == content


def test_strings_of_python_2_are_read(tmp_path):
    (tmp_path / "a.p").write_bytes(b"(lp0\nS'caf\\xe9'\np1\na.")
    assert read_pickle(tmp_path / "a.p", "refs") == ["caf\xe9"]


def test_a_pickle_runs_no_code(tmp_path):
    path = _write(tmp_path, {1: _Attack(tmp_path / "done")})
    with pytest.raises(DatasetError, match=r"a\.p: no readable pickle \(it asks for \w+\.mkdir, .*; expected refs"):
        read_pickle(path, "refs")
    assert not (tmp_path / "done").exists()
    pickle.loads(path.read_bytes())
    assert (tmp_path / "done").exists()  # so it was an attack


@pytest.mark.parametrize("content", [np.int64(1), np.zeros(2), Path("a")])
def test_harmless_classes_are_not_loaded_either(tmp_path, content):
    with pytest.raises(DatasetError, match="no readable pickle .it asks for"):
        read_pickle(_write(tmp_path, content), "refs")


def test_damaged_and_missing_pickles_name_the_file(tmp_path):
    (tmp_path / "a.p").write_bytes(b"\x80\x04no pickle")
    with pytest.raises(DatasetError, match=r"a\.p: no readable pickle .*; expected refs"):
        read_pickle(tmp_path / "a.p", "refs")
    with pytest.raises(DatasetError, match=r"b\.p: not there; expected refs"):
        read_pickle(tmp_path / "b.p", "refs")
