# SPDX-License-Identifier: Apache-2.0
"""The experiment of Table 2: probabilities of names, and what a marked object gains."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import CLIPSegForImageSegmentation, CLIPTokenizerFast

from clipseg_ros.datasets import Sample
from clipseg_ros.evaluation import published
from clipseg_ros.evaluation.clip_reader import ClipReader, read_clip
from clipseg_ros.evaluation.passes import Job, Outcome, Pass, Passes
from clipseg_ros.evaluation.prompt_gain import PUBLISHED, TEMPLATE, Gain
from clipseg_ros.masks import resize_image
from clipseg_ros.models.masked_attention import ATTENTION_MASKS
from clipseg_ros.models.visual_prompts import VISUAL_PROMPTS
from clipseg_ros.models.weights import read_input_format
from clipseg_ros.segmentation import Prompt, Support

NAMES = ("cat", "dog", "red ball")
SENTENCES = tuple(TEMPLATE.replace("{}", name) for name in NAMES)
WAYS = [*ATTENTION_MASKS, *VISUAL_PROMPTS]


@pytest.fixture(scope="module")
def reader(tiny_weights: Path) -> ClipReader:
    return ClipReader(str(tiny_weights), "cpu", "fp32", 96)


@pytest.fixture
def support() -> Support:
    image = np.random.default_rng(0).integers(0, 256, (60, 90, 3), np.uint8)
    mask = np.zeros((60, 90), bool)
    mask[20:45, 30:70] = True
    return Support(image, mask)


def test_every_way_has_a_probability_and_they_add_up_over_the_names(reader: ClipReader, support: Support) -> None:
    found = [reader.probabilities(support, SENTENCES[index:] + SENTENCES[:index]) for index in range(3)]
    assert list(found[0]) == ["plain", *WAYS]
    for way in found[0]:
        assert sum(one[way] for one in found) == pytest.approx(1.0, abs=1e-5)


def test_a_mask_over_everything_hides_nothing(reader: ClipReader, support: Support) -> None:
    found = reader.probabilities(Support(support.image, np.ones((60, 90), bool)), SENTENCES)
    for way in (*ATTENTION_MASKS, "bg_intensity_0", "bg_blur"):
        assert found[way] == pytest.approx(found["plain"], abs=2e-3)


def test_the_probability_is_clips_own(reader: ClipReader, support: Support, tiny_weights: Path) -> None:
    clip = CLIPSegForImageSegmentation.from_pretrained(tiny_weights).clip
    pixels = read_input_format(tiny_weights).normalise(resize_image(support.image, (96, 96)))
    words = CLIPTokenizerFast.from_pretrained(tiny_weights)(list(SENTENCES), padding=True)
    with torch.inference_mode():
        out = clip(
            torch.tensor(words["input_ids"]),
            pixels,
            torch.tensor(words["attention_mask"]),
            interpolate_pos_encoding=True,
        )
    expected = out.logits_per_image.softmax(dim=1)[0, 0].item()
    assert reader.probabilities(support, SENTENCES)["plain"] == pytest.approx(expected, abs=1e-4)


def test_the_gain_is_the_mean_change_and_stands_beside_the_published_one(support: Support) -> None:
    sample = Sample(support.image, tuple(map(Prompt, NAMES)), np.stack([support.mask] * 3), "s")
    pairs = [(sample, {"plain": np.array(0.25), "crop": np.array(after)}) for after in (0.5, 0.75)]
    score = Gain().score(pairs, ())
    assert score.rows == (("crop", {"gain": 0.375, "published": 13.6}),) and score.samples == 2


def test_each_row_of_the_table_is_one_of_our_ways() -> None:
    assert set(PUBLISHED) <= set(WAYS)
    assert sorted(PUBLISHED.values()) == sorted(name for name, _ in published.table("clipseg", "table2").rows)


def test_the_benchmark_runs_over_samples_whose_first_prompt_is_the_target(
    tiny_weights: Path, support: Support, tmp_path: Path
) -> None:
    targets = np.stack([support.mask, ~support.mask, support.mask])
    sample = Sample(support.image, tuple(map(Prompt, NAMES)), targets, "s")
    job = Job("clipseg", str(tiny_weights), tmp_path, device="cpu", options={"side": 96})
    outcome = Passes(lambda root: {"": [sample]}, (Pass(Gain()),), read_clip).run(job)
    assert isinstance(outcome, Outcome) and [row.name for row in outcome.rows] == [f"ours, {way}" for way in WAYS]


def test_a_network_without_twelve_blocks_has_no_row_for_layer_11(support: Support) -> None:
    found = ClipReader("demo", "cpu", "fp32", 96).probabilities(support, ("mug", "car"))
    assert "mask_cls_layer_11" not in found and "mask_cls_all_layers" in found


def test_what_it_cannot_read_is_refused(tiny_weights: Path) -> None:
    job = Job("clipseg", str(tiny_weights), Path(), device="cpu")
    with pytest.raises(ValueError, match="engine 'car': this benchmark reads CLIP in the weights of clipseg alone"):
        read_clip(replace(job, engine="car"), {})
    with pytest.raises(ValueError, match="--option template: this benchmark has side alone"):
        read_clip(replace(job, options={"template": "{}"}), {})
    with pytest.raises(ValueError, match="--threshold 0.5: probabilities are compared"):
        Gain().settled("clipseg", 0.5)
    with pytest.raises(ValueError, match="side 100: expected a multiple of the patch size 16"):
        read_clip(replace(job, options={"side": 100}), {})
