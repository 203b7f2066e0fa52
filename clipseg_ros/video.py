# SPDX-License-Identifier: Apache-2.0
"""All that is remembered from frame to frame: a Stream smooths the scores of one camera along the motion it sees; a
RegionMemory spares an engine what it read off the same regions a frame ago.

An engine answers every frame on its own, so noise and the model's grid stir its masks although nothing moved. A
Stream carries what it held of the last frame to the present one along the optical flow of the two pictures and mixes
it with the engine's answer: a recursive filter along surfaces, not along pixels.

The flow is DIS (Kroeger et al., Fast Optical Flow using Dense Inverse Search, ECCV 2016) between small grey pictures,
there and back. The past has no say where the two ways disagree, where the pictures differ once one is moved onto the
other, and where the last frame did not look. Logits x are mixed as x / (1 + |x|): a model may be sure of the
background without bounds, and one such frame would outvote any number of others.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import cv2
import numpy as np

from clipseg_ros.masks import LogitMaps
from clipseg_ros.segmentation import Frame, Prompt, ScoreMaps, Segmentation

FLOW_SIDE = 160  # pixels of the longer side of the pictures that are compared; larger ones were no better
LEAST_FLOW_SIDE = 32  # what the search needs of a side, whatever the image's shape
MISS = 2.0  # of those pixels: where the way there and back misses its start by so much, trust is 1/e
DIFFERENCE = 16.0  # grey levels of 255 between a surface and itself a frame ago: the same
PLAIN = 4.0  # grey levels: what the search loses but differs by less where it stands is a plain surface and its noise
CUT = 0.5  # share of a picture that must be found again: 0.86 or more was under a fast camera, up to 0.29 across cuts
LONGEST_GAP_S = 5.0  # between two frames; later, what was seen is not believed any more
GRID_SIDE = 352  # cells of the longer side at which scores are kept that do not come at a model's grid
LEAST_SCORE = 1e-6
SAME_REGION = 0.8  # IoU from which on masks of two frames are of one thing


class Stream:
    """The memory of one camera; its frames come in their order, from one thread at a time.

    It starts anew by itself at a cut (another place is in sight), with another size of the image or of the engine's
    grid, after LONGEST_GAP_S without a frame, and where time runs backwards. A prompt that was not asked of the last
    frame starts with this one, while the others keep what they had; prompts are told apart by text, support and
    text_weight, so that a new label or threshold changes nothing.
    """

    def __init__(self) -> None:
        self._flow = _Flow()
        self._last: _Memory | None = None

    def reset(self) -> None:
        """Forget all frames."""
        self._last = None

    def smooth(self, frame: Frame, result: Segmentation, smoothing: float) -> Segmentation:
        """What the engine found in `frame`, mixed with what was held of the frames before.

        smoothing: weight in [0, 1] of the past where the motion is sure. 0 gives `result` itself and forgets the past;
        with 0.9 a surface has about the mean of its last 10 frames; with 1 it keeps what it was first taken for. The
        maps returned are LogitMaps, at the grid of the engine's LogitMaps or at most GRID_SIDE for any other maps;
        a prompt is present when some pixel of them reaches its threshold. A result with infinite logits or NaN is
        returned as it is, and nothing is kept. Raises ValueError for another smoothing.
        """
        if not 0.0 <= smoothing <= 1.0:
            raise ValueError(f"smoothing {smoothing}: expected 0 (every frame on its own) to 1")
        if smoothing == 0.0:
            self.reset()
            return result
        logits = _grid_logits(result.maps)
        if not np.isfinite(logits.sum()):  # NaN would stay for ever: times a weight of 0 it is NaN
            self.reset()
            return result
        planes = _bounded(logits)
        prompts = [replace(prompt, label="", threshold=None) for prompt in result.prompts]
        last, self._last = self._last, _Memory(frame, _small_grey(frame.image), dict(zip(prompts, planes)))
        if last is not None and self._last.may_follow(last):
            pasts = [last.planes.get(prompt) for prompt in prompts]
            known = [(p, now) for p, now in zip(pasts, planes) if p is not None and p.shape == now.shape]
            motion = self._flow.between(last.grey, self._last.grey) if known else None
            if motion is not None:
                _mix(known, motion, smoothing)
        return replace(result, maps=LogitMaps(_unbounded(planes), frame.image.shape[:2]))


class RegionMemory:
    """What was read off the regions of one camera's last frame, for engines that read regions one by one.

    A region that overlaps one of the frame before with an IoU of at least SAME_REGION keeps what was read off that,
    until it is so many frames old as the engine allows. Regions are told apart by their masks alone, so that a cut may
    go unnoticed for as many frames. It starts anew with masks of another size. Its frames come in their order, from one
    thread at a time.
    """

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget all frames."""
        self._masks, self._vectors, self._ages = np.zeros((0, 0)), np.zeros((0, 0), np.float32), np.zeros(0, np.int64)

    def read(self, masks: np.ndarray, every: int, look: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
        """(M, E) float32 of masks (M, h, w) bool of the next frame.

        every: frames after which a region is read again; 1 reads all of them in every frame. look: (n, E) of rows (n,),
        which are not known. Raises ValueError for another `every`.
        """
        if every < 1:
            raise ValueError(f"every {every}: expected 1 (every frame) or more")
        flat = masks.reshape(len(masks), masks.shape[1] * masks.shape[2]).astype(np.float32)
        ages, past = np.full(len(masks), every), np.zeros(len(masks), np.int64)
        if len(self._masks) and self._masks.shape[1] == flat.shape[1] and len(flat):
            common = flat @ self._masks.T
            ious = common / np.maximum(flat.sum(axis=1)[:, None] + self._masks.sum(axis=1) - common, 1.0)
            past = ious.argmax(axis=1)
            ages = np.where(ious.max(axis=1) >= SAME_REGION, self._ages[past] + 1, every)
        fresh = np.flatnonzero(ages >= every)
        ages[fresh] = 0
        looked = look(fresh)
        known = len(fresh) < len(masks)
        vectors = self._vectors[past] if known else np.zeros((len(masks), looked.shape[1]), np.float32)
        vectors[fresh] = looked
        self._masks, self._vectors, self._ages = flat, vectors, ages
        return vectors.copy()


class _Memory:
    """What is kept of a frame: capture time, size, small grey picture, and the bounded logits (h, w) of its prompts."""

    def __init__(self, frame: Frame, grey: np.ndarray, planes: dict[Prompt, np.ndarray]) -> None:
        self.stamp_ns, self.size, self.grey, self.planes = frame.stamp_ns, frame.image.shape[:2], grey, planes

    def may_follow(self, last: _Memory) -> bool:
        """Whether both can be of one sequence, as far as size and time tell."""
        return self.size == last.size and 0 <= self.stamp_ns - last.stamp_ns <= LONGEST_GAP_S * 1e9


class _Motion(NamedTuple):
    """x, y (h, w) float32: pixels from here to where it was a frame ago; trust (h, w) float32 in [0, 1]."""

    x: np.ndarray
    y: np.ndarray
    trust: np.ndarray

    def at(self, size: tuple[int, int]) -> _Motion:
        """The same motion in the cells of another grid over the image, of size (h, w)."""
        height, width = self.trust.shape
        planes = (self.x * np.float32(size[1] / width), self.y * np.float32(size[0] / height), self.trust)
        return _Motion(*(cv2.resize(plane, size[::-1], interpolation=cv2.INTER_LINEAR) for plane in planes))

    def origins(self) -> tuple[np.ndarray, np.ndarray]:
        """Column and row (h, w) float32 where each pixel was a frame ago."""
        height, width = self.trust.shape
        return self.x + np.arange(width, dtype=np.float32), self.y + np.arange(height, dtype=np.float32)[:, None]


class _Flow:
    """Dense flow between small pictures, and how far it is to be trusted."""

    def __init__(self) -> None:
        self._search = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
        self._search.setFinestScale(1)
        self._search.setPatchStride(4)
        self._search.setVariationalRefinementIterations(0)

    def between(self, before: np.ndarray, now: np.ndarray) -> _Motion | None:
        """From `now` back to `before`, both (h, w) uint8; None where they show different places."""
        x, y = cv2.split(self._search.calc(now, before, None))
        there = _Motion(x, y, np.ones_like(x))
        back = cv2.split(_looked_up(self._search.calc(before, now, None), *there.origins()))
        doubt = ((x + back[0]) ** 2 + (y + back[1]) ** 2) / np.float32(MISS**2)
        lost = (doubt > 1.0) & (_difference(before, now) < PLAIN)
        for plane in (x, y, doubt):
            plane[lost] = 0.0
        columns, rows = there.origins()
        height, width = now.shape
        inside = (columns > -0.5) & (columns < width - 0.5) & (rows > -0.5) & (rows < height - 0.5)
        doubt += (_difference(_looked_up(before, columns, rows), now) / np.float32(DIFFERENCE)) ** 2
        if np.count_nonzero(inside & (doubt < 1.0)) < CUT * now.size:
            return None
        return there._replace(trust=np.exp(-doubt * doubt) * inside)


def _difference(before: np.ndarray, now: np.ndarray) -> np.ndarray:
    """(h, w) float32 grey levels, the mean of 3 x 3 pixels, less what all of the picture differs by (exposure)."""
    difference = cv2.subtract(before, now, dtype=cv2.CV_32F)
    difference -= np.median(difference[::4, ::4])
    return cv2.blur(np.abs(difference), (3, 3))


def _mix(known: list[tuple[np.ndarray, np.ndarray]], motion: _Motion, smoothing: float) -> None:
    """Draw the second plane (h, w) of each pair, in place, to where the motion takes the first."""
    motion = motion.at(known[0][1].shape)
    columns, rows = motion.origins()
    weight = np.float32(smoothing) * motion.trust
    for past, plane in known:
        step = _looked_up(past, columns, rows)
        step -= plane
        step *= weight
        plane += step


def _looked_up(plane: np.ndarray, columns: np.ndarray, rows: np.ndarray) -> np.ndarray:
    return cv2.remap(plane, columns, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def _small_grey(image: np.ndarray) -> np.ndarray:
    """(h, w) uint8: FLOW_SIDE pixels at the longer side, at least LEAST_FLOW_SIDE at the other."""
    scale = FLOW_SIDE / max(image.shape[:2])
    width, height = (max(LEAST_FLOW_SIDE, round(side * scale)) for side in image.shape[1::-1])
    return cv2.resize(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), (width, height), interpolation=cv2.INTER_AREA)


def _grid_logits(maps: ScoreMaps) -> np.ndarray:
    """(N, h, w) float32 at the model's grid, or from scores at the image's size, shrunk to GRID_SIDE."""
    if isinstance(maps, LogitMaps):
        return maps.logits
    scores = np.clip(maps.scores(), LEAST_SCORE, 1.0 - LEAST_SCORE)
    scale = min(1.0, GRID_SIDE / max(scores.shape[1:]))
    width, height = (max(1, round(side * scale)) for side in scores.shape[:0:-1])
    grid = np.empty((len(scores), height, width), np.float32)
    for small, plane in zip(grid, scores):
        small[:] = cv2.resize(plane, (width, height), interpolation=cv2.INTER_AREA)
    return np.log(grid) - np.log1p(-grid)


def _bounded(logits: np.ndarray) -> np.ndarray:
    """x / (1 + |x|): within -1 and 1, an array of its own."""
    below = np.abs(logits)
    below += 1.0
    return np.divide(logits, below, out=below)


def _unbounded(planes: np.ndarray) -> np.ndarray:
    """The logits of bounded ones, an array of its own."""
    below = np.abs(planes)
    np.subtract(1.0, below, out=below)
    return np.divide(planes, below, out=below)
