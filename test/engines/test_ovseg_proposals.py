# SPDX-License-Identifier: Apache-2.0
"""Which masks are worth a look, by hand; SAM's segments as proposals; the picture that is looked at."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import SamConfig, SamModel

from clipseg_ros import engines
from clipseg_ros.engines.ovseg import resized_picture
from clipseg_ros.engines.ovseg_proposals import NetworkCandidates, SegmentCandidates, emptiness, pruned
from clipseg_ros.models.maskformer import Proposals
from clipseg_ros.segmentation import Prompt

PICTURE = np.random.default_rng(0).integers(0, 256, (60, 84, 3), np.uint8)


def masks(*boxes: tuple[int, int, float]) -> torch.Tensor:
    """(Q, 10, 10): columns first..last of each have its probability."""
    made = torch.zeros(len(boxes), 10, 10)
    for mask, (first, last, value) in zip(made, boxes):
        mask[:, first:last] = value
    return made


def rows(planes: torch.Tensor, empty: list[float] | None = None, **options: float) -> list[int]:
    off = {"threshold": 0.5, "min_area": 0.0, "no_object": 1.0, "nms_iou": 1.0, "top_k": 0}
    return pruned(planes, torch.tensor(empty or [0.0] * len(planes)), **{**off, **options}).tolist()


def test_empty_and_small_masks_are_dropped() -> None:
    planes = masks((0, 4, 0.9), (0, 4, 0.5), (9, 10, 0.9), (0, 10, 0.6))
    assert rows(planes) == [0, 2, 3]
    assert rows(planes, min_area=0.1) == [0, 2, 3] and rows(planes, min_area=0.11) == [0, 3]


def test_masks_of_no_object_are_dropped() -> None:
    planes = masks((0, 4, 0.9), (4, 8, 0.9), (8, 10, 0.9))
    assert rows(planes, [0.95, 0.9, 0.0], no_object=0.9) == [1, 2]


def test_of_two_masks_of_the_same_place_the_better_stays() -> None:
    planes = masks((0, 5, 0.7), (0, 5, 0.9), (0, 6, 0.8), (5, 10, 0.6))
    assert rows(planes, nms_iou=0.8) == [1, 3]
    assert rows(planes, nms_iou=0.9) == [1, 2, 3]
    assert rows(planes, [0.0, 0.5, 0.9, 0.0], nms_iou=0.8) == [0, 3]  # quality .7, .45, .08


def test_the_best_stay_in_their_order() -> None:
    planes = masks((0, 2, 0.6), (2, 4, 0.9), (4, 6, 0.7), (6, 8, 0.8))
    assert rows(planes, top_k=2) == [1, 3] and rows(planes, top_k=9) == [0, 1, 2, 3]
    assert rows(planes, [0.0, 0.9, 0.0, 0.0], top_k=2) == [2, 3]


def test_nothing_is_pruned_to_nothing() -> None:
    assert rows(torch.zeros(0, 10, 10), nms_iou=0.8, top_k=5) == []
    assert rows(masks((0, 5, 0.2)), nms_iou=0.8) == []


def test_emptiness_is_the_share_of_no_object() -> None:
    vectors, names = torch.eye(3), torch.eye(3)[:2]
    found = emptiness(2.0 * vectors, names, 5.0 * torch.eye(3)[2:])
    torch.testing.assert_close(found, torch.tensor([0.0, 0.0, 1.0]), atol=1e-6, rtol=0)


def test_masks_of_the_network_are_cut_to_the_picture() -> None:
    logits = torch.zeros(1, 2, 8, 16)
    logits[0, 0, :, :8], logits[0, 1, 4:] = 9.0, 9.0
    found = NetworkCandidates(Proposals(torch.zeros(1, 2, 3), logits), (32, 64), (20, 44))
    assert found.coarse().shape == (2, 5, 11)
    full = found.full(torch.tensor([1]))
    assert full.shape == (1, 20, 44) and full[0, 19, 0] > 0.99 and full[0, 12, 0] == 0.5


def test_segments_are_proposals_without_an_opinion() -> None:
    segments = torch.zeros(2, 8, 8, dtype=torch.bool)
    segments[0, :4, :2] = True
    found = SegmentCandidates(segments)
    assert found.vectors is None and found.coarse()[0].tolist() == [[0.5, 0.0], [0.0, 0.0]]
    assert found.full(torch.tensor([0])).sum() == 8.0
    assert SegmentCandidates(segments[:0]).coarse().shape == (0, 2, 2)


@pytest.fixture(scope="module")
def sam_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny SAM of random weights."""
    torch.manual_seed(0)
    tower = {"hidden_size": 16, "output_channels": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
    tower.update(image_size=64, patch_size=8, window_size=4, global_attn_indexes=[1], num_pos_feats=8, mlp_dim=16)
    prompts = {"hidden_size": 16, "image_size": 64, "patch_size": 8, "mask_input_channels": 4}
    decoder = {"hidden_size": 16, "mlp_dim": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    network = SamModel(SamConfig(
        vision_config=tower, prompt_encoder_config=prompts, mask_decoder_config={**decoder, "iou_head_hidden_dim": 16}
    ))
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.ndim > 1:
                parameter.copy_(0.8 * torch.randn(parameter.shape))
    folder = tmp_path_factory.mktemp("sam")
    network.save_pretrained(folder)
    return folder


@pytest.mark.parametrize(("speed", "select"), [("fast", "best"), ("reference", "best"), ("fast", "all")])
def test_sam_proposes(sam_weights: Path, tiny_engines: dict[str, Path], speed: str, select: str) -> None:
    any_mask = {"sam_pred_iou_thresh": 0.0, "sam_stability_score_thresh": 0.0, "sam_points_per_side": 2}
    common = {"templates": "{}", "side": 96, "proposer": "sam", "sam_weights": str(sam_weights)}
    for quality, found_some in ((any_mask, True), ({"sam_points_per_side": 1, "sam_pred_iou_thresh": 1.0}, False)):
        options = {**common, **quality, "speed": speed, "select": select}
        engine = engines.create("ovseg", str(tiny_engines["ovseg"]), device="cpu", **options)
        scores = engine.segment(PICTURE, [Prompt("cup"), Prompt("dog")]).scores
        assert scores.shape == (2, 60, 84) and np.isfinite(scores).all() and bool(scores.any()) is found_some


@pytest.mark.parametrize(
    ("size", "side", "multiple", "expected"),
    [
        ((480, 640), 640, 1, (640, 853)), ((480, 640), 480, 4, (480, 640)), ((427, 640), 512, 1, (512, 767)),
        ((100, 1000), 640, 1, (256, 2560)), ((7, 5), 96, 4, (136, 96)), ((1, 999), 32, 4, (4, 128)),
    ],
)
def test_the_shorter_side_is_given_and_the_longer_one_bounded(
    size: tuple[int, int], side: int, multiple: int, expected: tuple[int, int]
) -> None:
    assert resized_picture(np.zeros((*size, 3), np.uint8), side, multiple).shape == (*expected, 3)
