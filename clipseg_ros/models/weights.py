# SPDX-License-Identifier: Apache-2.0
"""What a folder of weights holds: the network, its input size and normalising, its tokenizer, notes of its own."""

from __future__ import annotations

import json
import logging
import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from safetensors import SafetensorError
from transformers import CLIPSegForImageSegmentation, CLIPTokenizerFast, PreTrainedModel
from transformers.utils import logging as transformers_logging

from clipseg_ros.models.hub import WeightsError
from clipseg_ros.segmentation import PromptError

log = logging.getLogger(__name__)
Network = TypeVar("Network", bound=PreTrainedModel)
CLIP = "clip"  # name of a folder
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # ImageNet's, as CLIPSeg and ZegCLIP use them
TOKENIZER_FILES = ("vocab.json", "merges.txt", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json")


def read_json(path: Path) -> dict:
    """The object in a JSON file. Raises WeightsError where it is missing or broken."""
    try:
        content = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise WeightsError(f"{path}: cannot be read ({error}); expected a folder in transformers' format") from error
    if not isinstance(content, dict):
        raise WeightsError(f"{path}: holds a {type(content).__name__}; expected a JSON object")
    return content


@dataclass(frozen=True)
class InputFormat:
    """How pixels enter a network: side of the square in pixels, mean and std of RGB in [0, 1]."""

    side: int
    mean: np.ndarray = field(repr=False)
    std: np.ndarray = field(repr=False)

    def normalise(self, image: np.ndarray, device: str | torch.device = "cpu") -> torch.Tensor:
        """(1, 3, h, w) float32 of image (h, w, 3) uint8 RGB, whose bytes travel to the device as they are."""
        whole = np.require(image, requirements=("C", "W"))  # torch warns of arrays that it might not write to
        return self.normalise_there(torch.from_numpy(whole).to(device))

    def normalise_there(self, image: torch.Tensor) -> torch.Tensor:
        """The same of a tensor (h, w, 3) uint8, on its device."""
        planes = image.permute(2, 0, 1).contiguous().to(torch.float32)
        mean, std = (torch.from_numpy(values).to(image.device)[:, None, None] for values in (self.mean, self.std))
        return planes.div_(255.0).sub_(mean).div_(std)[None]


def read_input_format(folder: Path) -> InputFormat:
    """From preprocessor_config.json or processor_config.json of the folder. Raises WeightsError."""
    for name in ("preprocessor_config.json", "processor_config.json"):
        if (folder / name).is_file():
            settings = read_json(folder / name)
            settings = settings.get("image_processor", settings)
            size, mean, std = (settings.get(key) for key in ("size", "image_mean", "image_std"))
            side = size.get("height", size.get("shortest_edge")) if isinstance(size, dict) else size
            if not isinstance(side, int) or mean is None or std is None:
                expected = "size.height, image_mean and image_std (a CLIP may have size.shortest_edge)"
                raise WeightsError(f"{folder / name}: expected {expected}")
            return InputFormat(side, np.array(mean, np.float32), np.array(std, np.float32))
    raise WeightsError(f"{folder}: no preprocessor_config.json, so the input size and normalising are unknown")


def write_input_format(folder: Path, side: int, mean: Sequence[float] = MEAN, std: Sequence[float] = STD) -> None:
    """preprocessor_config.json: a square of `side` pixels, normalised by mean and std of RGB in [0, 1]."""
    (folder / "preprocessor_config.json").write_text(json.dumps({
        "image_processor_type": "ViTImageProcessor", "do_resize": True, "do_rescale": True, "do_normalize": True,
        "size": {"height": side, "width": side}, "resample": 2, "image_mean": mean, "image_std": std,
    }, indent=2) + "\n")


def clip_folder(folder: Path) -> Path:
    """Where a model whose towers went on to learn masks keeps the CLIP that they were, `folder`/clip; else `folder`."""
    return folder / CLIP if (folder / CLIP).is_dir() else folder


@dataclass(frozen=True)
class OwnNotes:
    """What a model trained by this package says of itself in clipseg_ros.json; empty for anybody else's.

    vocabulary: the words it was trained on, None for an open vocabulary. threshold: calibrated score, None: unknown.
    presence: calibrated strength of logits below which a prompt is not there (see models.presence), None: not judged.
    support_side: side in pixels at which its vision tower saw single objects, None: that of the input. keep_aspect:
    whether it was trained on pictures as they are, not squashed to squares.
    """

    vocabulary: frozenset[str] | None = None
    threshold: float | None = None
    support_side: int | None = None
    keep_aspect: bool = False
    presence: float | None = None

    def unknown_words(self, text: str) -> tuple[str, ...]:
        """The words of text, lower-case and in order, that the model never saw; () for an open vocabulary."""
        if self.vocabulary is None:
            return ()
        return tuple(word for word in re.findall(r"\w+", text.lower()) if word not in self.vocabulary)


def read_notes(folder: Path) -> OwnNotes:
    """clipseg_ros.json of the folder, or empty notes where there is none."""
    path = folder / "clipseg_ros.json"
    if not path.is_file():
        return OwnNotes()
    notes = read_json(path)
    vocabulary = notes.get("vocabulary")
    words = None if vocabulary is None else frozenset(vocabulary)
    return OwnNotes(words, notes.get("threshold"), notes.get("support_side"), notes.get("keep_aspect", False),
                    notes.get("presence"))


@dataclass(frozen=True)
class TextFormat:
    """How texts enter a network: its tokenizer and the longest text it takes, in tokens with start and end."""

    tokenizer: CLIPTokenizerFast
    longest: int

    def __call__(self, texts: list[str]) -> tuple[torch.Tensor, torch.Tensor]:
        """Token ids (N, L) int64 padded on the right, and their lengths (N,). Raises PromptError where too long."""
        rows = self.tokenizer(texts)["input_ids"]
        for text, row in zip(texts, rows):
            if len(row) > self.longest:
                raise PromptError(f"text of {len(row)} tokens: the model takes {self.longest}; shorten {text!r}")
        lengths = torch.tensor([len(row) for row in rows])
        ids = torch.nn.utils.rnn.pad_sequence([torch.tensor(row) for row in rows], batch_first=True)
        return ids, lengths


def read_text_format(folder: Path, longest: int) -> TextFormat:
    """From the tokenizer files of the folder. Raises WeightsError where there are none."""
    # Without its files transformers makes an empty tokenizer, for which every word is unknown, and says nothing.
    if not ((folder / "tokenizer.json").is_file() or all((folder / n).is_file() for n in ("vocab.json", "merges.txt"))):
        raise WeightsError(f"{folder}: no tokenizer; expected tokenizer.json, or vocab.json and merges.txt")
    return TextFormat(CLIPTokenizerFast.from_pretrained(folder, local_files_only=True), longest)


def copy_tokenizer(source: Path, folder: Path) -> None:
    """The files that read_text_format reads, from one folder into another."""
    for name in TOKENIZER_FILES:
        if (source / name).is_file():
            shutil.copyfile(source / name, folder / name)


def load_clipseg(folder: Path, dtype: torch.dtype) -> CLIPSegForImageSegmentation:
    """transformers' CLIPSeg of the folder in evaluation mode. Raises WeightsError where it is none or incomplete."""
    return load_network(CLIPSegForImageSegmentation, "clipseg", folder, dtype)


def load_network(kind: type[Network], model_type: str, folder: Path, dtype: torch.dtype) -> Network:
    """A network of transformers whose config.json says `model_type`, in evaluation mode, with every weight in place.

    Raises WeightsError; weights that the network has no place for are warned of.
    """
    found = read_json(folder / "config.json").get("model_type")
    if found != model_type:
        raise WeightsError(f"{folder}: model_type {found!r}; expected {model_type}")
    try:
        with _silent_transformers():
            network, report = kind.from_pretrained(
                folder, dtype=dtype, output_loading_info=True, local_files_only=True, ignore_mismatched_sizes=True
            )
    except (OSError, SafetensorError) as error:
        raise WeightsError(f"{folder}: weights cannot be read ({error}); copy or download them again") from error
    wrong = {key: "missing" for key in report["missing_keys"] if not key.endswith("position_ids")}
    wrong.update({key: f"of shape {[*found]}, not {[*wanted]}" for key, found, wanted in report["mismatched_keys"]})
    if wrong:
        first = min(wrong)
        raise WeightsError(
            f"{folder}: {len(wrong)} weights do not fit config.json; the first, {first}, is {wrong[first]}"
        )
    if unused := report["unexpected_keys"]:
        log.warning("%s: %d weights unused, such as %s", folder, len(unused), min(unused))
    return network.eval()


@contextmanager
def _silent_transformers() -> Iterator[None]:
    """Without transformers' progress bar and table of keys; what is wrong with the keys is raised instead."""
    verbosity, bars = transformers_logging.get_verbosity(), transformers_logging.is_progress_bar_enabled()
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        transformers_logging.set_verbosity(verbosity)
        if bars:
            transformers_logging.enable_progress_bar()
