# SPDX-License-Identifier: Apache-2.0
"""ZegCLIP as an engine: one pass of the prompted tower a frame, classes in one batch of the decoder, cached texts."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import torch
from torch.nn import functional as F

from clipseg_ros.engines import Memory
from clipseg_ros.engines.device_maps import logit_maps
from clipseg_ros.engines.devices import find_device, find_dtype, release
from clipseg_ros.engines.vectors import VectorCache
from clipseg_ros.engines.zegclip_maps import ProbabilityMaps, Windows
from clipseg_ros.masks import input_size, resize_image
from clipseg_ros.models import hub, zegclip
from clipseg_ros.models import weights as weights_files
from clipseg_ros.models.weights import TextFormat
from clipseg_ros.models.zegclip import ZegCLIP
from clipseg_ros.segmentation import Prompt, PromptError, ScoreMaps, Segmentation, check_image

DEFAULT_THRESHOLD = 0.3
"""Where to start, and not measured: the loss weighs negative pixels three times, so probabilities stay well below 1. On
pictures of your own, try values between 0.1 and 0.5; `threshold` in the folder's clipseg_ros.json keeps the best."""
MODES = ("whole", "slide")
TEMPLATES = {
    "single": ("a photo of a {}",),
    "multi": (
        "a photo of a {}.", "a photo of a small {}.", "a photo of a medium {}.", "a photo of a large {}.",
        "This is a photo of a {}.", "This is a photo of a small {}.", "This is a photo of a medium {}.",
        "This is a photo of a large {}.", "a {} in the scene.", "a photo of a {} in the scene.",
        "There is a {} in the scene.", "There is the {} in the scene.", "This is a {} in the scene.",
        "This is the {} in the scene.", "This is one {} in the scene.",
    ),
}
"""The sentences of the authors' checkpoints: single for Pascal VOC, multi for COCO-Stuff (Table 9 of the paper)."""
CACHED_CLASSES = 4096
SENTENCES_AT_ONCE = 256
WINDOWS_AT_ONCE = 8


class ZegClipEngine:
    """Scores are independent sigmoids, one a class; prompts are classes, texts alone, and do not influence each other.

    weights, device, precision: see engines.create; a folder that `convert` made of an authors' checkpoint.
    mode: whole, one pass at the frame's own aspect with as many pixels as a square of `side`; slide, as published: the
    short side becomes `side`, squares of `side` overlap, and their probabilities are averaged.
    templates: sentences around a class, each with one `{}`, or the name of a list in TEMPLATES; a class's vector is the
    mean of its sentences' unit vectors, made unit length again. None takes those that the weights were trained with,
    where the folder says so, else single.
    side: in pixels, a multiple of the patch; None takes the weights' own (512 in the authors' files).
    seen, seen_penalty: classes, by text or label, that training saw, and what is taken off their probabilities: 0.1 in
    the authors' inductive evaluation (not in the paper), 0 elsewhere.
    Raises ValueError, WeightsError, DeviceError.
    """

    def __init__(
        self,
        weights: str,
        device: str = "auto",
        precision: str = "auto",
        *,
        mode: str = "whole",
        templates: str | Sequence[str] | None = None,
        side: int | None = None,
        seen: Sequence[str] = (),
        seen_penalty: float = 0.0,
    ) -> None:
        sentences = None if templates is None else read_templates(templates)
        self._mode = _read_mode(mode)
        self._seen, self._penalty = _read_seen(seen, seen_penalty)
        torch_device = find_device(device)
        folder = hub.find(weights)
        self.device = str(torch_device)
        self._model = ZegCLIP(zegclip.load(folder, find_dtype(precision, torch_device))).to(torch_device)
        self._format = weights_files.read_input_format(folder)
        self._notes = weights_files.read_notes(folder)
        self._tokenize = weights_files.read_text_format(folder, self._model.clip.longest_text)
        self._side = self._format.side if side is None else side
        self._templates = sentences or read_templates(self._model.network.config.templates or "single")
        at_once = max(1, SENTENCES_AT_ONCE // len(self._templates))
        self._vectors: VectorCache[str] = VectorCache(CACHED_CLASSES, at_once)
        if not isinstance(self._side, int) or self._side <= 0 or self._side % self._model.patch_size:
            raise ValueError(f"side {self._side!r}: expected a multiple of the patch size {self._model.patch_size}")

    @property
    def threshold(self) -> float:
        """The score at or above which a pixel belongs to a prompt, unless the prompt or the caller says otherwise."""
        return DEFAULT_THRESHOLD if self._notes.threshold is None else self._notes.threshold

    def segment(self, image: np.ndarray, prompts: Sequence[Prompt]) -> Segmentation:
        """Search image (H, W, 3) uint8 RGB for the prompts. Raises ValueError, PromptError."""
        return self.segment_batch([image], prompts)[0]

    @torch.inference_mode()
    def segment_batch(
        self, images: Sequence[np.ndarray], prompts: Sequence[Prompt], memories: Sequence[Memory] = ()
    ) -> list[Segmentation]:
        """The same prompts in several images of any sizes; images that share an input size share a pass. Nothing is
        remembered."""
        for image in images:
            check_image(image)
        vectors = self._class_vectors(prompts)
        if prompts:
            inputs = [self._input(image) for image in images]
        else:
            inputs = [(torch.empty(1, 3, 0, 0), None)] * len(images)
        logits = self._logits([pixels for pixels, _ in inputs], vectors)
        penalties = [self._penalty_of(prompt) for prompt in prompts]
        return [
            Segmentation(tuple(prompts), self._maps(planes, penalties, windows, image.shape[:2]), self.threshold)
            for planes, (_, windows), image in zip(logits, inputs, images)
        ]

    def check(self, prompts: Sequence[Prompt]) -> None:
        """Raise PromptError for a prompt that cannot be encoded; remembers the vectors of the others."""
        self._class_vectors(prompts)

    def unknown_words(self, text: str) -> tuple[str, ...]:
        """The words of text outside the vocabulary of a model trained by this package, else ()."""
        return self._notes.unknown_words(text)

    def close(self) -> None:
        """Give the device's memory back; the engine is of no use afterwards."""
        self._vectors.clear()
        release(self.device, self._model)

    def _input(self, image: np.ndarray) -> tuple[torch.Tensor, Windows | None]:
        """Normalised pixels (K, 3, h, w) of the windows over an image; None where one window is all of it."""
        if self._mode == "whole":
            size = input_size(image.shape[:2], self._side, self._model.patch_size, keep_aspect=True)
            return self._format.normalise(resize_image(image, size), self.device), None
        scale = self._side / min(image.shape[:2])
        height, width = (int(length * scale + 0.5) for length in image.shape[:2])
        windows = Windows.over((height, width), self._side)
        canvas = cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR)
        return windows.cut(self._format.normalise(canvas, self.device)), windows

    def _logits(self, pixels: Sequence[torch.Tensor], vectors: torch.Tensor) -> list[torch.Tensor]:
        """(K, N, h, w) float32 on the device, of the windows (K, 3, ., .) of each image for classes (N, E)."""
        if not len(vectors):
            return [torch.empty(1, 0, 1, 1, device=self.device)] * len(pixels)
        logits: list[torch.Tensor] = [vectors] * len(pixels)
        for size in dict.fromkeys(one.shape[2:] for one in pixels):
            chosen = [index for index, one in enumerate(pixels) if one.shape[2:] == size]
            together = torch.cat([pixels[index] for index in chosen])
            parts = together.split(WINDOWS_AT_ONCE)
            planes = torch.cat([
                self._model.decode(self._model.encode_image(part), vectors) for part in parts
            ])
            for index, own in zip(chosen, planes.split([len(pixels[index]) for index in chosen])):
                logits[index] = own
        return logits

    def _maps(
        self, logits: torch.Tensor, penalties: list[float], windows: Windows | None, size: tuple[int, int]
    ) -> ScoreMaps:
        if windows is None and not any(penalties):  # compared as logits, which costs less and can be smoothed in time
            return logit_maps(logits[0], size)
        return ProbabilityMaps(logits, torch.tensor(penalties, device=self.device), size, windows)

    def _penalty_of(self, prompt: Prompt) -> float:
        return self._penalty if {prompt.text.casefold(), prompt.label.casefold()} & self._seen else 0.0

    @torch.inference_mode()
    def _class_vectors(self, prompts: Sequence[Prompt]) -> torch.Tensor:
        """(N, E) on the device, encoding only what the cache lacks."""
        for prompt in prompts:
            if prompt.support is not None:
                raise PromptError(f"prompt {prompt.name!r} has a support: engine zegclip takes texts alone")
        texts = [prompt.text for prompt in prompts]
        found = self._vectors(texts, self._encode)
        return torch.stack([found[text] for text in texts]) if texts else torch.empty(0)

    def _encode(self, texts: Sequence[str]) -> torch.Tensor:
        return encode_classes(self._model, self._tokenize, texts, self._templates)


