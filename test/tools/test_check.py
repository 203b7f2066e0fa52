# SPDX-License-Identifier: Apache-2.0
"""`check`: our logits against transformers' on weights of any origin, here random ones of the published size."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from transformers import CLIPSegConfig, CLIPSegForImageSegmentation

from clipseg_ros.__main__ import main
from clipseg_ros.tools.check import draw_image, layer_sets


@pytest.fixture
def full_size_cache(tiny_weights: Path, tmp_path: Path) -> Path:
    """A hub cache with `some/clipseg`: ViT-B/16, refined head, 352 px, random; the golden network's tokenizer."""
    model = tmp_path / "models--some--clipseg"
    folder = model / "snapshots" / "0123abcd"
    (model / "refs").mkdir(parents=True)
    (model / "refs" / "main").write_text("0123abcd")
    torch.manual_seed(0)
    network = CLIPSegForImageSegmentation(
        CLIPSegConfig(
            text_config={"bos_token_id": 527, "eos_token_id": 528, "pad_token_id": 528},
            vision_config={"patch_size": 16, "image_size": 224},
            use_complex_transposed_convolution=True,
        )
    )
    network.half().save_pretrained(folder)
    for name in ("vocab.json", "merges.txt", "tokenizer_config.json", "processor_config.json"):
        shutil.copy(tiny_weights / name, folder)
    return tmp_path


def test_full_size_weights_of_the_hub_cache_agree_offline(full_size_cache: Path) -> None:
    environment = {**os.environ, "HF_HUB_CACHE": str(full_size_cache), "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, "-m", "clipseg_ros", "check", "some/clipseg", "--query", "red cup; a chair"]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=200)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "drawn: a grey gradient" in result.stdout and "squashed to 352 x 352; fp32 on cpu" in result.stdout
    assert re.findall(r"vision blocks read: (.*)", result.stdout) == ["[3, 6, 9]", "[3, 7, 9]"]
    assert all(float(number) <= 1e-4 for number in re.findall(r"difference of logits (\S+) ", result.stdout))
    assert len(re.findall(r"ours \d+\.\d\d s, transformers \d+\.\d\d s for 2 prompts", result.stdout)) == 2
    assert len(re.findall(r"(red cup|a chair) +scores [01]\.\d{3} to [01]\.\d{3}, median", result.stdout)) == 4
    assert result.stdout.endswith("agrees with transformers\n")


def test_a_picture_of_ones_own_is_taken(tiny_weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    picture = tmp_path / "mine.png"
    cv2.imwrite(str(picture), np.random.default_rng(0).integers(0, 256, (40, 90, 3), np.uint8))
    assert main(["check", str(tiny_weights), str(picture)]) == 0
    assert f"picture  {picture}, squashed to 352 x 352" in capsys.readouterr().out


@pytest.mark.parametrize(("limit", "code"), [("1e-4", 1), ("1e9", 0)])
def test_a_difference_above_the_limit_is_exit_code_1(
    tiny_copy: Path, capsys: pytest.CaptureFixture[str], limit: str, code: int
) -> None:
    """A configuration whose end token is not the tokenizer's: transformers then reads the text's vector elsewhere."""
    config = json.loads((tiny_copy / "config.json").read_text())
    config["text_config"]["eos_token_id"] = 5
    (tiny_copy / "config.json").write_text(json.dumps(config))
    assert main(["check", str(tiny_copy), "--limit", limit, "--query", "red cup; the dog"]) == code
    assert ("DOES NOT AGREE with transformers" in capsys.readouterr().out) is bool(code)


def test_weights_that_are_not_numbers_do_not_agree(tiny_copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    network = CLIPSegForImageSegmentation.from_pretrained(tiny_copy)
    network.decoder.film_mul.bias.data.fill_(torch.nan)
    network.save_pretrained(tiny_copy)
    assert main(["check", str(tiny_copy), "--query", "red cup"]) == 1
    assert "logits nan" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("own", "blocks", "expected"),
    [
        ([3, 6, 9], 12, [(3, 6, 9), (3, 7, 9)]),
        ([3, 7, 9], 12, [(3, 7, 9), (3, 6, 9)]),
        ([1, 2, 3], 4, [(1, 2, 3)]),
        ([3, 9], 12, [(3, 9)]),
    ],
)
def test_only_sets_that_the_network_is_deep_enough_for_are_compared(
    own: list[int], blocks: int, expected: list[tuple[int, ...]]
) -> None:
    tower = {"hidden_size": 8, "intermediate_size": 8, "num_attention_heads": 1}
    config = CLIPSegConfig(
        text_config={**tower, "num_hidden_layers": 1, "vocab_size": 9},
        vision_config={**tower, "num_hidden_layers": blocks},
        projection_dim=8,
        reduce_dim=8,
        extract_layers=own,
    )
    assert layer_sets(CLIPSegForImageSegmentation(config)) == expected


def test_the_drawn_picture_has_colours() -> None:
    picture = draw_image()
    assert picture.shape == (480, 640, 3) and picture.dtype == np.uint8
    assert picture[150, 150].tolist() == [200, 30, 30] and picture[150, 450].tolist() == [30, 60, 200]


@pytest.mark.parametrize(
    ("words", "message"),
    [(["none.png"], "none.png: no picture that OpenCV can read"), (["--query", ";"], "--query ';': no prompt")],
)
def test_bad_input_is_one_line_of_error(
    tiny_weights: Path, capsys: pytest.CaptureFixture[str], words: list[str], message: str
) -> None:
    assert main(["check", str(tiny_weights), *words]) == 1
    assert capsys.readouterr().err.startswith(f"clipseg_ros: error: {message}")
