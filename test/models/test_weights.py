# SPDX-License-Identifier: Apache-2.0
"""What is read from a folder of weights, and what is said when it is damaged."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers.utils import logging as transformers_logging

from clipseg_ros.models import weights
from clipseg_ros.models.hub import WeightsError
from clipseg_ros.segmentation import PromptError


def edit(path: Path, **changes: object) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:1000])


def lose_a_key(path: Path) -> None:
    tensors = load_file(path)
    del tensors["decoder.film_mul.bias"]
    save_file(tensors, path, {"format": "pt"})


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda folder: (folder / "config.json").unlink(), "config.json: cannot be read"),
        (lambda folder: (folder / "config.json").write_text("{"), "config.json: cannot be read"),
        (lambda folder: (folder / "config.json").write_text("[]"), "config.json: holds a list; expected a JSON object"),
        (lambda folder: edit(folder / "config.json", model_type="clip"), "model_type 'clip'; expected clipseg"),
        (
            lambda folder: edit(folder / "config.json", reduce_dim=8),
            r"the first, decoder.film_add.bias, is of shape \[16\], not \[8\]",
        ),
        (lambda folder: (folder / "model.safetensors").unlink(), "weights cannot be read .* download them again"),
        (lambda folder: truncate(folder / "model.safetensors"), "weights cannot be read .* download them again"),
        (
            lambda folder: lose_a_key(folder / "model.safetensors"),
            "1 weights do not fit .* decoder.film_mul.bias, is missing",
        ),
    ],
)
def test_a_damaged_folder_is_refused(tiny_copy: Path, damage: Callable[[Path], object], message: str) -> None:
    damage(tiny_copy)
    with pytest.raises(WeightsError, match=message):
        weights.load_clipseg(tiny_copy, torch.float32)


def test_unused_weights_are_warned_of(tiny_copy: Path, caplog: pytest.LogCaptureFixture) -> None:
    tensors = load_file(tiny_copy / "model.safetensors")
    save_file({**tensors, "decoder.reduce.bias": torch.zeros(3)}, tiny_copy / "model.safetensors", {"format": "pt"})
    weights.load_clipseg(tiny_copy, torch.float32)
    assert "1 weights unused, such as decoder.reduce.bias" in caplog.text


def test_weights_in_pytorchs_own_format_load(tiny_copy: Path, tiny_weights: Path) -> None:
    torch.save(load_file(tiny_copy / "model.safetensors"), tiny_copy / "pytorch_model.bin")
    (tiny_copy / "model.safetensors").unlink()
    first, second = (weights.load_clipseg(folder, torch.float32).state_dict() for folder in (tiny_copy, tiny_weights))
    assert all(torch.equal(first[key], second[key]) for key in second)


@pytest.fixture
def talking() -> Iterator[None]:
    """transformers as a user has it, with bars and warnings."""
    bars, verbosity = transformers_logging.is_progress_bar_enabled(), transformers_logging.get_verbosity()
    transformers_logging.enable_progress_bar()
    transformers_logging.set_verbosity_warning()
    yield
    transformers_logging.set_verbosity(verbosity)
    if not bars:
        transformers_logging.disable_progress_bar()


def test_loading_is_silent_and_leaves_transformers_as_it_was(
    tiny_weights: Path, capfd: pytest.CaptureFixture[str], talking: None
) -> None:
    weights.load_clipseg(tiny_weights, torch.float32)
    assert capfd.readouterr() == ("", "")
    assert transformers_logging.is_progress_bar_enabled()
    assert transformers_logging.get_verbosity() == transformers_logging.WARNING


@pytest.mark.parametrize("name", ["preprocessor_config.json", "processor_config.json"])
def test_the_input_format_is_read_from_both_layouts(tiny_copy: Path, name: str) -> None:
    settings = json.loads((tiny_copy / "processor_config.json").read_text())
    (tiny_copy / "processor_config.json").unlink()
    (tiny_copy / name).write_text(json.dumps(settings if name.startswith("proc") else settings["image_processor"]))
    found = weights.read_input_format(tiny_copy)
    assert found.side == 352
    np.testing.assert_allclose([found.mean, found.std], [[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]])


def test_pixels_are_normalised_and_keep_their_place() -> None:
    form = weights.InputFormat(352, np.array([0.5, 0.0, 1.0], np.float32), np.array([0.5, 1.0, 2.0], np.float32))
    image = np.array([[[255, 51, 0], [0, 0, 255]]], np.uint8)
    pixels = form.normalise(image)
    assert pixels.shape == (1, 3, 1, 2) and pixels.dtype == torch.float32
    np.testing.assert_allclose(pixels[0, :, 0], [[1.0, -1.0], [0.2, 0.0], [-0.5, 0.0]], atol=1e-7)


def test_an_unknown_input_format_is_refused(tiny_copy: Path) -> None:
    (tiny_copy / "processor_config.json").write_text('{"size": {"shortest_edge": 352}}')
    with pytest.raises(WeightsError, match="processor_config.json: expected size.height, image_mean and image_std"):
        weights.read_input_format(tiny_copy)
    (tiny_copy / "processor_config.json").unlink()
    with pytest.raises(WeightsError, match="no preprocessor_config.json"):
        weights.read_input_format(tiny_copy)


@pytest.mark.parametrize("files", [["tokenizer.json"], ["vocab.json", "merges.txt"]])
def test_either_layout_of_the_tokenizer_will_do(tiny_copy: Path, files: list[str]) -> None:
    for name in {"tokenizer.json", "vocab.json", "merges.txt"} - set(files):
        (tiny_copy / name).unlink()
    ids, lengths = weights.read_text_format(tiny_copy, 77)(["red cup", "the dog's cup"])
    assert ids.tolist() == [[527, 524, 526, 528, 0, 0, 0], [527, 513, 522, 6, 338, 526, 528]]
    assert lengths.tolist() == [4, 7]


def test_a_folder_without_tokenizer_is_refused(tiny_copy: Path) -> None:
    for name in ("tokenizer.json", "merges.txt"):
        (tiny_copy / name).unlink()
    with pytest.raises(WeightsError, match="no tokenizer; expected tokenizer.json, or vocab.json and merges.txt"):
        weights.read_text_format(tiny_copy, 77)


def test_a_text_longer_than_the_network_takes_is_refused(tiny_weights: Path) -> None:
    tokenize = weights.read_text_format(tiny_weights, 8)
    assert tokenize(["x" * 6])[1].tolist() == [8]
    with pytest.raises(PromptError, match=re.escape("text of 9 tokens: the model takes 8; shorten 'xxxxxxx'")):
        tokenize(["cup", "x" * 7])


def test_anybody_elses_model_has_no_notes(tiny_weights: Path) -> None:
    notes = weights.read_notes(tiny_weights)
    assert notes == weights.OwnNotes(None, None) and notes.unknown_words("a cup") == ()


def test_words_outside_the_notes_vocabulary_are_unknown(tiny_copy: Path) -> None:
    (tiny_copy / "clipseg_ros.json").write_text('{"vocabulary": ["red", "cup"], "threshold": 0.4}')
    notes = weights.read_notes(tiny_copy)
    assert notes.threshold == 0.4 and notes.support_side is None
    assert notes.unknown_words("Red teapot-cup, blue!") == ("teapot", "blue")
