# SPDX-License-Identifier: Apache-2.0
"""The CLIP that lies inside weights of CLIPSeg, asked which sentence fits an image in which an object is marked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch.nn import functional as F

from clipseg_ros.engines.devices import find_device, find_dtype
from clipseg_ros.evaluation.passes import Job
from clipseg_ros.masks import resize_image
from clipseg_ros.models import hub, visual_prompts
from clipseg_ros.models import weights as weights_files
from clipseg_ros.models.clipseg import CLIPSeg
from clipseg_ros.models.masked_attention import ATTENTION_MASKS, AttentionMask, covered_patches, embed_masked_image
from clipseg_ros.models.visual_prompts import VISUAL_PROMPTS
from clipseg_ros.segmentation import Support

CLIP_SIDE = 224


class ClipReader:
    """CLIP as it lies inside the weights of CLIPSeg: probabilities of sentences given an image.

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
    def probabilities(self, support: Support, sentences: Sequence[str]) -> dict[str, float]:
        """Probability of the first of the sentences, `plain` and with the support's object marked in every way."""
        ids, lengths = self._tokenize(list(sentences))
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
        plain = self._format.normalise(resize_image(support.image, (self._side, self._side)), self._device)
        patches = covered_patches(support.mask, self._grid)
        vectors = {"plain": self._model.embed_image(plain)}
        vectors |= {name: embed_masked_image(self._model, plain, patches, m) for name, m in self._maskings().items()}
        for name, visual in VISUAL_PROMPTS.items():
            # 1.0: outline and blur are measured in the image's own pixels, as in the authors' code
            pixels = visual_prompts.prompt_pixels(support, visual, self._format, self._side, 1.0)
            vectors[name] = self._model.embed_image(pixels[None].to(self._device))
        return vectors

    def _maskings(self) -> dict[str, AttentionMask]:
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
