# SPDX-License-Identifier: Apache-2.0
"""Segment Anything: every segment of an image, whatever it is (Kirillov et al., 2023), to sharpen masks with.

Networks of transformers: SAM, SAM-HQ and SAM 2, as the folder's config.json says. The generator is ours, because that
of transformers needs torchvision.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch.nn.functional import interpolate
from transformers import PreTrainedModel, Sam2Model, SamHQModel, SamModel

from clipseg_ros.models import hub
from clipseg_ros.models.hub import WeightsError
from clipseg_ros.models.weights import InputFormat, load_network, read_json
from clipseg_ros.segmentation import check_image

KINDS = {"sam": SamModel, "sam_hq": SamHQModel, "sam2": Sam2Model, "sam2_video": Sam2Model}
IMAGENET_MEAN, IMAGENET_STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
STABILITY_OFFSET = 1.0  # logits by which the edge is moved inwards and outwards


@dataclass(frozen=True)
class SamSettings:
    """Automatic masks as CLIP as RNN makes them: no crops, a grid of points a side, three masks a point.

    pred_iou_thresh: least quality that SAM gives a mask itself. stability_score_thresh: least IoU of the masks at
    logits of 1 and -1. nms_thresh: of two masks whose boxes have a larger IoU the worse is dropped. points_per_batch:
    points decoded at once, a matter of memory.
    """

    points_per_side: int = 64
    pred_iou_thresh: float = 0.88
    stability_score_thresh: float = 0.95
    nms_thresh: float = 0.7
    points_per_batch: int = 64

    def __post_init__(self) -> None:
        if self.points_per_side < 1 or self.points_per_batch < 1:
            raise ValueError(f"{self}: expected 1 point or more a side and a batch")


class Sam:
    """A SAM of `weights`, `sam_weights` elsewhere: a folder or a model of the hub, on `device` in float32.

    Raises WeightsError.
    """

    def __init__(self, weights: str, device: torch.device, settings: SamSettings = SamSettings()) -> None:
        folder = hub.find(weights)
        kind = read_json(folder / "config.json").get("model_type")
        if kind not in KINDS:
            raise WeightsError(f"{folder}: model_type {kind!r}; expected a SAM: {', '.join(KINDS)}")
        path = folder / "preprocessor_config.json"
        notes = read_json(path) if path.is_file() else {}
        mean, std = notes.get("image_mean", IMAGENET_MEAN), notes.get("image_std", IMAGENET_STD)
        self._network: PreTrainedModel = load_network(KINDS[kind], kind, folder, torch.float32).to(device)
        side = self._network.config.prompt_encoder_config.image_size
        self._form = InputFormat(side, np.array(mean, np.float32), np.array(std, np.float32))
        self._squashes = KINDS[kind] is Sam2Model
        self._device = device
        self._settings = settings

    @torch.inference_mode()
    def segments(self, image: np.ndarray) -> np.ndarray:
        """(S, H, W) bool: the segments of image (H, W, 3) uint8 RGB, the best in SAM's own judgement first."""
        check_image(image)
        size = image.shape[:2]
        inner = (self._form.side,) * 2 if self._squashes else _fitted(size, self._form.side)
        given = self._embedded(image, inner)
        found: list[tuple[torch.Tensor, torch.Tensor]] = []
        for points in self._point_batches(inner):
            output = self._network(input_points=points, multimask_output=True, **given)
            quality, logits = output.iou_scores.flatten(), output.pred_masks.flatten(0, 2)
            good = quality > self._settings.pred_iou_thresh
            found.append(_stable(self._full_size(logits[good], inner, size), quality[good], self._settings))
        masks, quality = (torch.cat(parts) for parts in zip(*found))
        kept = suppressed(boxes_of(masks), quality, self._settings.nms_thresh)
        return masks[kept].cpu().numpy()

    def _embedded(self, image: np.ndarray, inner: tuple[int, int]) -> dict[str, torch.Tensor | list[torch.Tensor]]:
        """The image as the network's arguments; normalised pixels are padded with zeros on the right and below."""
        small = Image.fromarray(image).resize(inner[::-1], Image.Resampling.BILINEAR)
        pixels = torch.zeros(1, 3, self._form.side, self._form.side)
        pixels[..., : inner[0], : inner[1]] = self._form.normalise(np.asarray(small))
        embedded = self._network.get_image_embeddings(pixels.to(self._device))
        if isinstance(self._network, SamHQModel):
            return {"image_embeddings": embedded[0], "intermediate_embeddings": embedded[1]}
        return {"image_embeddings": embedded}

    def _point_batches(self, inner: tuple[int, int]) -> Iterator[torch.Tensor]:
        """(1, P, 1, 2) float32 each: x, y in pixels of the input, in the middle of equal cells of the image."""
        side = self._settings.points_per_side
        middles = (torch.arange(side) + 0.5) / side
        y, x = torch.meshgrid(middles * inner[0], middles * inner[1], indexing="ij")
        points = torch.stack([x, y], dim=-1).reshape(1, -1, 1, 2).to(self._device)
        yield from points.split(self._settings.points_per_batch, dim=1)

    def _full_size(self, logits: torch.Tensor, inner: tuple[int, int], size: tuple[int, int]) -> torch.Tensor:
        """(M, H, W): logits (M, h, w) of the padded input at the image's size; SAM pads, SAM 2 squashes."""
        maps = logits[:, None]
        if not self._squashes:
            side = (self._form.side,) * 2
            maps = interpolate(maps, side, mode="bilinear", align_corners=False)[..., : inner[0], : inner[1]]
        return interpolate(maps, size, mode="bilinear", align_corners=False)[:, 0]


