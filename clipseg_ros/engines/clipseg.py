# SPDX-License-Identifier: Apache-2.0
"""CLIPSeg as an engine: one pass of the encoder a frame, cached prompts, one batch of the decoder."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch

from clipseg_ros.engines import Memory
from clipseg_ros.engines.device_maps import logit_maps
from clipseg_ros.engines.devices import check_compiler, find_device, find_dtype, release
from clipseg_ros.engines.vectors import VectorCache
from clipseg_ros.masks import input_size, resize_image
from clipseg_ros.models import hub, visual_prompts
from clipseg_ros.models import weights as weights_files
from clipseg_ros.models.clipseg import CLIPSeg
from clipseg_ros.models.presence import without_absent
from clipseg_ros.segmentation import Prompt, Segmentation, Support, check_image

PAPER_THRESHOLD = 0.3  # the paper's tables on PhraseCut and Pascal; a model trained here names its own
CACHED_PROMPTS = 1024
PromptPart = tuple[str, str]  # ("text", the text) or ("support", its digest)


class ClipSegEngine:
    """Scores are the sigmoid of CLIPSeg's logits; prompts do not influence each other.

    weights, device, precision: see engines.create.
    extract_layers: vision blocks that the decoder reads; None takes the weights' configuration.
    keep_aspect: False squashes the image to the square of training, as published; True keeps its aspect at the
    same number of pixels; None takes the weights' own, False unless they say otherwise.
    side: input side in pixels, a multiple of the patch; None takes the weights' own.
    template: the sentence around a prompt's text, with one `{}`.
    visual_prompt: how a support's image and mask become one image, a name in models.visual_prompts.
    presence: False shows even what the weights' own calibration takes for absent, where they have one; it was made at
    their own side.
    compiled: True has torch compile the network, which takes a minute or two of a CPU at the first frame and again when
    the number of prompts leaves one; needs a C++ compiler. Raises DeviceError without.
    """

    def __init__(
        self,
        weights: str,
        device: str = "auto",
        precision: str = "auto",
        *,
        extract_layers: Sequence[int] | None = None,
        keep_aspect: bool | None = None,
        side: int | None = None,
        template: str = "{}",
        visual_prompt: str = "crop_bg_blur_intensity_10",
        presence: bool = True,
        compiled: bool = False,
    ) -> None:
        torch_device = find_device(device)
        folder = hub.find(weights)
        model = self._load(folder, find_dtype(precision, torch_device), extract_layers)
        self.device = str(torch_device)
        self._model = _ready(model.to(torch_device), compiled)
        self._format = weights_files.read_input_format(folder)
        self._notes = weights_files.read_notes(folder)
        self._least = self._notes.presence if presence else None
        longest = model.network.config.text_config.max_position_embeddings
        self._tokenize = weights_files.read_text_format(folder, longest)
        self._side = self._format.side if side is None else side
        self._keep_aspect = self._notes.keep_aspect if keep_aspect is None else keep_aspect
        self._template = template
        self._visual_prompt = visual_prompts.find(visual_prompt)
        self._vectors: VectorCache[PromptPart] = VectorCache(CACHED_PROMPTS, at_once=CACHED_PROMPTS)
        if not isinstance(self._side, int) or self._side <= 0 or self._side % self._model.patch_size:
            raise ValueError(f"side {self._side!r}: expected a multiple of the patch size {self._model.patch_size}")
        for option, value in (("keep_aspect", self._keep_aspect), ("presence", presence)):
            if not isinstance(value, bool):
                raise ValueError(f"{option} {value!r}: expected true or false")
        if not isinstance(template, str) or template.count("{}") != 1:
            raise ValueError(f"template {template!r}: expected a sentence with one {{}}, such as 'a photo of a {{}}.'")

    @staticmethod
    def _load(folder: Path, dtype: torch.dtype, extract_layers: Sequence[int] | None) -> CLIPSeg:
        """The model of a weights folder. Raises WeightsError, ValueError."""
        return CLIPSeg(weights_files.load_clipseg(folder, dtype), extract_layers)

    @property
    def threshold(self) -> float:
        """The score at or above which a pixel belongs to a prompt, unless the prompt or the caller says otherwise."""
        return PAPER_THRESHOLD if self._notes.threshold is None else self._notes.threshold

    def segment(self, image: np.ndarray, prompts: Sequence[Prompt]) -> Segmentation:
        """Search image (H, W, 3) uint8 RGB for the prompts. Raises ValueError, PromptError."""
        return self.segment_batch([image], prompts)[0]

    @torch.inference_mode()
    def segment_batch(
        self, images: Sequence[np.ndarray], prompts: Sequence[Prompt], memories: Sequence[Memory] = ()
    ) -> list[Segmentation]:
        """The same prompts in several images of any sizes; images that share an input size share a pass. Nothing is
        remembered."""
        return [
            Segmentation(tuple(prompts), logit_maps(planes, image.shape[:2]), self.threshold)
            for planes, image in zip(self._planes(images, prompts), images)
        ]

    @torch.inference_mode()
    def logits(self, images: Sequence[np.ndarray], prompts: Sequence[Prompt]) -> list[np.ndarray]:
        """A (N, h, w) float32 array an image: logits at the network's own output size."""
        return [planes.float().cpu().numpy() for planes in self._planes(images, prompts)]

    def _planes(self, images: Sequence[np.ndarray], prompts: Sequence[Prompt]) -> list[torch.Tensor]:
        """What `logits` gives, on the device."""
        for image in images:
            check_image(image)
        sizes = [input_size(i.shape[:2], self._side, self._model.patch_size, self._keep_aspect) for i in images]
        if not prompts:
            return [torch.empty(0, *size, device=self.device) for size in sizes]
        vectors = self._prompt_vectors(prompts)
        found: list[torch.Tensor] = [vectors] * len(images)
        for size in dict.fromkeys(sizes):
            chosen = [index for index, other in enumerate(sizes) if other == size]
            small = [resize_image(images[index], size) for index in chosen]
            pixels = torch.cat([self._format.normalise(image, self.device) for image in small])
            planes = self._model.decode(self._model.encode_image(pixels), vectors)
            if self._least is not None:
                planes = without_absent(planes, self._least)
            for index, own in zip(chosen, planes):
                found[index] = own
        return found

    def check(self, prompts: Sequence[Prompt]) -> None:
        """Raise PromptError for a prompt that cannot be encoded; remembers the vectors of the others."""
        self._prompt_vectors(prompts)

    def unknown_words(self, text: str) -> tuple[str, ...]:
        """The words of text outside the vocabulary of a model trained by this package, else ()."""
        return self._notes.unknown_words(text)

    def close(self) -> None:
        """Give the device's memory back; the engine is of no use afterwards."""
        self._vectors.clear()
        release(self.device, self._model)

    @torch.inference_mode()
    def _prompt_vectors(self, prompts: Sequence[Prompt]) -> torch.Tensor:
        """(N, E) on the device, encoding only what the cache lacks."""
        texts = [("text", prompt.text) for prompt in prompts if prompt.text]
        supports = {("support", p.support.digest): p.support for p in prompts if p.support is not None}
        parts = self._vectors(texts, self._encode_texts)
        parts |= self._vectors(list(supports), lambda missing: self._encode_supports(supports[one] for one in missing))
        return torch.stack([_joined(prompt, parts) for prompt in prompts]) if prompts else torch.empty(0)

    def _encode_texts(self, parts: Sequence[PromptPart]) -> torch.Tensor:
        ids, lengths = self._tokenize([self._template.replace("{}", text) for _, text in parts])
        return self._model.embed_text(ids.to(self.device), lengths.to(self.device))

    def _encode_supports(self, supports: Iterable[Support]) -> torch.Tensor:
        side = self._notes.support_side or self._side
        pixels = (visual_prompts.prompt_pixels(one, self._visual_prompt, self._format, side) for one in supports)
        return torch.cat([self._model.embed_image(one[None].to(self.device)) for one in pixels])


def _ready(model: CLIPSeg, compiled: bool) -> CLIPSeg:
    """The model, compiled if asked for. Raises ValueError, DeviceError.

    Frames of a compiled one take 0.8 to 1.04 of the time on two CPU cores, too little to spend minutes on unasked.
    """
    if not isinstance(compiled, bool):
        raise ValueError(f"compiled {compiled!r}: expected true or false")
    if not compiled:
        return model
    check_compiler()
    model.encode_image = torch.compile(model.encode_image)
    model.decode_at_once = torch.compile(model.decode_at_once, dynamic=True)  # in the number of prompts
    return model


def _joined(prompt: Prompt, parts: Mapping[PromptPart, torch.Tensor]) -> torch.Tensor:
    """(E,) what the prompt's parts became; text and support are mixed before any normalising."""
    if prompt.support is None:
        return parts["text", prompt.text]
    image = parts["support", prompt.support.digest]
    if not prompt.text:
        return image
    return torch.lerp(image, parts["text", prompt.text], prompt.text_weight)
