# SPDX-License-Identifier: Apache-2.0
"""Where the published recipes' examples come from, each opener a function of the recipe, the root and the split."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from clipseg_ros.datasets import DatasetError, Sample
from clipseg_ros.datasets.class_removal import pascal_fold, zero_shot
from clipseg_ros.datasets.coco20i import coco20i
from clipseg_ros.datasets.episodes import EpisodeFolder
from clipseg_ros.datasets.phrasecut import PhraseCut
from clipseg_ros.datasets.phrasecut_plus import Drawing, PhraseCutPlus, squashed
from clipseg_ros.datasets.wordnet import WordNet
from clipseg_ros.segmentation import Prompt

if TYPE_CHECKING:
    from clipseg_ros.training.published import Recipe

COCO_EPISODES = 7000 * 64
"""As many as the published runs saw: a uniform class, a uniform query of it and a uniform support each."""


def phrasecut(recipe: Recipe, root: Path, split: str) -> PhraseCutPlus:
    """root: PhraseCut's folder; where the recipe leaves classes out, with WordNet's dict files in root/wordnet.

    Raises DatasetError, ValueError.
    """
    samples = PhraseCut(root, split)
    if recipe.without:
        kind, number = recipe.without.split()
        names = {"pascal": pascal_fold, "pairs": zero_shot}[kind]
        named = names(int(number), WordNet(root / "wordnet"), substring=True)
        samples = samples.only(lambda phrase: not named(phrase))
    return PhraseCutPlus(samples, recipe.drawing)


def coco(recipe: Recipe, root: Path, split: str) -> EpisodeExamples:
    """root: COCO-20i's folder with HSNet's lists in root/splits/coco; the classes that the recipe's fold trains on.

    Raises DatasetError.
    """
    if split != "train":
        raise DatasetError(f"split {split!r} of COCO-20i: it has none but the test's; set the recipe's validation to 0")
    return EpisodeExamples(
        coco20i(root, root / "splits" / "coco", recipe.fold, "train", COCO_EPISODES, recipe.schedule.seed),
        recipe.drawing,
    )


class EpisodeExamples:
    """Examples drawn from one-shot episodes: query squashed to the square, class name in a template, support.

    A share `negatives` asks the query for the class of another episode with that episode's support; the target is what
    the query shows of it, mostly nothing. Raises ValueError where negatives are wanted of a single class.
    """

    def __init__(self, episodes: EpisodeFolder, drawing: Drawing) -> None:
        if drawing.negatives and len({episode.number for episode in episodes.episodes}) < 2:
            raise ValueError("negatives of episodes of a single class: there is no other to ask for")
        self._episodes, self._drawing = episodes, drawing

    def __len__(self) -> int:
        return len(self._episodes)

    def draw(self, index: int, rng: np.random.Generator) -> Sample:
        """An example of episode `index`: image (side, side, 3) uint8 RGB, target (1, side, side) bool, one prompt."""
        episodes, drawing = self._episodes, self._drawing
        episode = episodes.episodes[index]
        if rng.random() < drawing.negatives:
            own = episode.number
            while episode.number == own:
                other = episodes.episodes[rng.integers(len(episodes))]
                episode = episode._replace(support=other.support, number=other.number)
        sample = EpisodeFolder((episode,), episodes.names, episodes.void)[0]
        image, mask = squashed(sample.image, sample.target[0], drawing.side)
        name, support = sample.prompts[0].text, sample.prompts[0].support
        text = drawing.templates[rng.integers(len(drawing.templates))].replace("{}", name)
        prompt = Prompt(text, support, float(rng.uniform(*drawing.text_weight)), label=name)
        return Sample(image, (prompt,), mask[None], sample.name, sample.classes)
