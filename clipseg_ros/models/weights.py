# SPDX-License-Identifier: Apache-2.0
"""Where weights are found and what lies beside them: input size, normalising, tokenizer, own vocabulary.

`weights` names one of: `demo` (ships with the package), a folder in transformers' format, or a model of the Hugging
Face hub such as `CIDAS/clipseg-rd64-refined`, taken from the local cache or downloaded.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path

import numpy as np
import torch
from huggingface_hub import constants, snapshot_download
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError
from transformers import CLIPSegForImageSegmentation, CLIPTokenizerFast

from clipseg_ros.segmentation import PromptError

PATTERNS = ["*.json", "*.txt", "*.safetensors"]


class WeightsError(RuntimeError):
    """Weights that cannot be found or used; the message names them, the place looked in and the remedy."""


def demo_folder() -> Path:
    """The folder of the demo model inside the package."""
    return Path(str(files("clipseg_ros") / "data" / "demo_model"))


def find(weights: str) -> Path:
    """The folder of `weights`; asks the hub only when the cache lacks them. Raises WeightsError."""
    if weights == "demo":
        return demo_folder()
    if Path(weights).expanduser().is_dir():
        return Path(weights).expanduser()
    try:
        return Path(snapshot_download(weights, allow_patterns=PATTERNS, local_files_only=True))
    except HFValidationError:
        raise WeightsError(f"weights {weights!r}: no such folder, and no name of a model on the hub") from None
    except LocalEntryNotFoundError:
        return download(weights)


def download(weights: str) -> Path:
    """Copy a hub model into the local cache and return its folder. Raises WeightsError."""
    try:
        return Path(snapshot_download(weights, allow_patterns=PATTERNS))
    except (HfHubHTTPError, OSError, HFValidationError) as error:
        raise WeightsError(
            f"weights {weights!r}: not a folder, not in the cache {constants.HF_HUB_CACHE}, and the hub did not give "
            f"them ({type(error).__name__}). Run `python -m clipseg_ros download {weights}` where there is a network "
            "(HF_HOME names the cache), or start with weights:=demo"
        ) from error


@dataclass(frozen=True)
class InputFormat:
    """How pixels enter a network: side of the square in pixels, mean and std of RGB in [0, 1]."""

    side: int
    mean: np.ndarray = field(repr=False)
    std: np.ndarray = field(repr=False)

    def normalise(self, image: np.ndarray) -> torch.Tensor:
        """(1, 3, h, w) float32 of image (h, w, 3) uint8 RGB."""
        pixels = (image.astype(np.float32) / np.float32(255.0) - self.mean) / self.std
        return torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1)))[None]


def read_input_format(folder: Path) -> InputFormat:
    """From preprocessor_config.json or processor_config.json of the folder. Raises WeightsError."""
    for name in ("preprocessor_config.json", "processor_config.json"):
        if (folder / name).is_file():
            settings = json.loads((folder / name).read_text())
            settings = settings.get("image_processor", settings)
            size = settings["size"]
            side = size["height"] if isinstance(size, dict) else size
            mean, std = (np.array(settings[key], np.float32) for key in ("image_mean", "image_std"))
            return InputFormat(side, mean, std)
    raise WeightsError(f"{folder}: no preprocessor_config.json, so the input size and normalising are unknown")


@dataclass(frozen=True)
class OwnNotes:
    """What a model trained by this package says of itself in clipseg_ros.json; empty for anybody else's.

    vocabulary: the words it was trained on, None for an open vocabulary. threshold: calibrated score, None: unknown.
    """

    vocabulary: frozenset[str] | None = None
    threshold: float | None = None

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
    notes = json.loads(path.read_text())
    return OwnNotes(frozenset(notes["vocabulary"]), notes["threshold"])


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
    """From the tokenizer files of the folder."""
    return TextFormat(CLIPTokenizerFast.from_pretrained(folder, local_files_only=True), longest)


def load_clipseg(folder: Path, dtype: torch.dtype) -> CLIPSegForImageSegmentation:
    """transformers' network of the folder in evaluation mode. Raises WeightsError where weights are missing."""
    if not (folder / "config.json").is_file():
        raise WeightsError(f"{folder}: no config.json; expected a folder in transformers' CLIPSeg format")
    kind = json.loads((folder / "config.json").read_text()).get("model_type")
    if kind != "clipseg":
        raise WeightsError(f"{folder}: model_type {kind!r}; expected clipseg")
    network, report = CLIPSegForImageSegmentation.from_pretrained(
        folder, dtype=dtype, output_loading_info=True, local_files_only=True
    )
    missing = sorted(key for key in report["missing_keys"] if not key.endswith("position_ids"))
    if missing:
        raise WeightsError(f"{folder}: {len(missing)} weights missing, the first is {missing[0]}")
    return network.eval()
