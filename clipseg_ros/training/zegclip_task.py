# SPDX-License-Identifier: Apache-2.0
"""ZegCLIP's task: the mask of every class in play at once, with unseen classes kept from it, or guessed.

    inductive      seen classes alone are in play; pixels of unseen ones are pixels without a class
    transductive   all classes are in play; pixels of unseen ones, known to be such, take the unseen class that the
                   network itself finds most probable in each step: the self-training of the authors' code, which the
                   paper marks with a dagger
    self-training  the same with the network as it was when this began, which never changes: our reading of the paper's
                   plain ST, which the code lacks, but for files of labels being made beforehand from whole pictures
    full           all classes are in play and known
"""

from __future__ import annotations

import copy
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple, Protocol

import numpy as np
import torch

from clipseg_ros.training.distributed import share_of
from clipseg_ros.training.zegclip_losses import LOSSES, UNSEEN, pseudo_labels
from clipseg_ros.training.zegclip_student import Student

SETTINGS = ("inductive", "transductive", "self-training", "full")
EPOCHS = 2**31  # no place in a batch, so that orders and examples draw from different generators


class Example(NamedTuple):
    """Normalised pixels (3, s, s) float32, labels (t, t) integers: class numbers or IGNORED, and the span (4,) of a
    whole picture that the pixels are to be taken for, see ZegCLIP.encode_image; all of it where that is not to be told.
    """

    pixels: np.ndarray
    labels: np.ndarray
    span: tuple[float, float, float, float] | None = None


class Source(Protocol):
    """Pictures with label maps, drawn anew whenever they are asked for. unseen: numbers of `classes`."""

    classes: tuple[str, ...]
    unseen: tuple[int, ...]

    def __len__(self) -> int:
        """Number of pictures."""

    def draw(self, index: int, rng: np.random.Generator) -> Example:
        """An example of picture `index`."""


@dataclass(frozen=True, eq=False)
class Batch:
    """pixels (B, 3, s, s) float32, labels (B, t, t) int64 as zegclip_losses has them, spans (B, 4) or None."""

    pixels: torch.Tensor
    labels: torch.Tensor
    spans: torch.Tensor | None


class ZegCLIPTask:
    """A Task of the loop: one of LOSSES in one of SETTINGS, for `batch` examples of all processes together.

    Examples are shuffled anew every epoch and depend on (seed, step, place in the batch) alone. Raises ValueError for
    another loss or setting.
    """

    def __init__(
        self, student: Student, source: Source, setting: str, loss: str, batch: int, seed: int, device: torch.device
    ) -> None:
        for name, value, known in (("setting", setting, SETTINGS), ("loss", loss, tuple(LOSSES))):
            if value not in known:
                raise ValueError(f"{name} {value!r}: expected one of {', '.join(known)}")
        student.model.network.to(device)
        self.module, self._student, self._device = student.learned, student, device
        self._source, self._setting, self._loss, self._batch, self._seed = source, setting, LOSSES[loss], batch, seed
        self._teacher = copy.deepcopy(student.model).eval() if setting == "self-training" else None
        self._seen = [number for number in range(len(source.classes)) if number not in source.unseen]
        in_play = self._seen if setting == "inductive" else range(len(source.classes))
        self._texts = student.encode([source.classes[number] for number in in_play])
        self._table = self._relabelling()
        self._threads = ThreadPoolExecutor(os.cpu_count() or 1)
        self._permutation = lru_cache(maxsize=2)(self._permute)

    def draw(self, step: int, rank: int, ranks: int) -> Batch:
        """The share of process `rank`. Raises ValueError where the processes cannot share the batch evenly."""
        share = share_of(self._batch, ranks)
        first = step * self._batch + rank * share
        examples = list(self._threads.map(self._example, range(first, first + share)))
        spans = [example.span for example in examples]
        return Batch(
            torch.from_numpy(np.stack([example.pixels for example in examples])),
            torch.from_numpy(self._table[np.stack([example.labels for example in examples])]),
            None if spans[0] is None else torch.tensor(spans, dtype=torch.float32),
        )

    def loss(self, batch: Batch) -> torch.Tensor:
        """The scalar to be made small."""
        logits = self._logits(self._student.model, batch)
        return self._loss(logits, self._filled(batch, logits))

    @torch.no_grad()
    def guesses(self, batch: Batch) -> torch.Tensor:
        """The labels (B, t, t) that the loss is taken against now."""
        return self._filled(batch, self._logits(self._student.model, batch))

    def _filled(self, batch: Batch, logits: torch.Tensor) -> torch.Tensor:
        labels = batch.labels.to(self._device)
        if self._teacher is not None:
            with torch.no_grad():
                return pseudo_labels(self._logits(self._teacher, batch), labels, self._seen)
        return pseudo_labels(logits, labels, self._seen) if self._setting == "transductive" else labels

    def _logits(self, model: torch.nn.Module, batch: Batch) -> torch.Tensor:
        spans = None if batch.spans is None else batch.spans.to(self._device)
        return model.decode(model.encode_image(batch.pixels.to(self._device), spans), self._texts).float()

    def _relabelling(self) -> np.ndarray:
        """(256,) int64: what a label of the source becomes here."""
        table = np.arange(256)
        if self._setting != "full":
            table[list(self._source.unseen)] = UNSEEN
        if self._setting == "inductive":
            table[self._seen] = np.arange(len(self._seen))
        return table

    def _example(self, place: int) -> Example:
        epoch, index = divmod(place, len(self._source))
        rng = np.random.default_rng([self._seed, *divmod(place, self._batch)])
        return self._source.draw(int(self._permutation(epoch)[index]), rng)

    def _permute(self, epoch: int) -> np.ndarray:
        return np.random.default_rng([self._seed, epoch, EPOCHS]).permutation(len(self._source))
