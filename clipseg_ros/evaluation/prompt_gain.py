# SPDX-License-Identifier: Apache-2.0
"""The experiment of CLIPSeg's Table 2: how much CLIP's probability of an object's name gains when it is marked.

An image with several named objects is embedded as it is and with one of them marked in each way of
models.visual_prompts and models.masked_attention. The probability is CLIP's softmax over the names in the image, asked
as `a photo of a X`; the gain is the mean change of the target's.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from clipseg_ros.datasets import Sample
from clipseg_ros.engines.devices import find_device, find_dtype
from clipseg_ros.evaluation import published
from clipseg_ros.evaluation.metrics import mean
from clipseg_ros.evaluation.passes import Job
from clipseg_ros.evaluation.results import Row, Score
from clipseg_ros.masks import resize_image
from clipseg_ros.models import hub, visual_prompts
from clipseg_ros.models import weights as weights_files
from clipseg_ros.models.clipseg import CLIPSeg
from clipseg_ros.models.masked_attention import ATTENTION_MASKS, covered_patches, embed_masked_image
from clipseg_ros.models.visual_prompts import VISUAL_PROMPTS
from clipseg_ros.segmentation import Support

TEMPLATE = "a photo of a {}"
CLIP_SIDE = 224
PUBLISHED = {
    "mask_cls_layer_11": "CLIP masking CLS in layer 11",
    "mask_cls_all_layers": "CLIP masking CLS in all layers",
    "mask_all_all_layers": "CLIP masking all in all layers",
    "object_red": "dye object red in grays. image",
    "object_outline": "add red object outline",
    "bg_intensity_50": "BG intensity 50%",
    "bg_intensity_10": "BG intensity 10%",
    "bg_intensity_0": "BG intensity 0%",
    "bg_blur": "BG blur",
    "bg_blur_intensity_10": "BG blur + intensity 10%",
    "crop_large_context": "crop large context",
    "crop": "crop",
    "crop_bg_blur": "crop & BG blur",
    "crop_bg_intensity_10": "crop & BG intensity 10%",
    "crop_bg_blur_intensity_10": "crop & BG intensity 10% + BG blur",
}
"""Our name of a row -> the table's."""


class ClipReader:
    """CLIP as it lies inside the weights of CLIPSeg: probabilities of names given an image.

    side: of the images in pixels, for marked and unmarked ones alike. The authors compare attention masks at 352
    pixels with plain images at 224.
    """

    def __init__(self, weights: str, device: str, precision: str, side: int = CLIP_SIDE) -> None:
        folder = hub.find(weights)
        torch_device = find_device(device)
        network = weights_files.load_clipseg(folder, find_dtype(precision, torch_device))
        self._model = CLIPSeg(network).to(torch_device)
        self._device, self._side = torch_device, side
        self._format = weights_files.read_input_format(folder)
        self._tokenize = weights_files.read_text_format(folder, network.config.text_config.max_position_embeddings)
        self._grid = (side // self._model.patch_size,) * 2
        if not isinstance(side, int) or side <= 0 or side % self._model.patch_size:
            raise ValueError(f"side {side!r}: expected a multiple of the patch size {self._model.patch_size}")

    @torch.inference_mode()
    def probabilities(self, support: Support, names: Sequence[str]) -> dict[str, float]:
        """Probability of the first of the names, `plain` and with the support's object marked in every way."""
        ids, lengths = self._tokenize([TEMPLATE.format(name) for name in names])
        texts = F.normalize(self._model.embed_text(ids.to(self._device), lengths.to(self._device)).float(), dim=-1)
        scale = self._model.network.clip.logit_scale.float().exp()
        vectors = self._vectors(support)
        images = F.normalize(torch.cat(list(vectors.values())).float(), dim=-1)
        chances = (scale * images @ texts.T).softmax(dim=-1)[:, 0]
        return dict(zip(vectors, chances.tolist()))

    def close(self) -> None:
        """Give the device's memory back."""
        self._model.to("meta")

    def _vectors(self, support: Support) -> dict[str, torch.Tensor]:
        """(1, E) by the row's name."""
        plain = self._format.normalise(resize_image(support.image, (self._side, self._side))).to(self._device)
        patches = covered_patches(support.mask, self._grid)
        vectors = {"plain": self._model.embed_image(plain)}
        vectors |= {name: embed_masked_image(self._model, plain, patches, m) for name, m in self._maskings().items()}
        for name, visual in VISUAL_PROMPTS.items():
            # 1.0: outline and blur are measured in the image's own pixels, as in the authors' code
            pixels = visual_prompts.prompt_pixels(support, visual, self._format, self._side, 1.0)
            vectors[name] = self._model.embed_image(pixels[None].to(self._device))
        return vectors

    def _maskings(self) -> dict[str, Any]:
        """Those whose layers the network has."""
        layers = self._model.network.config.vision_config.num_hidden_layers
        return {name: m for name, m in ATTENTION_MASKS.items() if max(m.layers or (0,)) < layers}


def read_clip(job: Job, options: Mapping[str, Any]) -> ClipReader:
    """The CLIP of the user's weights; its one option is `side`. Raises ValueError for engine or option unknown here."""
    given = job.joined(options)
    unknown = sorted(set(given) - {"side"})
    if job.engine != "clipseg":
        raise ValueError(f"engine {job.engine!r}: this benchmark reads CLIP in the weights of clipseg alone")
    if unknown:
        raise ValueError(f"--option {unknown[0]}: this benchmark has side alone")
    return ClipReader(job.weights, job.device, job.precision, given.get("side", CLIP_SIDE))


@dataclass(frozen=True)
class Gain:
    """Samples whose first prompt is the target, the others being the further objects in the image."""

    def pins(self) -> str:
        """What predictions depend on."""
        return TEMPLATE

    def predict(self, model: ClipReader, sample: Sample, classes: Sequence[str]) -> dict[str, np.ndarray]:
        """The target's probability by the row's name, `plain` among them."""
        names = [prompt.text for prompt in sample.prompts]
        found = model.probabilities(Support(sample.image, sample.target[0]), names)
        return {name: np.array(value) for name, value in found.items()}

    def score(self, pairs: Iterable[tuple[Sample, dict[str, np.ndarray]]], classes: Sequence[str]) -> Score:
        """A row for each way: the mean gain, and the published one where the table has it."""
        gains: dict[str, list[float]] = {}
        samples = 0
        for _, kept in pairs:
            samples += 1
            for name in kept.keys() - {"plain"}:
                gains.setdefault(name, []).append(float(kept[name] - kept["plain"]))
        printed = {name: values["delta_p_object"] for name, values in published.table("clipseg", "table2").rows}
        rows = [
            Row(name, {"gain": mean(gains[name]), "published": printed.get(PUBLISHED.get(name), float("nan"))})
            for name in (*ATTENTION_MASKS, *VISUAL_PROMPTS)
            if name in gains
        ]
        return Score(tuple(rows), samples=samples)
