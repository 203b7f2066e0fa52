# SPDX-License-Identifier: Apache-2.0
"""Nouns by NLTK, on a tagger of a few words in place of the user's data."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from clipseg_ros.datasets import DatasetError
from clipseg_ros.training.ovseg_nouns import FILES, TAGGER, Nouns

WORDS = {"A": "DT", "a": "DT", "dog": "NN", "Dogs": "NNS", "on": "IN", "red": "JJ", "couch": "NN", "Paris": "NNP"}


def data(tmp_path: Path) -> Path:
    """nltk_data whose tagger knows WORDS by heart."""
    folder = tmp_path / "taggers" / TAGGER
    folder.mkdir(parents=True)
    for name, content in zip(FILES, ({}, WORDS, sorted({*WORDS.values(), "."}))):
        (folder / name).write_text(json.dumps(content))
    return tmp_path


def test_nouns_come_in_order_in_lower_case_and_once(tmp_path: Path) -> None:
    pytest.importorskip("nltk", reason="NLTK is not installed: pip install nltk")
    nouns = Nouns(data(tmp_path))
    assert nouns("A red dog on a couch. Dogs on a dog") == ("dog", "couch", "dogs")
    assert nouns("Paris") == ("paris",) and nouns("a red") == () and nouns("") == ()


def test_missing_data_says_what_belongs_where(tmp_path: Path) -> None:
    pytest.importorskip("nltk", reason="NLTK is not installed: pip install nltk")
    with pytest.raises(DatasetError, match=f"{TAGGER}.weights.json: not there; expected NLTK's data package {TAGGER}"):
        Nouns(tmp_path)


def test_without_the_library_its_name_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "nltk", None)
    with pytest.raises(DatasetError, match="need NLTK.*pip install nltk"):
        Nouns(tmp_path)
