# SPDX-License-Identifier: Apache-2.0
"""The picture of a run, looked at by its pixels."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from clipseg_ros.training import plots

BLUE, ORANGE = (31, 119, 180), (255, 127, 14)


def write(out: Path, validated: bool) -> None:
    (out / "log.csv").write_text("".join(f"{step},{2.0 / (step + 1):.5f},{step}.0\n" for step in range(200)))
    if validated:
        (out / "validation.csv").write_text("99,0.30000\n199,0.45000\n")


def shows(picture: Path, colour: tuple[int, int, int]) -> np.ndarray:
    """(n, 2) rows and columns of the pixels of a colour."""
    return np.argwhere((cv2.imread(str(picture))[..., ::-1] == colour).all(axis=2))


def test_the_loss_falls_from_left_to_right(tmp_path: Path) -> None:
    write(tmp_path, validated=False)
    line = shows(plots.curves(tmp_path), BLUE)
    left, right = line[line[:, 1].argmin()], line[line[:, 1].argmax()]
    assert right[0] - left[0] > 100 and right[1] - left[1] > 400
    assert not len(shows(tmp_path / "curves.png", ORANGE))


def test_iou_has_a_panel_of_its_own_where_it_was_measured(tmp_path: Path) -> None:
    write(tmp_path, validated=True)
    picture = plots.curves(tmp_path)
    assert shows(picture, ORANGE)[:, 0].min() > shows(picture, BLUE)[:, 0].max()


def test_means_are_of_equal_spans() -> None:
    np.testing.assert_allclose(plots.means(np.arange(100.0)), np.arange(0.5, 100.0, 2.0))
    np.testing.assert_array_equal(plots.means(np.array([3.0, 1.0])), [3.0, 1.0])


def test_a_run_without_steps_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="log.csv: no steps to draw"):
        plots.curves(tmp_path)
