# SPDX-License-Identifier: Apache-2.0
"""The paper's metrics against what the authors' code returns: golden/clipseg/README.md."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from clipseg_ros.evaluation import curves
from clipseg_ros.evaluation.clipseg_paper import (
    THRESHOLDS,
    Scores,
    resize,
    simpson,
    simpson_averaged,
    sweep,
    trapezoid,
)

GOLDEN = Path(__file__).resolve().parents[1] / "golden" / "clipseg"
SCALARS = json.loads((GOLDEN / "metric_golden.json").read_text())
CASES = [name for name in SCALARS if not name.startswith("_")]
THEIRS = {"iou_fg": "fgiou", "iou_bin": "biniou", "miou": "miou"}
AREAS = {"scipy-1.10": "ap_scipy_1_10", "scipy-1.11": "ap_scipy_new", "trapezoid": "ap_trapezoid"}
exact = {"rtol": 0, "atol": 1e-12}


@pytest.fixture(scope="module")
def arrays() -> dict[str, np.ndarray]:
    with np.load(GOLDEN / "metric_golden.npz", allow_pickle=False) as stored:
        return dict(stored)


def scored(arrays: dict[str, np.ndarray], case: str) -> Scores:
    """The samples of a golden case, resized where their scores are smaller than their targets."""
    samples = zip(arrays[f"{case}/pred"][:, 0], arrays[f"{case}/gt"][:, 0].astype(bool))
    tables = [sweep(scores if scores.shape == gt.shape else resize(scores, gt.shape), gt) for scores, gt in samples]
    return Scores(np.stack(tables), arrays[f"{case}/cls"])


def test_thresholds_are_the_authors_to_the_last_bit():
    assert len(THRESHOLDS) == 49
    assert {SCALARS[case]["biniou_best_t"] for case in CASES} <= set(THRESHOLDS.tolist())


@pytest.mark.parametrize("case", CASES)
def test_counts_meet_the_authors(arrays, case):
    expected = np.stack([arrays[f"{case}/{name}"] for name in ("tp", "fp", "fn", "tn")], axis=-1)
    assert np.array_equal(scored(arrays, case).tables, expected)


@pytest.mark.parametrize("case", CASES)
def test_ratios_at_every_threshold_meet_the_authors(arrays, case):
    scores = scored(arrays, case)
    np.testing.assert_allclose(scores.iou_fg(), arrays[f"{case}/fgiou_scores"], **exact)
    np.testing.assert_allclose(scores.iou_bin(), arrays[f"{case}/biniou_scores"], **exact)
    np.testing.assert_allclose(scores.miou(), arrays[f"{case}/mean_iou_scores"], **exact)


@pytest.mark.parametrize("case", CASES)
def test_the_curve_meets_the_authors_in_values_and_order(arrays, case):
    recall, precision = scored(arrays, case).curve()
    np.testing.assert_allclose(recall, arrays[f"{case}/recall"], **exact)
    np.testing.assert_allclose(precision, arrays[f"{case}/precision"], **exact)


@pytest.mark.parametrize("rule", AREAS)
@pytest.mark.parametrize("case", CASES)
def test_ap_meets_each_scipy(arrays, case, rule):
    assert scored(arrays, case).ap(rule) == pytest.approx(SCALARS[case][AREAS[rule]], rel=0, abs=1e-12)


@pytest.mark.parametrize("case", CASES)
def test_every_scalar_meets_the_authors(arrays, case):
    found = scored(arrays, case).summary()
    expected = {"ap": SCALARS[case]["ap_scipy_1_10"]}
    for ours, theirs in THEIRS.items():
        for which in ("best", "best_t", "0.1", "0.2", "0.3", "0.5"):
            expected[f"{ours}_{which}"] = SCALARS[case][f"{theirs}_{which}"]
    assert found == pytest.approx(expected, rel=0, abs=1e-12)


def test_a_perfect_mask_has_ap_0_here_and_1_by_default(arrays):
    scores = scored(arrays, "perfect")
    assert scores.ap() == 0.0
    assert curves.average_precision(scores.tables.sum(axis=0)) == 1.0


def test_float64_scores_are_compared_in_float32(arrays):
    scores, target = arrays["values_on_thresholds/pred"][0, 0], arrays["values_on_thresholds/gt"][0, 0].astype(bool)
    assert np.array_equal(sweep(scores.astype(np.float64), target), sweep(scores, target))


def test_pixels_that_are_not_valid_are_in_no_count():
    table = sweep(np.full((1, 2), 0.9), np.array([[True, False]]), np.array([[True, False]]))
    assert table.sum(axis=1).tolist() == [1] * 49


def test_resize_keeps_corners_and_takes_one_row():
    resized = resize(np.array([[0.0, 1.0]]), (3, 5))
    assert resized.tolist() == [[0.0, 0.25, 0.5, 0.75, 1.0]] * 3


def test_a_curve_without_a_marked_pixel_is_refused():
    nothing = Scores(sweep(np.zeros((2, 2)), np.eye(2, dtype=bool))[None], np.zeros(1, int))
    with pytest.raises(ValueError, match="no pixel is above any threshold"):
        nothing.ap()


def test_an_unknown_rule_is_refused(arrays):
    with pytest.raises(ValueError, match="'romberg': expected one of scipy-1.10, scipy-1.11, trapezoid"):
        scored(arrays, "tiny").ap("romberg")


@pytest.mark.parametrize(("samples", "classes"), [(2, 1), (0, 0)])
def test_tables_without_their_classes_are_refused(samples, classes):
    with pytest.raises(ValueError, match="at least one sample"):
        Scores(np.zeros((samples, 49, 4), int), np.zeros(classes, int))


UNEVEN = np.array([0.0, 0.1, 0.4, 0.5, 0.9, 1.3])


@pytest.mark.parametrize("points", [3, 4, 5, 6])
def test_simpson_is_exact_for_a_parabola(points):
    x = UNEVEN[:points]
    assert simpson(3 * x**2 - x, x) == pytest.approx(x[-1] ** 3 - x[-1] ** 2 / 2)


@pytest.mark.parametrize("points", [1, 2, 3, 4, 5, 6])
@pytest.mark.parametrize("rule", [trapezoid, simpson, simpson_averaged])
def test_every_rule_is_exact_for_a_line(rule, points):
    x = UNEVEN[:points]
    assert rule(2 * x + 1, x) == pytest.approx(x[-1] ** 2 + x[-1])
