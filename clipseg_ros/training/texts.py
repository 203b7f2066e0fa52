# SPDX-License-Identifier: Apache-2.0
"""Stage `texts`: a fresh text tower learns the vectors that stage `joint` arrived at.

The old one knows its pairs of colour and object by heart: a loss made the vectors of those in training sums of
both, and those of the held-out ones stray from the sums. One that starts anew, from weights that decay fast, takes the
simpler way to the same vectors and strays far less; the old one, decayed as fast, would not (the numbers stand in the
README of the demo model).
"""

from __future__ import annotations

import numpy as np
import torch
from torch import nn
from transformers import CLIPTokenizerFast

from clipseg_ros.models.clipseg import CLIPSeg
from clipseg_ros.training import network
from clipseg_ros.training.batches import PREFIXES, PhraseBook, tokens_of
from clipseg_ros.training.recipes import Recipe


class TextTask:
    """The text tower and its projection, with their squared distance from what the model's own say of the book's
    phrases. Puts fresh weights into the model."""

    def __init__(
        self, recipe: Recipe, model: CLIPSeg, words: CLIPTokenizerFast, book: PhraseBook, device: torch.device
    ) -> None:
        self._seed, self._model, self._texts = recipe.texts.seed, model, tokens_of(book, words, device)
        with torch.no_grad():
            self._wanted = [self._vectors(prefix) for prefix in range(len(PREFIXES))]
        clip, fresh = model.network.clip, network.initialise(model.network.config, self._seed).clip
        self.module = nn.ModuleDict({name: getattr(clip, name) for name in ("text_model", "text_projection")})
        for name, module in self.module.items():
            module.load_state_dict(getattr(fresh, name).state_dict())
        self.module.requires_grad_(True)

    def draw(self, step: int, rank: int, ranks: int) -> int:
        """The number in PREFIXES of what stands before all phrases of a step."""
        return int(np.random.default_rng([self._seed, 4, step]).integers(len(PREFIXES)))

    def loss(self, batch: int) -> torch.Tensor:
        """The squared distance, mean over the phrases."""
        return (self._vectors(batch).float() - self._wanted[batch]).square().sum(-1).mean()

    def _vectors(self, prefix: int) -> torch.Tensor:
        texts = self._texts[prefix]
        return self._model.embed_text(texts["input_ids"], texts["attention_mask"].sum(1))
