# SPDX-License-Identifier: Apache-2.0
"""OVSeg's two halves on rendered tabletop scenes that training never saw: which of them holds the whole back.

A class is a pair of colour and kind; 16 of them no scene of training shows. The background counts: what is marked
there is a false mark of its class. Masks are the true ones, true ones that are a little off, superpixels, or the
network's; where they are named by the CLIP alone, nothing rejects a mask of table or wall.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from tqdm import tqdm

from clipseg_ros.datasets import IGNORE, tabletop
from clipseg_ros.evaluation.confusion import Confusion, confusion
from clipseg_ros.evaluation.metrics import LEAST_VISIBLE
from clipseg_ros.evaluation.ovseg_oracle import oracle_scores, painted, perturbed, true_masks
from clipseg_ros.evaluation.passes import Job, Outcome
from clipseg_ros.evaluation.results import Row
from clipseg_ros.evaluation.tabletop import HEIGHT, TESTS, WIDTH

NAMES = tuple(f"{name['colour']} {name['kind']}" for name in tabletop.class_names().values())
"""Of class id i + 1 of the scenes."""
UNSEEN = tuple(tabletop.class_id(*pair) - 1 for pair in sorted(tabletop.UNSEEN_PAIRS))
SCENES = 150
SIDE = 96  # of the picture that masks are proposed for, as in training
GRID, COMPACTNESS = (5, 8), 20.0  # superpixels, and what one of them weighs in units of colour
OUTSIDE = -1000  # no label and no class

Named = tuple[np.ndarray, np.ndarray]
"""Masks (M, H, W) bool and scores (M, K)."""


@dataclass
class Tally:
    """Sums over scenes: the confusion of all pixels, the background class 0; objects named rightly, and objects; of
    those of unseen pairs alike."""

    total: Confusion
    right: int = 0
    objects: int = 0
    unseen_right: int = 0
    unseen: int = 0

    def add(self, labels: np.ndarray, found: Named, numbers: np.ndarray | None) -> None:
        """A scene. numbers: the true classes of the masks, where each has one."""
        masks, scores = found
        marked = painted(scores, masks)
        self.total += confusion(_from_zero(marked), _from_zero(labels), len(NAMES) + 1, OUTSIDE)
        if numbers is not None and len(numbers):
            hits, held_out = scores.argmax(axis=1) == numbers, np.isin(numbers, UNSEEN)
            self.right, self.objects = self.right + int(hits.sum()), self.objects + len(hits)
            self.unseen_right += int(hits[held_out].sum())
            self.unseen += int(held_out.sum())

    def values(self) -> dict[str, float]:
        """The row."""
        nan = float("nan")
        every, unseen = range(1, len(NAMES) + 1), [1 + index for index in UNSEEN]
        return {
            "mIoU": self.total.miou(every, "detectron2"), "mIoU(U)": self.total.miou(unseen, "detectron2"),
            "named": self.right / self.objects if self.objects else nan,
            "named(U)": self.unseen_right / self.unseen if self.unseen else nan,
        }


@dataclass(frozen=True)
class Halves:
    """The scenes are measured in one go; no prediction is kept."""

    def run(self, job: Job) -> Outcome | None:
        """Rank 0 does all. Raises ValueError, WeightsError."""
        if job.rank:
            return None
        from clipseg_ros.evaluation.ovseg_reader import read_regions

        own = {"side": SIDE, "templates": "plain"}  # as the rows were trained
        reader = read_regions(job, {name: job.options.get(name, value) for name, value in own.items()})
        seeds = TESTS[: min(SCENES, job.limit or SCENES)]
        rows = measure(reader.propose, lambda image, masks: reader.cosines(image, masks, NAMES), seeds)
        reader.close()
        notes = (
            "background counts; classes without a pixel are left out, as are objects below 100 pixels",
            "named: share of objects whose mask gets its class; (U): of colours and kinds that training never showed "
            "together",
            "boxes: the picture around the mask stays",
        )
        return Outcome(tuple(Row(name, tally.values()) for name, tally in rows.items()), notes=notes,
                       samples=len(seeds), available=SCENES)


def measure(
    propose: Callable[[np.ndarray], np.ndarray], cosines: Callable[[np.ndarray, np.ndarray], np.ndarray], seeds: range
) -> dict[str, Tally]:
    """A tally by row. propose: masks (Q, H, W) bool of an image; cosines: (M, K) of its masks and NAMES."""
    tallies: dict[str, Tally] = {}

    def add(name: str, labels: np.ndarray, found: Named, numbers: np.ndarray | None = None) -> None:
        tallies.setdefault(name, Tally(Confusion.empty(len(NAMES) + 1))).add(labels, found, numbers)

    for seed in tqdm(seeds, "tabletop", unit="scene"):
        view = tabletop.render(tabletop.compose(seed), HEIGHT, WIDTH)
        labels = labels_of(view.labels)
        masks, numbers = true_masks(labels)
        large = masks.sum(axis=(1, 2)) >= LEAST_VISIBLE
        masks, numbers = masks[large], numbers[large]
        rng = np.random.default_rng([seed, 3])
        moved = np.stack([perturbed(mask, rng) for mask in masks]) if len(masks) else masks
        exact, guessed = (masks, numbers), (moved, numbers)
        for name, shown, (found, classes) in (
            ("true masks", masks, exact), ("true masks, boxes", _boxes(masks), exact),
            ("perturbed true masks", moved, guessed),
        ):
            add(name, labels, (found, _best(cosines(view.image, shown))), classes)
        add("perturbed true masks, true classes", labels, (moved, (numbers[:, None] == np.arange(len(NAMES))) * 1.0))
        for name, found in (("superpixels", superpixels(view.image)), ("proposals", propose(view.image))):
            found = found[found.sum(axis=(1, 2)) >= LEAST_VISIBLE]
            add(name, labels, (found, _best(cosines(view.image, found))))
            add(f"{name}, true classes", labels, (found, oracle_scores(found, labels, len(NAMES))))
    return tallies


def labels_of(ids: np.ndarray) -> np.ndarray:
    """int32 numbers of NAMES, IGNORE for the background, of class ids 0 to 255."""
    return np.where(ids > 0, ids.astype(np.int32) - 1, IGNORE).astype(np.int32)


def superpixels(image: np.ndarray) -> np.ndarray:
    """(R * C, H, W) bool: pixels of image (H, W, 3) uint8 RGB that are alike in colour and near to each other, by
    k-means from a grid of R x C; SLIC (Achanta et al., TPAMI 2012) without its windows, at a third of the size."""
    size, count = (image.shape[1] // 3, image.shape[0] // 3), GRID[0] * GRID[1]
    colours = cv2.cvtColor(cv2.resize(image, size, interpolation=cv2.INTER_AREA), cv2.COLOR_RGB2LAB)
    places = np.stack(np.mgrid[: size[1], : size[0]], axis=2).astype(np.float32)
    cells = places / (np.float32(size[::-1]) / np.float32(GRID))
    start = (np.floor(cells[..., 0]) * GRID[1] + np.floor(cells[..., 1])).astype(np.int32)
    features = np.dstack([colours.astype(np.float32), cells * np.float32(COMPACTNESS)]).reshape(-1, 5)
    stop = (cv2.TERM_CRITERIA_MAX_ITER, 10, 0.0)
    _, found, _ = cv2.kmeans(features, count, start.reshape(-1, 1), stop, 1, cv2.KMEANS_USE_INITIAL_LABELS)
    found = cv2.resize(
        found.reshape(start.shape).astype(np.uint8), image.shape[1::-1], interpolation=cv2.INTER_NEAREST
    )
    return found == np.arange(count, dtype=np.uint8)[:, None, None]


def _best(cosines: np.ndarray) -> np.ndarray:
    """(M, K): of each mask its best class alone, by its cosine plus 1."""
    best = np.zeros_like(cosines)
    rows = np.arange(len(cosines))
    best[rows, cosines.argmax(axis=1)] = 1.0 + cosines.max(axis=1)
    return best


def _boxes(masks: np.ndarray) -> np.ndarray:
    """(M, H, W) bool: the tight box of each mask."""
    rows, columns = masks.any(axis=2), masks.any(axis=1)
    filled = [np.maximum.accumulate(one, axis=1) & np.maximum.accumulate(one[:, ::-1], axis=1)[:, ::-1]
              for one in (rows, columns)]
    return filled[0][:, :, None] & filled[1][:, None, :]


def _from_zero(labels: np.ndarray) -> np.ndarray:
    """Numbers from 1, the background 0."""
    return np.where(labels == IGNORE, 0, labels + 1)
