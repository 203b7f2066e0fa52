# SPDX-License-Identifier: Apache-2.0
"""ZegCLIP's probabilities: against the authors' numbers, and by hand where thresholds and penalties decide."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from clipseg_ros.engines.zegclip_maps import ProbabilityMaps, Windows
from clipseg_ros.models.zegclip import ZegCLIP, ZegCLIPNetwork

Arrays = dict[str, np.ndarray]
SEEN = torch.tensor([0.1, 0.1, 0.0, 0.1, 0.0])
EVERYTHING = np.full(5, -np.inf, np.float32)


@pytest.fixture
def model(zegclip_network: ZegCLIPNetwork) -> ZegCLIP:
    return ZegCLIP(zegclip_network.requires_grad_(False))


def logits(model: ZegCLIP, pixels: torch.Tensor, golden: Arrays) -> torch.Tensor:
    return model.decode(model.encode_image(pixels), torch.from_numpy(golden["text"]))


def maps(*rows: list[float], penalties: tuple[float, ...] = ()) -> ProbabilityMaps:
    """Of classes whose probabilities over a picture of one row are given."""
    planes = torch.tensor(rows).logit()[None, :, None]
    return ProbabilityMaps(planes, torch.tensor(penalties or (0.0,) * len(rows)), (1, len(rows[0])))


@pytest.mark.parametrize(("name", "penalties"), [("prob_inductive", SEEN), ("prob_selftrained", 0.0 * SEEN)])
def test_the_whole_picture_has_the_references_probabilities(
    model: ZegCLIP, zegclip_golden: Arrays, name: str, penalties: torch.Tensor
) -> None:
    planes = logits(model, torch.from_numpy(zegclip_golden["image"]), zegclip_golden)
    for one, expected in zip(planes, zegclip_golden[name]):
        found = ProbabilityMaps(one[None], penalties, (32, 32))
        np.testing.assert_allclose(found.probabilities(), expected, atol=1e-4, rtol=0)
        np.testing.assert_array_equal(found.scores(), np.maximum(found.probabilities(), 0.0))
        np.testing.assert_array_equal(found.labels(EVERYTHING), 1 + expected.argmax(axis=0))


@pytest.mark.parametrize(("name", "size"), [("slide_prob", (32, 51)), ("slide_prob_rescaled", (40, 63))])
def test_windows_have_the_references_probabilities(
    model: ZegCLIP, zegclip_golden: Arrays, name: str, size: tuple[int, int]
) -> None:
    windows = Windows.over((32, 51), 32)
    assert windows.starts == ((0, 0), (0, 19))
    parts = windows.cut(torch.from_numpy(zegclip_golden["image_slide"]))
    found = ProbabilityMaps(logits(model, parts, zegclip_golden), SEEN, size, windows)
    np.testing.assert_allclose(found.probabilities(), zegclip_golden[name][0], atol=1e-4, rtol=0)
    np.testing.assert_array_equal(found.labels(EVERYTHING), 1 + zegclip_golden[name][0].argmax(axis=0))


@pytest.mark.parametrize(
    ("canvas", "starts"),
    [
        ((512, 512), ((0, 0),)),
        ((512, 683), ((0, 0), (0, 171))),
        ((512, 938), ((0, 0), (0, 426))),
        ((939, 512), ((0, 0), (426, 0), (427, 0))),
    ],
)
def test_windows_stand_where_published(canvas: tuple[int, int], starts: tuple[tuple[int, int], ...]) -> None:
    assert Windows.over(canvas, 512).starts == starts


def test_where_windows_overlap_their_probabilities_are_averaged() -> None:
    windows = Windows((2, 3), 2, ((0, 0), (0, 1)))
    planes = torch.tensor([0.2, 0.6]).logit().reshape(2, 1, 1, 1)
    found = ProbabilityMaps(planes, torch.zeros(1), (2, 3), windows).probabilities()
    np.testing.assert_allclose(found, [[[0.2, 0.4, 0.6]] * 2], atol=1e-6)


def test_the_best_class_that_reaches_its_own_threshold_wins_and_ties_go_to_the_first() -> None:
    found = maps([0.9, 0.4, 0.5, 0.1], [0.8, 0.3, 0.5, 0.1])
    np.testing.assert_array_equal(found.labels(np.float32([0.5, 0.2])), [[1, 2, 1, 0]])
    np.testing.assert_array_equal(found.labels(np.float32([0.95, 0.2])), [[2, 2, 2, 0]])
    np.testing.assert_array_equal(found.masks(np.float32([0.5, 0.2])), [[[1, 0, 1, 0]], [[1, 1, 1, 0]]])
    np.testing.assert_array_equal(found.present(np.float32([0.95, 0.2])), [False, True])
    np.testing.assert_allclose(found.score(), [[0.9, 0.4, 0.5, 0.1]], atol=1e-6)


def test_a_penalty_counts_before_classes_compete_and_scores_end_at_zero() -> None:
    found = maps([0.55, 0.05], [0.5, 0.02], penalties=(0.1, 0.0))
    np.testing.assert_array_equal(found.labels(np.float32([0.3, 0.3])), [[2, 0]])
    np.testing.assert_allclose(found.scores(), [[[0.45, 0.0]], [[0.5, 0.02]]], atol=1e-6)
    np.testing.assert_allclose(found.probabilities()[0], [[0.45, -0.05]], atol=1e-6)
    np.testing.assert_array_equal(found.present(np.float32([0.5, 0.3])), [False, True])