def _fitted(size: tuple[int, int], side: int) -> tuple[int, int]:
    """(h, w) of an image (H, W) whose longer side becomes `side`."""
    return tuple(max(1, int(length * side / max(size) + 0.5)) for length in size)


def _stable(logits: torch.Tensor, quality: torch.Tensor, settings: SamSettings) -> tuple[torch.Tensor, torch.Tensor]:
    """Masks (M, H, W) bool and quality (M,) of the logits (M, H, W) whose edge is steep, and that hold a pixel."""
    masks = logits > 0.0
    inside = (logits > STABILITY_OFFSET).sum(dim=(1, 2))
    outside = (logits > -STABILITY_OFFSET).sum(dim=(1, 2))
    steep = inside > settings.stability_score_thresh * outside
    kept = steep & masks.any(dim=2).any(dim=1)
    return masks[kept], quality[kept]


def boxes_of(masks: torch.Tensor) -> torch.Tensor:
    """(M, 4) float32: left, top, right, bottom, ends excluded, of masks (M, H, W) bool with some True each."""
    ends = []
    for axis in (1, 2):
        marked = masks.any(dim=axis).int()
        ends.append((marked.argmax(dim=1), marked.shape[1] - marked.flip(1).argmax(dim=1)))
    return torch.stack([ends[0][0], ends[1][0], ends[0][1], ends[1][1]], dim=1).float()


def suppressed(boxes: torch.Tensor, quality: torch.Tensor, threshold: float) -> torch.Tensor:
    """(K,) int64: the boxes (M, 4) that stay, best first, when each drops the worse ones of an IoU above threshold."""
    order = quality.argsort(descending=True, stable=True)
    kept = []
    while len(order):
        kept.append(order[:1])
        order = order[1:][_box_ious(boxes[order[0]], boxes[order[1:]]) <= threshold]
    return torch.cat(kept) if kept else order


def _box_ious(box: torch.Tensor, boxes: torch.Tensor) -> torch.Tensor:
    sides = torch.minimum(box[2:], boxes[:, 2:]) - torch.maximum(box[:2], boxes[:, :2])
    common = sides.clamp(min=0.0).prod(dim=1)
    return common / ((box[2:] - box[:2]).prod() + (boxes[:, 2:] - boxes[:, :2]).prod(dim=1) - common)
