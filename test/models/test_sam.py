# SPDX-License-Identifier: Apache-2.0
"""Automatic masks of tiny random SAMs: against transformers' own steps, and geometry."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import Sam2Config, Sam2Model, SamConfig, SamHQConfig, SamHQModel, SamModel
from transformers.models.sam.image_processing_pil_sam import SamImageProcessorPil

from clipseg_ros.models.hub import WeightsError
from clipseg_ros.models.sam import Sam, SamSettings, boxes_of, suppressed

CPU = torch.device("cpu")
ALL = SamSettings(points_per_side=3, pred_iou_thresh=-1e9, stability_score_thresh=0.3, nms_thresh=1.0)
KINDS = ("sam", "sam_hq", "sam2")
SIDE = 64
DECODER = {"hidden_size": 16, "mlp_dim": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
DECODER.update(iou_head_hidden_dim=16)
TOWER = {"hidden_size": 16, "output_channels": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
TOWER.update(image_size=SIDE, patch_size=8, window_size=4, global_attn_indexes=[1], num_pos_feats=8, mlp_dim=16)
PROMPTS = {"hidden_size": 16, "image_size": SIDE, "patch_size": 8, "mask_input_channels": 4}


def tiny(kind: str) -> torch.nn.Module:
    """A network of that kind with random weights, most of whose masks are neither empty nor full."""
    torch.manual_seed(0)
    if kind == "sam2":
        backbone = {"hidden_size": 8, "image_size": [SIDE, SIDE], "blocks_per_stage": [1, 1, 2, 1]}
        backbone.update(embed_dim_per_stage=[8, 16, 32, 64], num_attention_heads_per_stage=[1, 1, 2, 2])
        backbone.update(window_size_per_stage=[4, 4, 2, 2], global_attention_blocks=[3])
        backbone.update(window_positional_embedding_background_size=[2, 2], model_type="sam2_hiera_det_model")
        vision = {"backbone_config": backbone, "backbone_channel_list": [64, 32, 16, 8], "fpn_hidden_size": 16}
        vision.update(backbone_feature_sizes=[[16, 16], [8, 8], [4, 4]], model_type="sam2_vision_model")
        prompts = {**PROMPTS, "patch_size": 16}
        config = Sam2Config(vision_config=vision, prompt_encoder_config=prompts, mask_decoder_config=DECODER)
        network = Sam2Model(config)
    else:
        make, build = (SamHQConfig, SamHQModel) if kind == "sam_hq" else (SamConfig, SamModel)
        decoder = {**DECODER, "vit_dim": 16} if kind == "sam_hq" else DECODER
        config = make(vision_config=TOWER, prompt_encoder_config=PROMPTS, mask_decoder_config=decoder)
        network = build(config)
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.ndim > 1:
                parameter.copy_(0.8 * torch.randn(parameter.shape))
    return network


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Weights of every kind."""
    made = {kind: tmp_path_factory.mktemp(kind) for kind in KINDS}
    for kind, folder in made.items():
        tiny(kind).save_pretrained(folder)
    return made


def noise(size: tuple[int, int]) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)


@torch.inference_mode()
def of_transformers(folder: Path, kind: type[torch.nn.Module], image: np.ndarray) -> list[np.ndarray]:
    """Masks, best first, by the steps of transformers' mask generation before its suppression."""
    processor = SamImageProcessorPil(size={"longest_edge": SIDE}, pad_size={"height": SIDE, "width": SIDE})
    boxes, points, crops, labels = processor.generate_crop_boxes(image, SIDE, points_per_crop=ALL.points_per_side)
    given = processor(images=crops, return_tensors="pt", input_data_format="channels_first")
    output = kind.from_pretrained(folder).eval()(
        pixel_values=given["pixel_values"], input_points=points.float(), input_labels=labels
    )
    masks = processor.post_process_masks(
        output.pred_masks, given["original_sizes"], given["reshaped_input_sizes"], binarize=False
    )
    kept, quality, _ = processor.filter_masks(
        masks[0], output.iou_scores[0], image.shape[:2], boxes[0], 0.0, ALL.stability_score_thresh
    )
    return [decoded(kept[index]) for index in quality.argsort(descending=True, stable=True)]


