# SPDX-License-Identifier: Apache-2.0
"""Mask-category pairs, the training data of OVSeg's CLIP (section 3.2 and Table 2 of the paper).

The authors publish no code for this. As they describe it: nouns of a picture's captions, and a CLIP as it was published
says for each of them which mask shows it best; what is not known is the sentence around the noun when CLIP chooses
(here `a photo of a {}`) and which caption counts where only one does (here the first).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from clipseg_ros.datasets import DatasetError
from clipseg_ros.datasets.annotations import checked, read_json
from clipseg_ros.evaluation.ovseg_oracle import true_masks
from clipseg_ros.training.ovseg_pair_folder import PairWriter

TEMPLATE = "a photo of a {}"

Proposer = Callable[[np.ndarray], np.ndarray]
"""Masks (M, H, W) bool of an image (H, W, 3) uint8."""


Judge = Callable[[np.ndarray, np.ndarray, Sequence[str]], np.ndarray]
"""Cosines (M, N) of an image's masks (M, H, W), each with a pixel, and of N words; see ovseg_reader.RegionReader."""


@dataclass(frozen=True)
class Source:
    """Where masks and words come from. proposals: masks of the network, else the true ones. captions: how many of a
    picture count, from the first; 0: the words are the names of the true masks' classes."""

    proposals: bool
    captions: int


SOURCES = {
    "1": Source(proposals=False, captions=0), "2": Source(proposals=False, captions=1),
    "3": Source(proposals=True, captions=1), "4": Source(proposals=True, captions=5),
}
"""The rows of Table 2."""


@dataclass(frozen=True, eq=False)
class Picture:
    """Image (H, W, 3) uint8, labels (H, W) int32 with IGNORE, a name that is a file's, captions."""

    name: str
    image: np.ndarray
    labels: np.ndarray
    captions: tuple[str, ...] = ()


class Miner:
    """The pairs of one picture after the other. nouns: of a caption. propose: unused where the source's masks are true
    ones, as judge is where its words are classes."""

    def __init__(
        self, source: Source, classes: Sequence[str], nouns: Callable[[str], Sequence[str]], judge: Judge,
        propose: Proposer,
    ) -> None:
        self._source, self._classes = source, classes
        self._nouns, self._judge, self._propose = nouns, judge, propose

    def masks_and_pairs(self, picture: Picture) -> tuple[np.ndarray, list[tuple[int, str]]]:
        """Masks (M, H, W) bool and pairs of a mask's index and a word."""
        masks, numbers = true_masks(picture.labels)
        if not self._source.captions:
            return masks, [(index, self._classes[number]) for index, number in enumerate(numbers)]
        if self._source.proposals:
            masks = self._propose(picture.image)
            masks = masks[masks.any(axis=(1, 2))]
        spoken = (noun for one in picture.captions[: self._source.captions] for noun in self._nouns(one))
        words = tuple(dict.fromkeys(spoken))
        if not words or not len(masks):
            return masks, []
        best = self._judge(picture.image, masks, words).argmax(axis=0)
        return masks, list(zip(best.tolist(), words))

    def mine(self, pictures: Iterable[Picture], folder: Path) -> int:
        """Write the pairs of all pictures that the folder has not yet; returns the number of new ones."""
        writer, count = PairWriter(folder), 0
        for picture in tqdm(pictures, "mining", unit="picture"):
            if picture.name not in writer.done:
                masks, pairs = self.masks_and_pairs(picture)
                count += writer.write(picture.name, picture.image, masks, pairs)
        return count


def coco_captions(path: Path) -> dict[str, tuple[str, ...]]:
    """Captions by the picture's number, in the order of their ids, of COCO's captions_*.json. Raises DatasetError."""
    content = checked(read_json(path, "COCO's captions"), {"annotations": list}, str(path))
    found: dict[str, list[tuple[int, str]]] = {}
    for index, entry in enumerate(content["annotations"]):
        one = checked(entry, {"image_id": int, "id": int, "caption": str}, f"{path}: annotation {index}")
        found.setdefault(f"{one['image_id']:012d}", []).append((one["id"], one["caption"]))
    if not found:
        raise DatasetError(f"{path}: no caption; expected COCO's captions_train2017.json")
    return {stem: tuple(text for _, text in sorted(rows)) for stem, rows in found.items()}
