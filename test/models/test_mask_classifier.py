# SPDX-License-Identifier: Apache-2.0
"""The judge of masks: the authors' pixels and scores, and what distractors and squashing are for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from clipseg_ros.models.mask_classifier import FITS, classifier_pixels, mask_scores, text_probabilities
from clipseg_ros.models.weights import InputFormat

GOLDEN = Path(__file__).parents[1] / "golden" / "car" / "masks"
MEAN = np.array([0.48145466, 0.4578275, 0.40821073], np.float32)
STD = np.array([0.26862954, 0.26130258, 0.27577711], np.float32)
FORM = InputFormat(56, MEAN, STD)
CASES = ("a", "b", "d")
LOGIT_SCALE = 12.0  # of the random classifier


def case(name: str) -> dict[str, torch.Tensor]:
    with np.load(GOLDEN / f"case_{name}.npz") as arrays:
        return {key: torch.from_numpy(arrays[key]) for key in arrays.files}


def unit(*rows: tuple[float, ...]) -> torch.Tensor:
    return torch.nn.functional.normalize(torch.tensor(rows), dim=-1)


@pytest.mark.parametrize("name", CASES)
def test_the_authors_input_is_reproduced(name: str) -> None:
    arrays = case(name)
    pixels = classifier_pixels(list(arrays["prompted"].numpy()), FORM, "centre_crop")
    torch.testing.assert_close(pixels, arrays["clf_pixel_values"], atol=2e-6, rtol=0)


@pytest.mark.parametrize("name", CASES)
def test_the_authors_scores_are_reproduced(name: str) -> None:
    arrays = case(name)
    images, texts = arrays["clf_img_feat"], arrays["clf_text_feat"]
    torch.testing.assert_close(
        text_probabilities(images, texts, LOGIT_SCALE), arrays["clf_prob"], atol=2e-5, rtol=0
    )
    scores = mask_scores(images, texts, LOGIT_SCALE, sharpness=float(len(texts)))
    torch.testing.assert_close(scores, arrays["scores"], atol=2e-5, rtol=0)


def test_without_sharpness_a_score_is_the_mean_probability() -> None:
    images, texts = unit((1.0, 0.2), (0.1, 1.0)), torch.stack([unit((1.0, 0.0), (0.0, 1.0))] * 3)
    single = text_probabilities(images, texts[:1], 5.0)[0]
    torch.testing.assert_close(mask_scores(images, texts, 5.0), single)


def test_a_lone_query_is_certain_without_distractors_and_judged_with_them() -> None:
    images, query = unit((0.0, 1.0)), unit((1.0, 0.0))[None]
    assert mask_scores(images, query, 20.0)[0, 0] == 1.0
    distractors = torch.cat([query, unit((0.0, 1.0), (-1.0, 0.0))[None]], dim=1)
    assert mask_scores(images, distractors, 20.0)[0, 0] < 0.01
    assert mask_scores(unit((1.0, 0.0)), distractors, 20.0)[0, 0] > 0.99


def test_half_precision_features_are_judged_in_float32() -> None:
    scores = mask_scores(unit((1.0, 0.2)).half(), unit((1.0, 0.0), (0.0, 1.0))[None].half(), 100.0, sharpness=1.0)
    assert scores.dtype == torch.float32
    torch.testing.assert_close(scores.sum(dim=-1), torch.ones(1))


def test_squashing_keeps_the_ends_that_a_centre_crop_loses() -> None:
    image = np.zeros((60, 80, 3), np.uint8)
    image[:, :8] = 255
    seen = {fit: classifier_pixels([image], FORM, fit)[0, 0].max() > 0.0 for fit in FITS}
    assert seen == {"squash": True, "centre_crop": False}


@pytest.mark.parametrize("fit", FITS)
def test_images_of_any_size_become_one_batch(fit: str) -> None:
    images = [np.full(size, 124, np.uint8) for size in [(1, 1, 3), (1, 9, 3), (300, 20, 3), (57, 56, 3)]]
    pixels = classifier_pixels(images, FORM, fit)
    assert pixels.shape == (4, 3, 56, 56) and pixels.dtype == torch.float32
    assert pixels[:, 0].sub((124 / 255 - MEAN[0]) / STD[0]).abs().max() < 1e-5
    assert classifier_pixels([], FORM, fit).shape == (0, 3, 56, 56)


def test_an_unknown_fit_is_refused_with_the_names() -> None:
    with pytest.raises(ValueError, match="classifier_fit 'letterbox': expected one of squash, centre_crop"):
        classifier_pixels([], FORM, "letterbox")
