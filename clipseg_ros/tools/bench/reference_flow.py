# SPDX-License-Identifier: Apache-2.0
"""CLIP as RNN in the order of the authors' code (google-research/clip_as_rnn): the baseline of engine car.

Every step passes the image through the proposing CLIP again, encodes the texts that are left one by one, runs the last
block forward and backward for each query alone, makes and squares the same affinity for each, and shows the marked
images to the judging CLIP once for each sentence template, together with that template's texts; two steps at least.
Where the authors' code does still more (gradients of the parameters, a flipped copy of the image) this does not, so
that the engine's gain comes out rather too small. The settings are those of engine car with a published preset, and so
must be the masks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch.nn import functional as F

from clipseg_ros.engines import car_finish, car_words
from clipseg_ros.engines.car import grid_of
from clipseg_ros.engines.car_settings import CarSettings
from clipseg_ros.engines.car_steps import LEAST_SUM
from clipseg_ros.models import cam, clip, weights
from clipseg_ros.models.blocks import attend_openly
from clipseg_ros.models.cam_reader import CamReader
from clipseg_ros.models.clip import CLIP, Look
from clipseg_ros.models.mask_classifier import classifier_pixels, text_probabilities
from clipseg_ros.models.mask_prompts import MaskPrompt, PromptedFrame
from clipseg_ros.tools.bench.timing import Clock


@dataclass(frozen=True, eq=False)
class Outcome:
    """kept (K,): numbers of the texts that are left. planes: what came of their proposals, (K, h, w) on the grid or,
    with CRF, (K, H, W). queries: how many entered each step. laps: milliseconds by part."""

    kept: tuple[int, ...]
    planes: np.ndarray
    queries: tuple[int, ...]
    laps: dict[str, float]


class Tower:
    """A CLIP of a weights folder, and how texts and pixels enter it."""

    def __init__(self, folder: Path, device: str, dtype: torch.dtype) -> None:
        self.clip = CLIP(clip.load(folder, dtype)).to(device)
        self.form = weights.read_input_format(folder)
        self._tokenize = weights.read_text_format(folder, self.clip.longest_text)

    def embed(self, texts: Sequence[str]) -> torch.Tensor:
        """(N, E) unit vectors, encoded in one batch."""
        ids, lengths = self._tokenize(list(texts))
        return self.clip.embed_text(ids.to(self.clip.device), lengths.to(self.clip.device))


class ReferenceFlow:
    """settings: of a published preset, in semantic mode without stuff. wait: see timing.Clock. Other arguments: see
    engines.create. Raises WeightsError."""

    def __init__(
        self, proposer: Path, judge: Path, device: str, dtype: torch.dtype, settings: CarSettings,
        wait: Callable[[], None],
    ) -> None:
        self._proposer, self._judge = Tower(proposer, device, dtype), Tower(judge, device, dtype)
        self._reader = CamReader(self._proposer.clip).to(device)
        self._settings, self._device, self._wait = settings, device, wait
        sentences = [settings.query_template.replace("{}", word) for word in car_words.background(
            settings.background, (), settings.background_words
        )]
        with torch.inference_mode():
            self._background = torch.cat([self._proposer.embed([text]) for text in sentences])

    @torch.inference_mode()
    def __call__(self, image: np.ndarray, texts: Sequence[str]) -> Outcome:
        """Search image (H, W, 3) uint8 RGB for the texts."""
        clock = Clock(self._wait)
        chosen, before, queries = list(range(len(texts))), 0, []
        planes = torch.zeros(0)
        while len(chosen) != before:
            before = len(chosen) if queries else 0
            fresh = self._proposals(image, [texts[index] for index in chosen], first=not queries)
            planes = fresh if fresh.any() or not queries else planes
            clock.lap("proposals")
            queries.append(len(chosen))
            stays = self._staying(self._scores(image, planes, [texts[index] for index in chosen]))
            clock.lap("classifier")
            chosen, planes = [chosen[row] for row in stays], planes[stays]
        found = car_finish.finished(image, [planes.cpu().numpy()], self._settings)
        clock.lap("CRF")
        return Outcome(tuple(chosen), found, tuple(queries), clock.laps)

    def _proposals(self, image: np.ndarray, texts: Sequence[str], first: bool) -> torch.Tensor:
        """(C, h, w) in [0, 1] on the grid."""
        template = "{}" if first and self._settings.raw_first_step else self._settings.query_template
        vectors = torch.cat([self._proposer.embed([template.replace("{}", text)]) for text in texts])
        look = self._proposer.clip.look(self._pixels(image))
        return torch.stack([self._proposal(look, vectors, index) for index in range(len(texts))])

    def _pixels(self, image: np.ndarray) -> torch.Tensor:
        patch = self._proposer.clip.patch_size
        height, width = grid_of(image.shape[:2], patch, self._settings.max_tokens)
        small = Image.fromarray(image).resize((width * patch, height * patch), Image.Resampling.BICUBIC)
        return self._proposer.form.normalise(np.asarray(small), self._device)

    def _proposal(self, look: Look, vectors: torch.Tensor, index: int) -> torch.Tensor:
        """(h, w): the CAM of one text, spread along an affinity that is made and squared for it alone."""
        plane = self._cam(look, torch.cat([vectors, self._background]), index)
        if not plane.any():
            plane = self._cam(look, vectors, index)
        inside = cam.boxes(plane[None], self._settings.box_threshold, self._settings.clamp_boxes)[0]
        related = cam.affinity(look.attention)
        spread = (related @ related) @ (plane * inside).flatten()
        return cam.min_max(spread.unflatten(0, look.grid)[None])[0]

    def _cam(self, look: Look, texts: torch.Tensor, index: int) -> torch.Tensor:
        """(h, w): Grad-CAM of the probability of text `index` among texts (N, E), by automatic differentiation."""
        with torch.inference_mode(False), torch.enable_grad():
            tokens, texts = look.tokens.clone(), texts.clone()
            activations = self._reader.block.layer_norm1(tokens).detach().requires_grad_()
            unit = F.normalize(self._feature(tokens, activations), dim=0)
            chance = (self._proposer.clip.logit_scale * texts @ unit).softmax(dim=0)[index]
            (gradient,) = torch.autograd.grad(chance, activations)
        weighed = activations[1:].detach() @ gradient[1:].mean(dim=0)
        return cam.min_max(weighed.relu().unflatten(0, look.grid)[None])[0]

    def _feature(self, tokens: torch.Tensor, activations: torch.Tensor) -> torch.Tensor:
        """(E,) mean of the projected patches after the last block, of its input and that after its first norm."""
        block = self._reader.block
        tokens = tokens + attend_openly(block.self_attn, activations[None])[0][0]
        tokens = tokens + block.mlp(block.layer_norm2(tokens))
        return self._reader.projection(self._reader.norm(tokens[1:]).mean(dim=0))

    def _scores(self, image: np.ndarray, planes: torch.Tensor, texts: Sequence[str]) -> np.ndarray:
        """(C,): how well the image with each proposal (C, h, w) marked in it shows its own text."""
        options, judge = self._settings, self._judge
        pixels = classifier_pixels(self._marked(image, planes), judge.form, options.classifier_fit).to(self._device)
        total = torch.zeros(len(texts), len(texts), device=self._device)
        for template in options.templates:
            seen = judge.clip.embed_image(pixels, options.skip_last_block)
            said = judge.embed([template.replace("{}", text) for text in texts])
            total += text_probabilities(seen, said[None], judge.clip.logit_scale)[0]
        return total.softmax(dim=-1).diagonal().cpu().numpy()

    def _marked(self, image: np.ndarray, planes: torch.Tensor) -> list[np.ndarray]:
        """The image once for each proposal, which is shown in it; whole where the proposal has no extent."""
        options = self._settings
        prompt = MaskPrompt(
            options.visual_prompts, None if options.scale_lines else 1, options.swap_gray, options.crop_context
        )
        marked = []
        for plane in cam.enlarge(planes, image.shape[:2]).cpu().numpy():
            mask = (plane > options.mask_threshold) & (plane.sum() > LEAST_SUM)
            marked.append(PromptedFrame(image, prompt).show(mask))
        return marked

    def _staying(self, scores: np.ndarray) -> list[int]:
        """Rows above the threshold, or the best one alone."""
        stays = np.flatnonzero(scores > self._settings.confidence_threshold)
        return (stays if len(stays) else scores.argmax(keepdims=True)).tolist()
