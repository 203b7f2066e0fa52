# SPDX-License-Identifier: Apache-2.0
"""CLIP as RNN (Sun et al., CVPR 2024) as an engine: two frozen CLIPs, no training, queries that are not there dropped.

One CLIP proposes a mask for every query (models.cam), the other judges the masks shown in the image and drops queries,
again and again until all that are left stay (car_steps). A dense CRF and SAM may follow (car_finish).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from clipseg_ros import crf
from clipseg_ros.engines import Memory, car_finish, car_presets
from clipseg_ros.engines.car_steps import Judge, Judged, Outcome, Proposals, recur
from clipseg_ros.engines.car_texts import QueryReader, QuerySet, TextVectors
from clipseg_ros.engines.devices import find_device, find_dtype, release
from clipseg_ros.engines.planes import KeptMaps
from clipseg_ros.models import clip, hub
from clipseg_ros.models import weights as weights_files
from clipseg_ros.models.cam_reader import CamReader
from clipseg_ros.models.clip import CLIP
from clipseg_ros.models.sam import Sam, SamSettings
from clipseg_ros.segmentation import Prompt, Segmentation, check_image


class CarEngine:
    """Scores are those of the CRF, or the proposals without it; 0 for queries that were dropped.

    Queries compete with each other, but in referring mode; prompts of equal text are one query. Left and right are
    not told apart, because CLIP does not.
    weights, device, precision: see engines.create; a CLIP, the CLIP inside a CLIPSeg, or beside it (see
    weights.clip_folder), that makes the proposals.
    classifier_weights: the CLIP that judges them; None takes the same.
    preset: a name in car_presets.PRESETS; None takes `demo` for a model trained by this package, else `robot`.
    options: what else car_presets.option_names lists; car_settings tells what each means.
    Raises ValueError, WeightsError, DeviceError, CrfMissing.
    """

    def __init__(
        self,
        weights: str,
        device: str = "auto",
        precision: str = "auto",
        *,
        classifier_weights: str | None = None,
        preset: str | None = None,
        **options: object,
    ) -> None:
        _check_names(options)
        torch_device = find_device(device)
        folder = weights_files.clip_folder(hub.find(weights))
        judging = folder if classifier_weights is None else weights_files.clip_folder(hub.find(classifier_weights))
        self._notes = weights_files.read_notes(folder)
        own = "demo" if self._notes.vocabulary is not None else car_presets.DEFAULT_PRESET
        self._settings = car_presets.settings({"preset": own if preset is None else preset, **options})
        dtype = find_dtype(precision, torch_device)
        self.device = str(torch_device)
        if self._settings.crf:
            crf.check_installed(self.device)
        self._clip = self._load(folder, dtype, torch_device)
        judge = self._clip if judging == folder else self._load(judging, dtype, torch_device)
        self._reader = CamReader(self._clip).to(torch_device)
        self._format = weights_files.read_input_format(folder)
        self._judge = Judge(judge, _object_format(judging), self._settings)
        self._models = (self._clip, judge, self._reader)
        vectors = _vectors(self._clip, folder)
        self._queries = QueryReader(
            self._settings, vectors, vectors if judging == folder else _vectors(judge, judging)
        )
        self._sam = self._load_sam(torch_device) if self._settings.sam_weights else None

    def _load(self, folder: Path, dtype: torch.dtype, device: torch.device) -> CLIP:
        return CLIP(clip.load(folder, dtype), self._settings.round_positions).to(device)

    def _load_sam(self, device: torch.device) -> Sam:
        options = self._settings
        return Sam(options.sam_weights, device, SamSettings(
            options.sam_points_per_side, options.sam_pred_iou_thresh, options.sam_stability_score_thresh,
            options.sam_nms_thresh,
        ))

    @property
    def threshold(self) -> float:
        """The score at which a pixel is as likely of the prompt as of the background."""
        return 0.5 if self._sam else car_finish.even_score(self._settings)

    @torch.inference_mode()
    def segment(self, image: np.ndarray, prompts: Sequence[Prompt]) -> Segmentation:
        """Search image (H, W, 3) uint8 RGB for the prompts, texts alone. Raises ValueError, PromptError."""
        check_image(image)
        image = np.ascontiguousarray(image)
        queries = self._queries.read(prompts)
        outcomes = self._outcomes(image, queries) if prompts else []
        return self._segmentation(image, tuple(prompts), queries, outcomes)

    def segment_batch(
        self, images: Sequence[np.ndarray], prompts: Sequence[Prompt], memories: Sequence[Memory] = ()
    ) -> list[Segmentation]:
        """The same prompts in several images of any sizes, one after the other. Nothing is remembered."""
        return [self.segment(image, prompts) for image in images]

    def check(self, prompts: Sequence[Prompt]) -> None:
        """Raise PromptError for a prompt that cannot be encoded; remembers the vectors of the others."""
        self._queries.read(prompts)

    def unknown_words(self, text: str) -> tuple[str, ...]:
        """The words of text outside the vocabulary of a model trained by this package, else ()."""
        return self._notes.unknown_words(text)

    def close(self) -> None:
        """Give the device's memory back; the engine is of no use afterwards."""
        self._sam = None
        self._queries.clear()
        release(self.device, *self._models)

    def _outcomes(self, image: np.ndarray, queries: QuerySet) -> list[Outcome]:
        """One a group; the image passes through the proposals' CLIP once."""
        look = self._clip.look(self._pixels(image), attention=self._settings.cam == "clip-es")
        return [
            recur(
                self._settings, group, Proposals(self._settings, self._reader, look, group),
                Judged(self._judge, image, group),
            )
            for group in queries.groups
        ]

    def _pixels(self, image: np.ndarray) -> torch.Tensor:
        """(1, 3, h, w) normalised: the image at its own size, but for whole patches and at most max_tokens of them."""
        patch = self._clip.patch_size
        height, width = grid_of(image.shape[:2], patch, self._settings.max_tokens)
        small = Image.fromarray(image).resize((width * patch, height * patch), Image.Resampling.BICUBIC)
        return self._format.normalise(np.asarray(small), self.device)

    def _segmentation(
        self, image: np.ndarray, prompts: tuple[Prompt, ...], queries: QuerySet, outcomes: Sequence[Outcome]
    ) -> Segmentation:
        proposals = [each.proposals.cpu().numpy() for each in outcomes]
        planes = car_finish.finished(image, proposals, self._settings, self.device)
        verdicts, kept = {}, []
        for group, outcome in zip(queries.groups, outcomes):
            verdicts.update(zip(group.members, outcome.verdicts))
            kept += [group.members[row] for row in outcome.kept]
        if self._sam and kept:
            sure = np.array([verdicts[query].confidence for query in kept], np.float32)
            planes = car_finish.of_segments(planes, sure, self._sam.segments(image), self._settings)
        rows = tuple(kept.index(query) if query in kept else None for query in queries.places)
        maps = KeptMaps(planes, rows, image.shape[:2])
        judged = queries.places if self._settings.max_steps else ()
        return Segmentation(prompts, maps, self.threshold, tuple(verdicts[query] for query in judged))


def grid_of(size: tuple[int, int], patch: int, most: int) -> tuple[int, int]:
    """(h, w) patches that cover an image (H, W); of more than `most`, unless that is 0, fewer of the same aspect."""
    height, width = (-(-length // patch) for length in size)
    if 0 < most < height * width:
        scale = (most / (size[0] * size[1])) ** 0.5
        height = min(most, max(1, int(size[0] * scale)))
        width = min(most // height, max(1, int(size[1] * scale)))
    return height, width


def _check_names(options: Iterable[str]) -> None:
    known = ("classifier_weights", *car_presets.option_names())
    for name in options:
        if name not in known:
            raise ValueError(f"option {name!r} of engine car: expected one of {', '.join(known)}")


def _object_format(folder: Path) -> weights_files.InputFormat:
    """The input of a CLIP that looks at single objects: a model trained by this package may have a side for them."""
    form, side = weights_files.read_input_format(folder), weights_files.read_notes(folder).support_side
    return form if side is None else replace(form, side=side)


def _vectors(model: CLIP, folder: Path) -> TextVectors:
    return TextVectors(model, weights_files.read_text_format(folder, model.longest_text))
