# SPDX-License-Identifier: Apache-2.0
"""OVSeg (Liang et al., CVPR 2023) as an engine: masks are proposed, cut out, and named by a CLIP that knows cut-outs.

One pass of the proposal network a frame, CLIP's vision tower for each cut-out that is worth it, cached texts.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image
from torch.nn import functional as F

from clipseg_ros.engines import Memory
from clipseg_ros.engines.devices import find_device, find_dtype, release
from clipseg_ros.engines.ovseg_proposals import (
    COARSE, NetworkCandidates, SegmentCandidates, emptiness, propose, pruned, segments,
)
from clipseg_ros.engines.ovseg_settings import settings
from clipseg_ros.engines.planes import KeptMaps
from clipseg_ros.engines.vectors import VectorCache
from clipseg_ros.models import hub, ovseg
from clipseg_ros.models import weights as weights_files
from clipseg_ros.models.ovseg_clip import MaskedCLIP
from clipseg_ros.models.ovseg_regions import cut_outs
from clipseg_ros.models.ovseg_scores import (
    fused, kept_proposals, region_probabilities, summed, vector_probabilities,
)
from clipseg_ros.models.sam import Sam, SamSettings
from clipseg_ros.segmentation import Prompt, PromptError, Segmentation, check_image

DEFAULT_THRESHOLDS = {"best": 0.5, "all": 0.3}
"""Where to start, and not measured: 0.5 is where a single query beats its helper. The authors have none: every pixel of
a proposal gets its best class. `threshold` in the folder's clipseg_ros.json keeps a better one."""
LONGEST = 4  # times the shorter side
CACHED_CLASSES = 4096
SENTENCES_AT_ONCE = 256
REGIONS_AT_ONCE = 32


class PlaneMaps(KeptMaps):
    """KeptMaps of sums that may be above 1, where scores are cut off but labels and masks still compare.

    A prompt is present where some pixel reaches its threshold.
    """

    def scores(self) -> np.ndarray:
        """(N, H, W) float32 in [0, 1]."""
        return np.minimum(super().scores(), np.float32(1.0))

    def score(self) -> np.ndarray:
        """(H, W) float32 in [0, 1]: the maximum over the prompts; 0 without prompts."""
        return np.minimum(super().score(), np.float32(1.0))

    def present(self, thresholds: np.ndarray) -> np.ndarray:
        """(N,) bool."""
        peaks = self.planes.max(axis=(1, 2), initial=0.0)  # which bilinear resizing never exceeds
        return np.array([
            peaks[row] >= least and (self._plane(row) >= least).any() for row, least in zip(self.rows, thresholds)
        ], bool)


