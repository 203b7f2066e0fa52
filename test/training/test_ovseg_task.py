# SPDX-License-Identifier: Apache-2.0
"""What OVSeg's stages see and what of them learns."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import CLIPConfig, CLIPModel

from clipseg_ros.datasets import IGNORE, Labelled
from clipseg_ros.models.ovseg_clip import MaskedCLIP, MaskPrompts
from clipseg_ros.models.weights import TextFormat, read_text_format
from clipseg_ros.training import loop
from clipseg_ros.training.ovseg_pictures import PAD, Cropping, LabelExamples, cropped, recoloured, resized
from clipseg_ros.training.ovseg_task import CutOutTask, Drawing, proposal_pixels, truth_of
from clipseg_ros.training.schedule import Schedule

CPU = torch.device("cpu")


class Numbers:
    """Ten examples, each its number and a random one."""

    def __len__(self) -> int:
        return 10

    def draw(self, index: int, rng: np.random.Generator) -> tuple[int, float]:
        return index, rng.random()


class Halves:
    """Cut-outs that are all bright or all dark."""

    def __len__(self) -> int:
        return 8

    def draw(self, index: int, rng: np.random.Generator) -> tuple[torch.Tensor, torch.Tensor, str]:
        bright = 2.0 * (index % 2) - 1.0
        mask = torch.zeros(1, 32, 32, dtype=torch.bool)
        mask[:, :, :16] = True
        return bright * mask.expand(3, -1, -1), mask, ("cup", "jar")[index % 2]


def model(prompts: bool) -> MaskedCLIP:
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    clip = CLIPModel(CLIPConfig(
        text_config={**sizes, "vocab_size": 529, "bos_token_id": 527, "eos_token_id": 528},
        vision_config={**sizes, "patch_size": 8, "image_size": 32}, projection_dim=16,
    ))
    return MaskedCLIP(clip, MaskPrompts(2, 16, 16) if prompts else None)


@pytest.fixture(scope="module")
def texts(tiny_weights: Path) -> TextFormat:
    return read_text_format(tiny_weights, 77)


def test_an_epoch_draws_every_example_once_in_an_order_of_its_own() -> None:
    drawing = Drawing(Numbers(), 5, 0)
    epochs = [[number for step in (2 * epoch, 2 * epoch + 1) for number, _ in drawing.draw(step, 0, 1)]
              for epoch in range(2)]
    assert all(sorted(epoch) == list(range(10)) for epoch in epochs) and epochs[0] != epochs[1]


def test_processes_share_what_one_would_draw() -> None:
    drawing = Drawing(Numbers(), 4, 0)
    assert drawing.draw(3, 0, 2) + drawing.draw(3, 1, 2) == drawing.draw(3, 0, 1)
    with pytest.raises(ValueError, match="batch of 4: 3 processes cannot share it evenly"):
        drawing.draw(0, 0, 3)


@pytest.mark.parametrize(
    ("learn", "parts"),
    [(("tower",), {"scale", "vision", "projection"}), (("prompts",), {"scale", "prompts"}),
     (("tower", "prompts"), {"scale", "vision", "projection", "prompts"})],
)
def test_what_is_to_learn_changes_and_nothing_else(
    learn: tuple[str, ...], parts: set[str], texts: TextFormat, tmp_path: Path
) -> None:
    own = model("prompts" in learn)
    before = {name: weight.clone() for name, weight in own.named_parameters()}
    task = CutOutTask(own, texts, learn, Drawing(Halves(), 4, 0), CPU, template="a {}")
    assert set(task.module) == parts and task.draw(0, 0, 1).titles[0] in ("a cup", "a jar")
    loop.run(task, Schedule(2, 1e-3), tmp_path, CPU)
    changed = {name.split(".")[1] for name, weight in own.named_parameters() if not torch.equal(weight, before[name])}
    names = {"scale": "logit_scale", "vision": "vision_model", "projection": "visual_projection", "prompts": "tokens"}
    assert changed == {names[part] for part in parts}


def test_a_run_on_pairs_makes_the_loss_smaller(texts: TextFormat, tmp_path: Path) -> None:
    task = CutOutTask(model(False), texts, ("tower",), Drawing(Halves(), 2, 0), CPU)
    before = [task.loss(task.draw(step, 0, 1)).item() for step in range(4)]
    loop.run(task, Schedule(20, 3e-3), tmp_path, CPU)
    after = [task.loss(task.draw(step, 0, 1)).item() for step in range(4)]
    assert np.mean(after) < np.mean(before)


def test_what_cannot_learn_is_refused(texts: TextFormat) -> None:
    drawing = Drawing(Halves(), 4, 0)
    with pytest.raises(ValueError, match=r"learn \('text',\): expected some of tower, prompts"):
        CutOutTask(model(False), texts, ("text",), drawing, CPU)
    with pytest.raises(ValueError, match="prompts: this model has none"):
        CutOutTask(model(False), texts, ("prompts",), drawing, CPU)


def test_the_truth_has_a_mask_for_each_class_and_none_for_the_rest() -> None:
    truth = truth_of(torch.tensor([[3, IGNORE], [0, 3]]))
    assert truth.labels.tolist() == [0, 3] and truth.masks.tolist() == [[[0, 0], [1, 0]], [[1, 0], [0, 1]]]
    pixels = proposal_pixels(torch.full((1, 2, 2, 3), 255, dtype=torch.uint8))
    assert pixels.shape == (1, 3, 2, 2) and pixels[0, 0, 0, 0].item() == pytest.approx((1 - 0.485) / 0.229, rel=1e-3)


def test_the_shorter_side_is_what_is_asked_unless_the_longer_would_be_too_long() -> None:
    image = np.zeros((48, 64, 3), np.uint8)
    assert resized(image, 64, 256).shape == (64, 85, 3) and resized(image, 64, 80).shape == (60, 80, 3)


def test_crops_keep_picture_and_labels_together_and_pad_below_and_right() -> None:
    labels = np.arange(48 * 64, dtype=np.int32).reshape(48, 64) // 640
    image = np.repeat((labels * 20).astype(np.uint8)[..., None], 3, axis=2)
    for seed in range(10):
        found, classes = cropped(image, labels, Cropping(64, (32, 48, 96), 256), np.random.default_rng(seed))
        assert found.shape == (64, 64, 3) and classes.shape == (64, 64) and classes.dtype == np.int32
        inside = classes != IGNORE
        assert (found[~inside] == PAD).all() and inside[0, 0]
        assert np.abs(found[inside][:, 0].astype(int) - 20 * classes[inside]).mean() < 3


def test_examples_without_a_class_are_drawn_again() -> None:
    labels = np.full((64, 64), IGNORE, np.int32)
    labels[:8] = 1
    examples = LabelExamples([Labelled(np.zeros((64, 64, 3), np.uint8), labels, "a")], Cropping(32, (64,), 256))
    assert len(examples) == 1
    shown = [bool((examples.draw(0, np.random.default_rng(seed))[1] == 1).any()) for seed in range(20)]
    assert sum(shown) >= 18  # one crop in about four has the class


def test_colours_change_within_bounds_and_the_picture_is_not_written_to() -> None:
    image = np.full((4, 4, 3), (200, 100, 50), np.uint8)
    found = {tuple(recoloured(image, np.random.default_rng(seed))[0, 0]) for seed in range(40)}
    assert len(found) > 20 and (image == (200, 100, 50)).all()
    assert (200, 100, 50) in {tuple(recoloured(image, np.random.default_rng(seed))[0, 0]) for seed in range(200)}