def decoded(code: dict[str, list[int]]) -> np.ndarray:
    height, width = code["size"]
    runs = np.repeat(np.arange(len(code["counts"])) % 2 == 1, code["counts"])
    return runs.reshape(width, height).T


@pytest.mark.parametrize(("kind", "network"), [("sam", SamModel), ("sam_hq", SamHQModel)])
@pytest.mark.parametrize("size", [(48, 80), (90, 40)])
def test_segments_are_those_of_transformers(
    folders: dict[str, Path], kind: str, network: type[torch.nn.Module], size: tuple[int, int]
) -> None:
    image = noise(size)
    expected = of_transformers(folders[kind], network, image)
    found = Sam(str(folders[kind]), CPU, ALL).segments(image)
    assert len(found) == len(expected) > 3
    assert (found != np.stack(expected)).mean() < 1e-3


def test_sam2_squashes_what_sam_pads(folders: dict[str, Path]) -> None:
    rows, columns = np.indices((SIDE, SIDE))
    image = np.stack([2 * rows, 3 * columns, rows + columns], axis=-1).astype(np.uint8)
    sam = Sam(str(folders["sam2"]), CPU, SamSettings(1, -1e9, 0.0, 1.0))
    square, stretched = sam.segments(image), sam.segments(image.repeat(2, axis=1))
    assert len(square) == len(stretched) > 0
    assert (stretched[:, :, ::2] != square).mean() < 0.05


@pytest.mark.parametrize("kind", KINDS)
def test_images_of_any_size_have_segments_of_their_size(folders: dict[str, Path], kind: str) -> None:
    sam = Sam(str(folders[kind]), CPU, SamSettings(2, -1e9, 0.0, 0.7, points_per_batch=3))
    for size in [(1, 1), (1, 70), (130, 3), (64, 64)]:
        image = noise(size)
        before = image.copy()
        found = sam.segments(image)
        assert found.shape[1:] == size and found.dtype == bool
        assert found.any(axis=(1, 2)).all()
        np.testing.assert_array_equal(image, before)
        np.testing.assert_array_equal(sam.segments(image), found)


def test_batches_of_points_change_nothing(folders: dict[str, Path]) -> None:
    image = noise((50, 70))
    one, many = (
        Sam(str(folders["sam"]), CPU, SamSettings(4, -1e9, 0.3, 0.7, points_per_batch=batch)).segments(image)
        for batch in (16, 5)
    )
    assert one.shape == many.shape
    assert (one != many).mean() < 1e-3


def test_what_sam_thinks_badly_of_is_left_out(folders: dict[str, Path]) -> None:
    assert Sam(str(folders["sam"]), CPU, SamSettings(2, pred_iou_thresh=1e9)).segments(noise((9, 9))).shape == (0, 9, 9)


def test_a_video_model_is_taken_for_its_images(folders: dict[str, Path], tmp_path: Path) -> None:
    folder = shutil.copytree(folders["sam2"], tmp_path / "video")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "model_type": "sam2_video"}))
    image = noise((30, 30))
    expected = Sam(str(folders["sam2"]), CPU, ALL).segments(image)
    np.testing.assert_array_equal(Sam(str(folder), CPU, ALL).segments(image), expected)


def test_boxes_hold_their_masks() -> None:
    masks = torch.zeros(2, 6, 9, dtype=torch.bool)
    masks[0, 2, 3] = True
    masks[1, 1:6, 0:9] = True
    assert boxes_of(masks).tolist() == [[3, 2, 4, 3], [0, 1, 9, 6]]


def test_the_worse_of_two_like_boxes_is_dropped() -> None:
    boxes = torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 9], [20, 0, 30, 10], [0, 0, 10, 5]])
    assert suppressed(boxes, torch.tensor([0.8, 0.9, 0.1, 0.5]), 0.7).tolist() == [1, 3, 2]
    assert suppressed(boxes[:0], torch.zeros(0), 0.7).tolist() == []


def test_weights_of_another_model_are_refused(tiny_weights: Path) -> None:
    with pytest.raises(WeightsError, match="model_type 'clipseg'; expected a SAM: sam, sam_hq, sam2"):
        Sam(str(tiny_weights), CPU)


def test_settings_without_points_are_refused() -> None:
    with pytest.raises(ValueError, match="expected 1 point or more"):
        SamSettings(points_per_side=0)
