# SPDX-License-Identifier: Apache-2.0
"""Predictions on disk: written once, whole, and never mixed with those of other settings."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest

from clipseg_ros.evaluation.predictions import MANIFEST, Predictions, pin, weights_digest


def test_what_is_written_is_read_and_no_longer_missing(tmp_path: Path) -> None:
    kept = Predictions(tmp_path / "a" / "b")
    scores = np.arange(6, dtype=np.uint16).reshape(1, 2, 3)
    kept.write(2, "one", {"scores": scores})
    np.testing.assert_array_equal(kept.read(2, "one")["scores"], scores)
    assert kept.missing(4) == [0, 1, 3]


@pytest.mark.parametrize("name", ["../../escape", "a/b\\c", "spaces and ö", "", "x" * 300])
def test_any_name_is_a_file_in_the_folder(tmp_path: Path, name: str) -> None:
    kept = Predictions(tmp_path)
    kept.write(0, name, {"a": np.zeros(1)})
    assert [path.parent for path in tmp_path.rglob("*.npz")] == [tmp_path]
    assert kept.read(0, name)["a"] == 0


def test_names_that_look_alike_do_not_meet(tmp_path: Path) -> None:
    kept = Predictions(tmp_path)
    for index, name in enumerate(("a/b", "a b")):
        kept.write(index, name, {"a": np.array(index)})
    assert [int(kept.read(index, name)["a"]) for index, name in enumerate(("a/b", "a b"))] == [0, 1]


def test_a_file_half_written_does_not_count(tmp_path: Path) -> None:
    kept = Predictions(tmp_path)
    (tmp_path / ".123.tmp").write_bytes(b"half")
    assert kept.missing(1) == [0]


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    kept = Predictions(tmp_path)
    (tmp_path / "000000_one.npz").write_bytes(b"no zip")
    with pytest.raises(ValueError, match=r"000000_one.npz: damaged .*; delete it and run again"):
        kept.read(0, "one")


def test_a_sample_that_changed_its_name_is_not_scored(tmp_path: Path) -> None:
    kept = Predictions(tmp_path)
    kept.write(0, "old", {"a": np.zeros(1)})
    with pytest.raises(ValueError, match=r"000000_new.npz: not there.*the data set is not the one"):
        kept.read(0, "new")


def test_waiting_ends_when_another_process_has_written_the_last_file(tmp_path: Path) -> None:
    kept = Predictions(tmp_path)
    kept.write(0, "mine", {"a": np.zeros(1)})
    other = threading.Timer(0.3, lambda: Predictions(tmp_path).write(1, "other", {"a": np.ones(1)}))
    other.start()
    kept.wait(2, quiet=True)
    assert kept.read(1, "other")["a"] == 1
    other.join()


def test_the_same_settings_are_welcome_again_and_others_are_refused(tmp_path: Path) -> None:
    settings = {"weights": "demo", "options": {"side": 352, "extract_layers": (3, 7, 9)}}
    pin(tmp_path, settings)
    pin(tmp_path, settings)
    with pytest.raises(ValueError, match="holds predictions with weights 'demo', not 'other': choose another --out"):
        pin(tmp_path, {**settings, "weights": "other"})
    with pytest.raises(ValueError, match="with options"):
        pin(tmp_path, {"weights": "demo"})


def test_a_damaged_manifest_is_named(tmp_path: Path) -> None:
    (tmp_path / MANIFEST).write_text("{")
    with pytest.raises(ValueError, match=r"manifest.json: damaged .* choose another --out"):
        pin(tmp_path, {})


def test_trained_further_weights_are_other_weights(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"one")
    before = weights_digest(str(tmp_path))
    assert weights_digest(str(tmp_path)) == before
    (tmp_path / "model.safetensors").write_bytes(b"two")
    assert weights_digest(str(tmp_path)) != before
    assert weights_digest("CIDAS/clipseg-rd64-refined") == ""
