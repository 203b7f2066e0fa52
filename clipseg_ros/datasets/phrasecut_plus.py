# SPDX-License-Identifier: Apache-2.0
"""PhraseCut+: training examples with absent phrases and with supports (Lüddecke and Ecker, CVPR 2022, section 4)."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

import cv2
import numpy as np

from clipseg_ros.datasets import Sample
from clipseg_ros.datasets.phrasecut import PhraseCut
from clipseg_ros.masks import resize_image
from clipseg_ros.segmentation import Prompt, Support

# The nine templates "shuffle+" of github.com/timojl/clipseg
SHUFFLE_PLUS = (
    "a photo of a {}.", "a photograph of a {}.", "an image of a {}.", "{}.", "a cropped photo of a {}.",
    "a good photo of a {}.", "a photo of one {}.", "a bad photo of a {}.", "a photo of the {}.",
)


@dataclass(frozen=True)
class Drawing:
    """How examples are drawn; the numbers are those of the published "uni" models. Raises ValueError.

    side: pixels of the square example. negatives: share of examples whose phrase is exchanged and target emptied.
    supports: whether a second example of the phrase is given. text_weight: least and largest; the paper has (0, 1),
    its code (0, 0.5). templates: one is drawn an example, {} is the phrase; ("{}",) for the phrase alone.
    least_share: of the whole picture, that the object in a crop must exceed. tries: crops to choose from.

    Two are ours, with False for what the authors' code does. other_support: a support is never of the query's own
    picture. absent_negatives: a phrase that PhraseCut has for this picture too is no negative; beyond that nobody
    looks, and a negative may be seen in the picture all the same.
    """

    side: int = 352
    negatives: float = 0.2
    supports: bool = True
    text_weight: tuple[float, float] = (0.0, 0.5)
    templates: tuple[str, ...] = SHUFFLE_PLUS
    least_share: float = 0.05
    tries: int = 50
    other_support: bool = True
    absent_negatives: bool = True

    def __post_init__(self) -> None:
        low, high = self.text_weight
        if not 0.0 <= low <= high <= 1.0:
            raise ValueError(f"text_weight {self.text_weight}: expected least and largest, within 0 to 1")
        if not 0.0 <= self.negatives <= 1.0 or not 0.0 <= self.least_share <= 1.0:
            raise ValueError(f"negatives {self.negatives}, least_share {self.least_share}: expected shares of 0 to 1")
        if self.side < 1 or self.tries < 1:
            raise ValueError(f"side {self.side}, tries {self.tries}: expected 1 or more")
        if not self.templates or any("{}" not in template for template in self.templates):
            raise ValueError(f"templates {self.templates}: expected at least one, each with {{}} for the phrase")


class PhraseCutPlus:
    """Examples of one prompt, drawn from the samples of PhraseCut.

    Raises ValueError where there are no samples, or negatives are wanted and no phrase is left for some picture.
    """

    def __init__(self, samples: PhraseCut, drawing: Drawing = Drawing()) -> None:
        self._samples, self._drawing = samples, drawing
        self._image_ids = samples.image_ids
        self._phrases = tuple(sorted(set(samples.phrases)))
        self._of_phrase: dict[str, list[int]] = defaultdict(list)
        self._in_image: dict[int, set[str]] = defaultdict(set)
        for index, (phrase, image_id) in enumerate(zip(samples.phrases, self._image_ids)):
            self._of_phrase[phrase].append(index)
            self._in_image[image_id].add(phrase)
        if not len(samples):
            raise ValueError("no samples to draw from: not even one phrase is left")
        most = max(map(len, self._in_image.values())) if drawing.absent_negatives else 1
        if drawing.negatives and most == len(self._phrases):
            raise ValueError(f"{most} phrases, all of one picture: none is absent there; draw without negatives")

    def __len__(self) -> int:
        return len(self._samples)

    def draw(self, index: int, rng: np.random.Generator) -> Sample:
        """An example of sample `index`: image (side, side, 3) uint8 RGB, target (1, side, side) bool, one prompt.

        The prompt has a template's text, the phrase as label, and a support with a text weight; text alone where the
        phrase has no other sample, or its support's crop misses the object.
        """
        sample, drawing = self._samples[index], self._drawing
        phrase = sample.prompts[0].text
        image, mask = self._crop(sample, rng)
        if rng.random() < drawing.negatives:
            phrase, mask = self._exchanged(index, phrase, rng), np.zeros_like(mask)
        text = drawing.templates[rng.integers(len(drawing.templates))].replace("{}", phrase)
        support = self._support(phrase, index, rng) if drawing.supports else None
        weight = 1.0 if support is None else float(rng.uniform(*drawing.text_weight))
        return Sample(image, (Prompt(text, support, weight, label=phrase),), mask[None], sample.name)

    def _exchanged(self, index: int, phrase: str, rng: np.random.Generator) -> str:
        own = self._in_image[self._image_ids[index]] if self._drawing.absent_negatives else {phrase}
        while True:
            other = self._phrases[rng.integers(len(self._phrases))]
            if other not in own:
                return other

    def _support(self, phrase: str, index: int, rng: np.random.Generator) -> Support | None:
        """One of the phrase's samples, cropped; None for a phrase of one sample, whether it was exchanged or not: else
        supports of such phrases would give negatives away."""
        pool = self._of_phrase[phrase]
        if len(pool) < 2:
            return None
        if self._drawing.other_support:
            pool = [other for other in pool if self._image_ids[other] != self._image_ids[index]]
        if not pool:
            return None
        image, mask = self._crop(self._samples[pool[rng.integers(len(pool))]], rng)
        return Support(image, mask) if mask.any() else None

    def _crop(self, sample: Sample, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        window = object_window(sample.target[0], self._drawing.least_share, self._drawing.tries, rng)
        return squashed(sample.image[window], sample.target[0][window], self._drawing.side)


def object_window(mask: np.ndarray, least_share: float, tries: int, rng: np.random.Generator) -> tuple[slice, slice]:
    """Rows and columns of a square as large as the picture allows, placed at random along its longer side.

    Of `tries` places the first is taken where the mask inside exceeds least_share of the picture's pixels; else the
    first of those that hold the most.
    """
    height, width = mask.shape
    side, tall = min(height, width), height > width
    until = np.concatenate([[0], mask.sum(axis=1 if tall else 0).cumsum()])
    places = rng.integers(0, max(height, width) - side + 1, tries)
    held = until[places + side] - until[places]
    enough = held > least_share * mask.size
    place = int(places[np.argmax(enough) if enough.any() else np.argmax(held)])
    along, across = slice(place, place + side), slice(0, side)
    return (along, across) if tall else (across, along)


def squashed(image: np.ndarray, mask: np.ndarray, side: int) -> tuple[np.ndarray, np.ndarray]:
    """(side, side, 3) uint8 and (side, side) bool: the image as engines resize it, the mask by the nearest pixel.

    The authors' code aligns the corners of bilinear images and not those of masks, which shifts one against the other.
    """
    small = cv2.resize(mask.astype(np.uint8), (side, side), interpolation=cv2.INTER_NEAREST_EXACT)
    return resize_image(image, (side, side)), small > 0
