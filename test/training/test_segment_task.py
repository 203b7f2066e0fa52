# SPDX-License-Identifier: Apache-2.0
"""The published task: what a batch holds, how prompts are mixed, which weights move, and that it learns."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from clipseg_ros.models.visual_prompts import VISUAL_PROMPTS, prompt_pixels
from clipseg_ros.training import decoders, loop
from clipseg_ros.training.decoders import Architecture, Student
from clipseg_ros.training.schedule import Schedule
from clipseg_ros.training.segment_task import Sampling, SegmentTask, Source

CPU = torch.device("cpu")
VISUAL = VISUAL_PROMPTS["crop_bg_blur_intensity_10"]


def student(clip: Path, **changes: object) -> Student:
    small = {"clip": str(clip), "backbone": str(clip), "side": 64, "reduce_dim": 16, "hidden": 32}
    return decoders.build(Architecture(**{**small, **changes}), seed=0)


def task(made: Student, source: Source, **sampling: object) -> SegmentTask:
    return SegmentTask(made, source, VISUAL, Sampling(**{"batch": 8, **sampling}), CPU)


def test_a_batch_holds_what_the_source_draws(blobs: type, tiny_weights: Path) -> None:
    drawn = task(student(tiny_weights), blobs(), order="file").draw(0, 0, 1)
    sample = blobs().draw(2, np.random.default_rng([0, 0, 2]))
    prompt = sample.prompts[0]
    np.testing.assert_array_equal(drawn.images[2], sample.image)
    np.testing.assert_array_equal(drawn.targets[2], sample.target[0])
    assert drawn.texts[:4] == ["square", "circle", "square", "circle"]
    assert drawn.weights[2] == np.float32(prompt.text_weight) and (drawn.weights[1::2] == 1.0).all()
    assert drawn.supported.tolist() == [0, 2, 4, 6] and drawn.targets[1::2].sum() == 0
    expected = prompt_pixels(prompt.support, VISUAL, decoders.input_format(64), 64)
    torch.testing.assert_close(drawn.supports[1], expected)


def test_examples_of_another_size_are_squashed_to_the_input(blobs: type, tiny_weights: Path) -> None:
    batch = task(student(tiny_weights, side=96), blobs()).draw(0, 0, 1)
    assert batch.images.shape == (8, 96, 96, 3) and batch.targets.shape == (8, 96, 96)
    assert batch.supports.shape[1:] == (3, 96, 96)


def test_processes_share_the_batch_of_one(blobs: type, tiny_weights: Path) -> None:
    made = task(student(tiny_weights), blobs())
    whole, halves = made.draw(3, 0, 1), [made.draw(3, rank, 2) for rank in range(2)]
    np.testing.assert_array_equal(whole.images, np.concatenate([half.images for half in halves]))
    assert whole.texts == halves[0].texts + halves[1].texts
    with pytest.raises(ValueError, match="batch of 8: 3 processes cannot share it evenly"):
        made.draw(0, 0, 3)


@pytest.mark.parametrize("order", ["shuffled", "file"])
def test_every_epoch_sees_every_sample_and_file_keeps_the_order(blobs: type, tiny_weights: Path, order: str) -> None:
    source = blobs()
    made = task(student(tiny_weights), source, batch=5, order=order)
    for step in range(4):
        made.draw(step, 0, 1)
    epochs = np.reshape(source.drawn, (2, 10))
    assert (np.sort(epochs) == np.arange(10)).all()
    # threads draw the examples of a batch in any order
    batches = np.sort(epochs.reshape(2, 2, 5), axis=2)
    assert (batches == np.arange(10).reshape(2, 5)).all() == (order == "file")


def test_an_unknown_order_is_refused() -> None:
    with pytest.raises(ValueError, match="order 'random': expected one of shuffled, file"):
        Sampling(order="random")


@pytest.mark.parametrize("supports", [True, False])
def test_text_and_support_are_mixed_by_the_text_weight(blobs: type, tiny_weights: Path, supports: bool) -> None:
    made = student(tiny_weights)
    found = task(made, blobs(supports), order="file")
    batch = found.draw(0, 0, 1)
    model = made.model
    with torch.no_grad():
        logits, vectors = found.logits(batch), model.embed_text(*made.texts(batch.texts))
        if supports:
            images, weights = model.embed_image(batch.supports), torch.from_numpy(batch.weights)[::2, None]
            vectors[::2] = weights * vectors[::2] + (1 - weights) * images
        pixels = torch.cat([made.pixels.normalise(image) for image in batch.images])
        expected = model.decode(model.encode_image(pixels), vectors[:, None])[:, 0]
        torch.testing.assert_close(logits, expected, atol=1e-4, rtol=1e-4)
        targets = torch.from_numpy(batch.targets).float()
        torch.testing.assert_close(found.loss(batch), F.binary_cross_entropy_with_logits(expected, targets))


@pytest.mark.parametrize("engine", list(decoders.BUILDERS))
def test_only_the_fresh_parts_learn_and_they_do(blobs: type, tiny_weights: Path, tmp_path: Path, engine: str) -> None:
    layers = (9,) if engine == "clip-deconv" else (3, 7, 9)
    made = student(tiny_weights, engine=engine, extract_layers=layers)
    before = {name: tensor.clone() for name, tensor in made.model.network.state_dict().items()}
    schedule = Schedule(steps=30, learning_rate=3e-3)
    learning = task(made, blobs())
    first = float(learning.loss(learning.draw(100, 0, 1)))
    loop.run(learning, schedule, tmp_path, CPU)
    made.learned.eval()
    assert float(learning.loss(learning.draw(100, 0, 1))) < 0.95 * first
    moved = {name for name, tensor in made.model.network.state_dict().items() if not torch.equal(tensor, before[name])}
    heads = ("decoder.", "visual_projection.") if engine == "vitseg" else ("decoder.",)
    assert moved == {name for name in before if name.startswith(heads)}


def test_dropout_acts_in_training_alone(blobs: type, tiny_weights: Path) -> None:
    found = task(student(tiny_weights, dropout=0.5), blobs())
    batch = found.draw(0, 0, 1)
    with torch.no_grad():
        still = [found.logits(batch) for _ in range(2) if not found.module.eval().training]
        shaken = [found.logits(batch) for _ in range(2) if found.module.train().training]
    assert torch.equal(*still) and not torch.equal(*shaken)


def test_foreground_iou_is_that_of_the_summed_pixels(blobs: type, tiny_weights: Path) -> None:
    made = student(tiny_weights)
    found = task(made, blobs())
    made.learned.eval()
    with torch.no_grad():
        made.learned["decoder"].transposed_convolution.weight.zero_()
        made.learned["decoder"].transposed_convolution.bias.fill_(1.0)
        targets = np.concatenate([found.draw(step, 0, 1).targets for step in range(2)])
        assert found.foreground_iou(2, 0.5) == pytest.approx(targets.mean())
        assert found.foreground_iou(2, 0.9) == 0.0


def test_a_run_that_was_cut_short_continues_bit_for_bit(blobs: type, tiny_weights: Path, tmp_path: Path) -> None:
    schedule = Schedule(steps=6, learning_rate=1e-3)
    loop.run(task(student(tiny_weights), blobs()), schedule, tmp_path / "whole", CPU)

    class Cut(blobs):
        def draw(self, index: int, rng: np.random.Generator) -> object:
            if len(self.drawn) >= 8 * 5:
                raise KeyboardInterrupt
            return super().draw(index, rng)

    with pytest.raises(KeyboardInterrupt):
        loop.run(task(student(tiny_weights), Cut()), schedule, tmp_path / "cut", CPU, checkpoint_every=2)
    loop.run(task(student(tiny_weights), blobs()), schedule, tmp_path / "cut", CPU)
    paths = (tmp_path / name / "checkpoint.pt" for name in ("whole", "cut"))
    whole, cut = (torch.load(path, weights_only=True)["module"] for path in paths)
    assert all(torch.equal(tensor, cut[name]) for name, tensor in whole.items())


@pytest.mark.parametrize("engine", list(decoders.BUILDERS))
def test_mixed_precision_changes_the_loss_little(blobs: type, tiny_weights: Path, engine: str) -> None:
    """In bfloat16, which the CPU has, too; float16 is for GPUs."""
    layers = (9,) if engine == "clip-deconv" else (3, 7, 9)
    found = task(student(tiny_weights, engine=engine, extract_layers=layers, dropout=0.0), blobs())
    batch = found.draw(0, 0, 1)
    full = found.loss(batch)
    with torch.autocast("cpu", torch.bfloat16):
        rough = found.loss(batch)
    rough.backward()
    assert rough.dtype == torch.float32 and rough.item() == pytest.approx(full.item(), rel=0.05)
    assert all(weight.grad.isfinite().all() for weight in found.module.parameters() if weight.grad is not None)
