# SPDX-License-Identifier: Apache-2.0
"""The recurrence of CLIP as RNN: proposals of the queries that are left, judged, until none is dropped any more."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from clipseg_ros.engines.car_settings import CarSettings
from clipseg_ros.engines.car_texts import Group
from clipseg_ros.models import cam
from clipseg_ros.models.cam_reader import CamReader, Evidence
from clipseg_ros.models.clip import CLIP, Look
from clipseg_ros.models.mask_classifier import classifier_pixels, mask_scores
from clipseg_ros.models.mask_prompts import PromptedFrame
from clipseg_ros.models.weights import InputFormat
from clipseg_ros.segmentation import Verdict

LEAST_SUM = 1.0  # pixels, of a proposal's sum: with less there is no mask to show
IMAGES_AT_ONCE = 32


@dataclass(frozen=True, eq=False)
class Outcome:
    """What is left of a group of C queries: kept (K,), rows of the group; proposals (K, h, w) in [0, 1] on the grid;
    verdicts, one a query of the group."""

    kept: tuple[int, ...]
    proposals: torch.Tensor
    verdicts: tuple[Verdict, ...]


class Proposals:
    """Mask proposals for the queries of a group in one image; what they are made of is computed once for all steps."""

    def __init__(self, settings: CarSettings, reader: CamReader, look: Look, group: Group) -> None:
        self._settings, self._reader, self._look, self._group = settings, reader, look, group
        self._related = None if look.attention is None else cam.affinity(look.attention)
        self._evidence: dict[bool, Evidence] = {}

    def of(self, chosen: torch.Tensor, step: int) -> torch.Tensor:
        """(C, h, w) in [0, 1] of the queries `chosen` (C,), rows of the group, against each other and the background.

        step: from 1; the first may be of bare queries. In referring mode all steps may, since no template is left.
        """
        options = self._settings
        alone = options.mode == "referring"
        raw = options.raw_first_step and (step == 1 or alone)
        if options.cam == "patches":
            texts = (self._group.raw if raw else self._group.templated)[chosen]
            return cam.patch_maps(self._reader.cosines(self._look, texts), options.patch_threshold)
        evidence = self._read(raw).of(chosen)
        if options.cam == "grad-cam":
            return cam.grad_cam(evidence)
        maps = cam.clip_es_cam(evidence, alone, options.foreground_only_below)
        return cam.refine(maps, cam.boxes(maps, options.box_threshold, options.clamp_boxes), self._related)

    def _read(self, raw: bool) -> Evidence:
        if raw not in self._evidence:
            texts = self._group.raw if raw else self._group.templated
            self._evidence[raw] = self._reader.read(self._look, texts, self._group.background)
        return self._evidence[raw]


class Judge:
    """A CLIP that says how well masks show their queries, with the settings that it judges by."""

    def __init__(self, clip: CLIP, form: InputFormat, settings: CarSettings) -> None:
        self.clip, self.form, self.settings = clip, form, settings


class Judged:
    """The masks of a group's queries in one image (H, W, 3) uint8 RGB before a judge; equal masks are seen once."""

    def __init__(self, judge: Judge, image: np.ndarray, group: Group) -> None:
        self._clip, self._form, self._settings = judge.clip, judge.form, judge.settings
        self._frame, self._size, self._group = PromptedFrame(image, group.shown), image.shape[:2], group
        self._seen: dict[bytes, torch.Tensor] = {}

    def confidences(self, proposals: torch.Tensor, chosen: torch.Tensor) -> np.ndarray:
        """(C,) float32 in [0, 1] for proposals (C, h, w) of the queries `chosen` (C,), rows of the group.

        A proposal of no extent is judged by the whole image; where no query need be kept it scores 0.
        """
        first = len(self._group.members)
        distractors = torch.arange(first, self._group.judged.shape[1], device=chosen.device)
        texts = self._group.judged[:, torch.cat([chosen, distractors])]
        full = cam.enlarge(proposals, self._size)
        there = (full.sum(dim=(1, 2)) > LEAST_SUM).cpu().numpy()
        scores = np.ones(len(chosen), np.float32)
        if texts.shape[1] > 1:
            masks = (full > self._settings.mask_threshold).cpu().numpy() & there[:, None, None]
            scores = self._scores(self._features(masks), texts)
        return scores if self._settings.when_empty == "best" else np.where(there, scores, np.float32(0.0))

    def _features(self, masks: np.ndarray) -> torch.Tensor:
        """(C, F) unit vectors of the frame with each of the masks (C, H, W) shown in it."""
        keys = [mask.tobytes() for mask in masks]
        fresh = [index for index, key in enumerate(keys) if key not in self._seen]
        for first in range(0, len(fresh), IMAGES_AT_ONCE):
            part = fresh[first : first + IMAGES_AT_ONCE]
            images = [self._frame.show(masks[index]) for index in part]
            pixels = classifier_pixels(images, self._form, self._settings.classifier_fit).to(self._clip.device)
            vectors = self._clip.embed_image(pixels, self._settings.skip_last_block)
            self._seen.update(zip((keys[index] for index in part), vectors))
        return torch.stack([self._seen[key] for key in keys])

    def _scores(self, images: torch.Tensor, texts: torch.Tensor) -> np.ndarray:
        """(C,) how well each of C images shows its own of the texts (K, C + D, F)."""
        count, scale = len(images), self._clip.logit_scale
        sharpness = float(len(texts)) if self._settings.score == "double-softmax" else None
        if self._settings.mode == "referring" and texts.shape[1] > count:
            own = [torch.cat([texts[:, [index]], texts[:, count:]], dim=1) for index in range(count)]
            scores = [mask_scores(images[[i]], own[i], scale, sharpness)[0, 0] for i in range(count)]
            return torch.stack(scores).cpu().numpy()
        return mask_scores(images, texts, scale, sharpness).diagonal().cpu().numpy()


def recur(settings: CarSettings, group: Group, proposals: Proposals, judged: Judged) -> Outcome:
    """Propose, judge, drop; again with what is left, until nothing is dropped (CLIP as RNN, Algorithm 1)."""
    chosen = torch.arange(len(group.members), device=group.judged.device)
    verdicts = [Verdict(1.0)] * len(chosen)
    planes = proposals.of(chosen, 1)
    for step in range(1, settings.max_steps + 1):
        fresh = planes if step == 1 else proposals.of(chosen, step)
        planes = fresh if fresh.any() else planes
        scores = judged.confidences(planes, chosen)
        stays = _staying(scores, settings)
        for row, score, kept in zip(chosen.tolist(), scores.tolist(), stays.tolist()):
            verdicts[row] = Verdict(min(score, 1.0), None if kept else step)
        rows = torch.from_numpy(np.flatnonzero(stays)).to(chosen.device)
        chosen, planes = chosen[rows], planes[rows]
        if not len(chosen) or (stays.all() and step >= settings.min_steps):
            break
    return Outcome(tuple(chosen.tolist()), planes, tuple(verdicts))


def _staying(scores: np.ndarray, settings: CarSettings) -> np.ndarray:
    """(C,) bool: the queries above the threshold, or the best one alone."""
    stays = scores > settings.confidence_threshold
    if not stays.any() and settings.when_empty == "best":
        stays[scores.argmax()] = True
    return stays