def encode_classes(
    model: ZegCLIP, tokenize: TextFormat, texts: Sequence[str], templates: Sequence[str]
) -> torch.Tensor:
    """(N, E) float32 unit vectors on the model's device: of each text, the mean over its sentences."""
    ids, lengths = tokenize([template.replace("{}", text) for text in texts for template in templates])
    vectors = model.embed_text(ids.to(model.clip.device), lengths.to(model.clip.device))
    return F.normalize(vectors.unflatten(0, (len(texts), len(templates))).mean(dim=1), dim=-1)


def read_templates(templates: object) -> tuple[str, ...]:
    """The sentences of a name in TEMPLATES, of a sentence, or of a list of them. Raises ValueError."""
    if isinstance(templates, str):
        templates = TEMPLATES.get(templates, (templates,))
    sentences = tuple(templates) if isinstance(templates, (list, tuple)) else (templates,)
    for sentence in sentences or ("",):
        if not isinstance(sentence, str) or sentence.count("{}") != 1:
            names = ", ".join(TEMPLATES)
            raise ValueError(f"template {sentence!r}: expected {names}, or sentences with one {{}} each")
    return sentences


def _read_mode(mode: object) -> str:
    if mode not in MODES:
        raise ValueError(f"mode {mode!r}: expected {' or '.join(MODES)}")
    return mode


def _read_seen(seen: object, penalty: object) -> tuple[frozenset[str], float]:
    """Names of seen classes, small letters throughout, and what is taken off their probabilities."""
    names = [seen] if isinstance(seen, str) else seen
    if not isinstance(names, (list, tuple)) or not all(isinstance(name, str) and name for name in names):
        raise ValueError(f"seen {seen!r}: expected names of classes")
    if isinstance(penalty, bool) or not isinstance(penalty, (int, float)) or not 0.0 <= penalty < 1.0:
        raise ValueError(f"seen_penalty {penalty!r}: expected 0 to below 1, such as 0.1")
    if penalty and not names:
        raise ValueError(f"seen_penalty {penalty}: name the seen classes in seen, or leave it out")
    return frozenset(name.casefold() for name in names), float(penalty)