class OvsegEngine:
    """Scores are sums over proposals of how well each suits a query, cut at 1; queries compete with each other.

    Prompts of equal text are one query. A single query competes with the word of option `helper`.
    weights, device, precision: see engines.create; a folder that `convert` made of an authors' checkpoint.
    options: what ovseg_settings.option_names lists; ovseg_settings tells what each means.
    Raises ValueError, WeightsError, DeviceError.
    """

    def __init__(self, weights: str, device: str = "auto", precision: str = "auto", **options: object) -> None:
        self._settings = settings(options)
        torch_device = find_device(device)
        folder = hub.find(weights)
        self.device = str(torch_device)
        self._network = ovseg.load(folder, find_dtype(precision, torch_device)).requires_grad_(False).to(torch_device)
        if self._settings.proposer == "maskformer" and self._network.proposer is None:
            raise hub.WeightsError(f"{folder}: a CLIP without proposals; give it proposer=sam and sam_weights")
        self._clip = MaskedCLIP(self._network.clip, self._network.mask_prompts)
        self._format = weights_files.read_input_format(folder)
        self._notes = weights_files.read_notes(folder)
        self._tokenize = weights_files.read_text_format(folder, self._clip.longest_text)
        names = self._network.config.class_names or []
        at_once = max(1, SENTENCES_AT_ONCE // len(self._settings.templates))
        self._vectors: VectorCache[str] = VectorCache(CACHED_CLASSES, at_once)
        self._trained: VectorCache[str] = VectorCache(len(names), at_once)
        self._sam = self._load_sam(torch_device) if self._settings.proposer == "sam" else None

    def _load_sam(self, device: torch.device) -> Sam:
        options = self._settings
        return Sam(options.sam_weights, device, SamSettings(
            options.sam_points_per_side, options.sam_pred_iou_thresh, options.sam_stability_score_thresh,
            options.sam_nms_thresh,
        ))

    @property
    def threshold(self) -> float:
        """The score at or above which a pixel belongs to a prompt, unless the prompt or the caller says otherwise."""
        own = self._notes.threshold
        return DEFAULT_THRESHOLDS[self._settings.select] if own is None else own

    @torch.inference_mode()
    def segment(
        self, image: np.ndarray, prompts: Sequence[Prompt], memory: Memory | None = None
    ) -> Segmentation:
        """Search image (H, W, 3) uint8 RGB for the prompts, texts alone. Raises ValueError, PromptError.

        memory: of the camera that the image is the next frame of; CLIP looks at no region that it knows, until option
        `reclassify_every` has it look again.
        """
        check_image(image)
        texts = _queries(prompts)
        vectors = self._class_vectors(self._compared(texts))
        planes = self._planes(image, vectors, len(texts), memory) if texts else np.zeros((0, 1, 1), np.float32)
        maps = PlaneMaps(planes, tuple(texts.index(prompt.text) for prompt in prompts), image.shape[:2])
        return Segmentation(tuple(prompts), maps, self.threshold)

    def segment_batch(
        self, images: Sequence[np.ndarray], prompts: Sequence[Prompt], memories: Sequence[Memory] = ()
    ) -> list[Segmentation]:
        """The same prompts in several images of any sizes, one after the other; memories: see `segment`."""
        if not memories:
            memories = [None] * len(images)
        return [self.segment(image, prompts, memory) for image, memory in zip(images, memories, strict=True)]

    def check(self, prompts: Sequence[Prompt]) -> None:
        """Raise PromptError for a prompt that cannot be encoded; remembers the vectors of the others."""
        self._class_vectors(self._compared(_queries(prompts)))

    def unknown_words(self, text: str) -> tuple[str, ...]:
        """The words of text outside the vocabulary of a model trained by this package, else ()."""
        return self._notes.unknown_words(text)

    def close(self) -> None:
        """Give the device's memory back; the engine is of no use afterwards."""
        self._sam = None
        self._vectors.clear()
        self._trained.clear()
        release(self.device, self._network)

    def _planes(self, image: np.ndarray, texts: torch.Tensor, asked: int, memory: Memory | None) -> np.ndarray:
        """(asked, h, w) float32 of at least 0, for the first `asked` of texts (K, E)."""
        options = self._settings
        picture = resized_picture(image, options.side, options.fusion_stride)
        candidates = self._candidates(picture)
        rows = self._rows(candidates)
        masks = candidates.full(rows)
        hard = masks > options.mask_threshold
        seen = hard.flatten(1).any(dim=1).nonzero()[:, 0]
        q = region_probabilities(self._features(picture, hard[seen], memory), texts)
        scores = fused(self._opinions(candidates, rows, texts), q, seen, options.clip_weight)
        if options.select == "best":
            kept = kept_proposals(scores, asked, options.keep_ratio)
            return summed(scores[kept, :asked], hard[kept].float()).cpu().numpy()
        cells = masks if options.fusion_stride == 1 else candidates.coarse()[rows]
        return summed(scores[:, :asked], cells).cpu().numpy()

    def _candidates(self, picture: np.ndarray) -> NetworkCandidates | SegmentCandidates:
        if self._sam is not None:
            return segments(self._sam, picture, self.device)
        return propose(self._network.proposer, picture)

    def _rows(self, candidates: NetworkCandidates | SegmentCandidates) -> torch.Tensor:
        """(n,) int64: the candidates that CLIP looks at."""
        options, masks = self._settings, candidates.coarse()
        if not options.prunes:
            return torch.arange(len(masks), device=masks.device)
        empty, names = torch.zeros(len(masks), device=masks.device), self._network.config.class_names
        if candidates.vectors is not None and names and options.no_object < 1.0:
            trained = torch.stack(list(self._trained(names, self._encode).values()))
            empty = emptiness(candidates.vectors, trained, self._network.proposer.no_object)
        return pruned(
            masks, empty, options.mask_threshold, options.min_area, options.no_object, options.nms_iou, options.top_k
        )

    def _opinions(
        self, candidates: NetworkCandidates | SegmentCandidates, rows: torch.Tensor, texts: torch.Tensor
    ) -> torch.Tensor:
        """p (n, K) float32: the proposals' own opinion of the candidates `rows`; 0 where they have none."""
        if candidates.vectors is None:
            return torch.zeros(len(rows), len(texts), device=rows.device)
        return vector_probabilities(candidates.vectors[rows], texts, self._network.proposer.no_object)

    def _features(self, picture: np.ndarray, masks: torch.Tensor, memory: Memory | None) -> torch.Tensor:
        """(M, E) unit vectors of the cut-outs of masks (M, H, W) bool from picture (H, W, 3)."""
        if memory is None:
            return self._look(picture, masks)
        coarse = masks[:, ::COARSE, ::COARSE].cpu().numpy()
        every = self._settings.reclassify_every
        found = memory.read(coarse, every, lambda rows: self._look(picture, masks[torch.from_numpy(rows)]).cpu().numpy())
        return torch.from_numpy(found).to(self.device)

    def _look(self, picture: np.ndarray, masks: torch.Tensor) -> torch.Tensor:
        """What _features gives, by CLIP."""
        pixels = self._format.normalise(picture, self.device)[0]
        parts = masks.split(REGIONS_AT_ONCE) if len(masks) else ()
        found = [self._clip.embed_regions(*cut_outs(pixels, part, self._clip.side)) for part in parts]
        size = self._network.config.projection_dim
        return torch.cat(found) if found else torch.zeros(0, size, device=self.device)

    def _compared(self, texts: Sequence[str]) -> list[str]:
        """The queries, and the helper's word beside a single one."""
        return [*texts, self._settings.helper] if len(texts) == 1 else list(texts)

    @torch.inference_mode()
    def _class_vectors(self, texts: Sequence[str]) -> torch.Tensor:
        """(K, E) on the device, encoding only what the cache lacks."""
        found = self._vectors(texts, self._encode)
        return torch.stack([found[text] for text in texts]) if texts else torch.empty(0)

    def _encode(self, texts: Sequence[str]) -> torch.Tensor:
        """(N, E) unit vectors: of each text the mean of its sentences' unit vectors, made unit length again."""
        templates = self._settings.templates
        ids, lengths = self._tokenize([sentence.replace("{}", text) for text in texts for sentence in templates])
        vectors = self._clip.embed_text(ids.to(self.device), lengths.to(self.device))
        return F.normalize(vectors.unflatten(0, (len(texts), len(templates))).mean(dim=1), dim=-1)


def resized_picture(image: np.ndarray, side: int, multiple: int) -> np.ndarray:
    """(h, w, 3) uint8: image (H, W, 3) with a shorter side of `side`, the longer at most LONGEST times that; Pillow's
    bilinear. Sides are rounded to a multiple of `multiple`, 1 in the authors' code."""
    scale = min(side / min(image.shape[:2]), LONGEST * side / max(image.shape[:2]))
    height, width = (max(1, int(length * scale / multiple + 0.5)) * multiple for length in image.shape[:2])
    small = Image.fromarray(np.ascontiguousarray(image)).resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(small)


def _queries(prompts: Sequence[Prompt]) -> list[str]:
    """The distinct texts, in order. Raises PromptError for a support."""
    for prompt in prompts:
        if prompt.support is not None:
            raise PromptError(f"prompt {prompt.name!r} has a support: engine ovseg takes texts alone")
    return list(dict.fromkeys(prompt.text for prompt in prompts))
