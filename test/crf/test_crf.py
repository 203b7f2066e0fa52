# SPDX-License-Identifier: Apache-2.0
"""The dense CRF: the authors' marginals of CLIP as RNN, edges that move, thresholds that keep their meaning."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from clipseg_ros.crf import (
    CrfMissing, DenseCrf, SharpenedMaps, check_installed, guided_upsampling, joint_marginals, mean_field,
    separate_marginals, sharpen, sharpened_scores,
)
from clipseg_ros.masks import LogitMaps
from clipseg_ros.segmentation import Prompt, Segmentation

GOLDEN = Path(__file__).parents[1] / "golden" / "car" / "masks"
EDGE = 40  # column where the colours of the picture change
needs_crf = pytest.mark.skipif(
    importlib.util.find_spec("pydensecrf") is None, reason="the dense CRF is not built: make crf"
)


def case(name: str) -> dict[str, np.ndarray]:
    with np.load(GOLDEN / f"case_{name}.npz") as arrays:
        return dict(arrays)


def picture() -> np.ndarray:
    """60 x 80: red up to EDGE, blue from there, a little noise."""
    image = np.zeros((60, 80, 3), np.int16)
    image[:, :EDGE, 0] = 200
    image[:, EDGE:, 2] = 120
    noise = np.random.default_rng(0).integers(-3, 4, image.shape)
    return np.clip(image + noise, 0, 255).astype(np.uint8)


def slope(middle: float, peak: float = 1.0) -> np.ndarray:
    """(60, 80) float32: from peak on the left to 0, half of it at column `middle`, over about 10 pixels."""
    columns = np.arange(80, dtype=np.float32)
    return np.tile(np.float32(peak) / (1.0 + np.exp((columns - middle) / 2.0)), (60, 1)).astype(np.float32)


def left(columns: int) -> np.ndarray:
    mask = np.zeros((60, 80), bool)
    mask[:, :columns] = True
    return mask


@needs_crf
@pytest.mark.parametrize("name", ["a", "d"])
def test_marginals_are_the_authors(name: str) -> None:
    arrays = case(name)
    found = joint_marginals(arrays["image"], arrays["crf_prob_in"][1:])
    np.testing.assert_allclose(found, arrays["crf_q_clean"], atol=1e-5)
    np.testing.assert_array_equal(found.argmax(axis=0), arrays["crf_label_clean"])
    wrapped = mean_field(arrays["crf_image_ref"], arrays["crf_prob_in"][None], DenseCrf())[0]
    np.testing.assert_allclose(wrapped, arrays["crf_q_ref"], atol=1e-5)
    np.testing.assert_array_equal(wrapped.argmax(axis=0), arrays["crf_label_ref"])


@needs_crf
def test_proposals_alone_are_those_together_with_none() -> None:
    proposals = np.stack([slope(36.0), slope(60.0, 0.8)])
    separate = separate_marginals(picture(), proposals, exponent=2.0)
    for alone, proposal in zip(separate, proposals, strict=True):
        np.testing.assert_array_equal(alone, joint_marginals(picture(), proposal[None], exponent=2.0)[1])


@needs_crf
def test_a_larger_exponent_leaves_less_background() -> None:
    proposals = slope(60.0, 0.6)[None]
    shares = [joint_marginals(picture(), proposals, exponent=alpha)[0].mean() for alpha in (0.5, 1.0, 4.0)]
    assert shares == sorted(shares, reverse=True)


@needs_crf
def test_without_proposals_all_is_background() -> None:
    np.testing.assert_array_equal(joint_marginals(picture(), np.zeros((0, 60, 80), np.float32)), np.ones((1, 60, 80)))
    assert separate_marginals(picture(), np.zeros((0, 60, 80), np.float32)).shape == (0, 60, 80)


@needs_crf
def test_all_background_keeps_every_label() -> None:
    marginals = joint_marginals(picture(), np.zeros((3, 60, 80), np.float32))
    assert marginals.shape == (4, 60, 80)
    assert not marginals.argmax(axis=0).any()


@needs_crf
@pytest.mark.parametrize("threshold", [0.2, 0.5, 0.8])
@pytest.mark.parametrize("scale", [1.0, 0.5])
def test_the_edge_of_a_score_moves_to_the_edge_of_the_image(threshold: float, scale: float) -> None:
    scores = slope(EDGE - 6.0)[None]
    found = sharpened_scores(picture(), scores, np.array([threshold]), DenseCrf(scale=scale))
    assert found.dtype == np.float32 and found.min() >= 0.0 and found.max() <= 1.0
    wrong = [((maps[0] >= threshold) != left(EDGE)).sum() for maps in (found, scores)]
    assert 2 * wrong[0] < wrong[1]


@needs_crf
def test_masks_may_overlap_and_what_reaches_nothing_stays() -> None:
    scores = np.stack([slope(36.0), slope(37.0), slope(36.0, 0.4)])
    found = sharpened_scores(picture(), scores, np.full(3, 0.5))
    assert (found[0] >= 0.5).sum() > 1800 and (found[1] >= 0.5).sum() > 1800
    np.testing.assert_array_equal(found[2], scores[2])


@needs_crf
def test_half_scale_is_close_to_full_scale() -> None:
    arrays = case("a")
    found = joint_marginals(arrays["image"], arrays["crf_prob_in"][1:], DenseCrf(scale=0.5))
    assert found.shape == arrays["crf_q_clean"].shape
    assert (found.argmax(axis=0) == arrays["crf_label_clean"]).mean() > 0.9


@needs_crf
@pytest.mark.parametrize("size", [(1, 1), (1, 9), (33, 2)])
@pytest.mark.parametrize("scale", [1.0, 0.3])
def test_tiny_images_do_not_crash(size: tuple[int, int], scale: float) -> None:
    image = np.zeros((*size, 3), np.uint8)
    found = joint_marginals(image, np.full((2, *size), 0.3, np.float32), DenseCrf(scale=scale))
    assert found.shape == (3, *size) and np.isfinite(found).all()


def test_upsampling_follows_the_image() -> None:
    image = picture()
    small = cv2.resize(image, (40, 30), interpolation=cv2.INTER_AREA)
    step, flat = np.zeros((30, 40), np.float32), np.full((30, 40), 0.3, np.float32)
    step[:, : EDGE // 2] = 1.0
    found = guided_upsampling(image, small, np.stack([step, flat]))
    np.testing.assert_array_equal(found[0] > 0.5, left(EDGE))
    np.testing.assert_allclose(found[1], 0.3, atol=1e-4)


@needs_crf
def test_an_engines_segmentation_is_sharpened_on_demand() -> None:
    scores = np.clip(np.stack([slope(36.0), slope(37.0, 0.9), slope(36.0, 0.4)]), 1e-4, 1.0 - 1e-4)
    maps = LogitMaps(np.log(scores / (1.0 - scores)), (60, 80))
    given = Segmentation((Prompt("mug"), Prompt("cup", threshold=0.7), Prompt("dog")), maps, threshold=0.5)
    found = sharpen(given, picture())
    assert found.prompts == given.prompts and found.threshold == 0.5
    expected = sharpened_scores(picture(), given.scores, np.array([0.5, 0.7, 0.5], np.float32))
    np.testing.assert_allclose(found.scores, expected, atol=1e-6)
    np.testing.assert_array_equal(found.score, found.scores.max(axis=0))
    np.testing.assert_array_equal(found.present, [True, True, False])
    np.testing.assert_array_equal(found.masks(), found.scores >= np.array([0.5, 0.7, 0.5])[:, None, None])
    best = np.where(found.masks(), found.scores, 0.0)
    np.testing.assert_array_equal(found.labels(), np.where(found.mask(), best.argmax(axis=0) + 1, 0))
    assert (found.masks()[0] != left(EDGE)).sum() <= 60 < (given.masks()[0] != left(EDGE)).sum()


@needs_crf
def test_without_prompts_there_is_nothing_to_sharpen() -> None:
    nothing = LogitMaps(np.zeros((0, 6, 8), np.float32), (60, 80))
    maps = SharpenedMaps(nothing, picture(), np.zeros(0, np.float32))
    assert maps.scores().shape == (0, 60, 80)
    assert not maps.score().any() and not maps.labels(np.zeros(0, np.float32)).any()


@needs_crf
def test_scores_of_another_size_are_refused() -> None:
    with pytest.raises(ValueError, match=r"scores of shape \(60, 81\): expected the image's, \(60, 80\)"):
        joint_marginals(picture(), np.zeros((1, 60, 81), np.float32))


@pytest.mark.parametrize("scale", [0.0, 1.5])
def test_a_scale_out_of_range_is_refused(scale: float) -> None:
    with pytest.raises(ValueError, match=f"crf scale {scale}"):
        DenseCrf(scale=scale)


def test_no_iterations_are_refused() -> None:
    with pytest.raises(ValueError, match="crf iterations 0"):
        DenseCrf(iterations=0)


def test_a_missing_library_is_named_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pydensecrf", None)
    with pytest.raises(CrfMissing, match="needs pydensecrf2.*make crf"):
        check_installed()
