# SPDX-License-Identifier: Apache-2.0
"""What ZegCLIP learns from: views of pictures, labels by setting, and who fills in what is unseen."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from clipseg_ros.datasets import DatasetError, Labelled, tabletop
from clipseg_ros.models.weights import InputFormat
from clipseg_ros.models.zegclip import Shape
from clipseg_ros.training import zegclip_sources, zegclip_student
from clipseg_ros.training.zegclip_losses import IGNORED, LOSSES, UNSEEN, binary
from clipseg_ros.training.zegclip_sources import LabelViews, SceneCuts
from clipseg_ros.training.zegclip_task import ZegCLIPTask
from clipseg_ros.training.zegclip_views import Views, distort, draw_view

FORM = InputFormat(64, np.zeros(3, np.float32), np.ones(3, np.float32))
CPU = torch.device("cpu")


class Quarters:
    """Five pictures of four classes, one a quarter, the last of them unseen; a row is ignored."""

    classes = ("cat", "dog", "bird", "cow")

    def __len__(self) -> int:
        return 5

    def __getitem__(self, index: int) -> Labelled:
        labels = np.array([[0, 1], [2, 3]], np.int32).repeat(32, 0).repeat(32, 1)
        labels[0] = -1
        return Labelled(np.full((64, 64, 3), 50 * index, np.uint8), labels, str(index))


def task(weights: Path, setting: str, loss: str = "focal+dice", batch: int = 2) -> ZegCLIPTask:
    shape = Shape(prompts=2, heads=4, hidden=32, side=64)
    student = zegclip_student.build(str(weights), shape, False, "{}", seed=0)
    views = Views(side=64, scales=(1.0, 1.0))
    source = LabelViews(Quarters(), (3,), setting == "full", views, FORM)
    return ZegCLIPTask(student, source, setting, loss, batch, 0, CPU)


@pytest.mark.parametrize(
    ("setting", "values", "classes"),
    [("inductive", {UNSEEN, 0, 1, 2, IGNORED}, 3), ("transductive", {UNSEEN, 0, 1, 2, IGNORED}, 4),
     ("self-training", {UNSEEN, 0, 1, 2, IGNORED}, 4), ("full", {0, 1, 2, 3, IGNORED}, 4)],
)
def test_the_setting_decides_labels_and_classes(
    setting: str, values: set[int], classes: int, tiny_weights: Path
) -> None:
    one = task(tiny_weights, setting)
    batch = one.draw(0, 0, 1)
    assert set(batch.labels.unique().tolist()) == values and batch.pixels.shape == (2, 3, 64, 64)
    assert len(one._texts) == classes and batch.spans is None


def test_seen_classes_behind_an_unseen_one_move_up(tiny_weights: Path) -> None:
    one = task(tiny_weights, "inductive")
    one._source = replace(one._source, unseen=(1,))
    moved = ZegCLIPTask(
        zegclip_student.build(str(tiny_weights), Shape(heads=4, side=64), False, "{}", 0), one._source, "inductive",
        "binary", 2, 0, CPU,
    )
    assert moved._table[[0, 1, 2, 3, IGNORED]].tolist() == [0, UNSEEN, 1, 2, IGNORED]
    torch.testing.assert_close(moved._texts[1:], task(tiny_weights, "full")._texts[2:])


def test_processes_see_the_batch_of_one_and_a_step_is_drawn_alike(tiny_weights: Path) -> None:
    one = task(tiny_weights, "inductive", batch=4)
    whole, parts = one.draw(3, 0, 1), [one.draw(3, rank, 2) for rank in (0, 1)]
    assert torch.equal(whole.pixels, torch.cat([part.pixels for part in parts]))
    assert torch.equal(whole.labels, torch.cat([part.labels for part in parts]))
    assert not torch.equal(whole.pixels, one.draw(4, 0, 1).pixels)
    with pytest.raises(ValueError, match="batch of 4: 3 processes cannot share it evenly"):
        one.draw(0, 0, 3)


def test_self_training_asks_who_it_was_and_transduction_who_it_is(tiny_weights: Path) -> None:
    changed = {}
    for setting in ("self-training", "transductive"):
        one = task(tiny_weights, setting)
        one._source = replace(one._source, unseen=(2, 3))
        one = ZegCLIPTask(one._student, one._source, setting, "focal+dice", 2, 0, CPU)
        batch = one.draw(0, 0, 1)
        before = one.guesses(batch).clone()
        assert set(before[batch.labels == UNSEEN].tolist()) <= {2, 3}
        assert torch.equal(before[batch.labels != UNSEEN], batch.labels[batch.labels != UNSEEN])
        with torch.no_grad():
            for weight in one.module["decoder"].reader.q.parameters():
                weight.neg_()
        changed[setting] = not torch.equal(before, one.guesses(batch))
    assert changed == {"self-training": False, "transductive": True}


@pytest.mark.parametrize("loss", LOSSES)
def test_every_loss_reaches_what_learns_and_nothing_else(loss: str, tiny_weights: Path) -> None:
    one = task(tiny_weights, "inductive", loss)
    one.loss(one.draw(0, 0, 1)).backward()
    assert all(weight.grad is not None and weight.grad.isfinite().all() for weight in one.module.parameters())
    assert all(weight.grad is None for weight in one._student.model.network.clip.parameters())


def test_even_chances_cost_ln_2_a_map_in_the_plain_loss() -> None:
    labels = torch.tensor([[[0, 0, IGNORED, UNSEEN]]])
    assert binary(torch.zeros(1, 3, 1, 4), labels).item() == pytest.approx(3.0 * np.log(2.0))


@pytest.mark.parametrize(
    ("setting", "loss", "message"),
    [("zero-shot", "binary", "setting 'zero-shot': expected one of inductive, transductive, self-training, full"),
     ("full", "l2", r"loss 'l2': expected one of focal\+dice, binary, exclusive")],
)
def test_an_unknown_setting_or_loss_is_refused(setting: str, loss: str, message: str, tiny_weights: Path) -> None:
    with pytest.raises(ValueError, match=message):
        task(tiny_weights, setting, loss)


def test_a_view_is_filled_up_and_labels_move_with_pixels() -> None:
    labels = np.arange(40, dtype=np.int16).repeat(30).reshape(40, 30) // 10
    image = (60 * labels[..., None] + np.zeros(3)).astype(np.uint8)
    for seed in range(8):
        rng = np.random.default_rng(seed)
        pixels, found = draw_view(image, labels, (), Views(side=64, scales=(0.5, 0.5)), FORM, rng)
        inside = found != IGNORED
        assert inside.any() and not inside.all() and not pixels[:, ~inside].any()
        assert inside.any(axis=0).sum() == 32 and inside.any(axis=1).sum() == 43
        means = [pixels.mean(axis=0)[found == label].mean() for label in range(4)]
        assert means == sorted(means) and means[0] < means[3]


def test_a_cut_out_is_drawn_again_where_one_class_fills_it() -> None:
    labels = np.zeros((64, 640), np.int16)
    labels[:, 600:] = 1
    views, image = Views(side=64, longest=20, scales=(1.0, 1.0)), np.zeros((64, 640, 3), np.uint8)

    def both(hidden: tuple[int, ...]) -> float:
        """The share of the cut-outs that show both classes; one draw in 14 does."""
        drawn = [draw_view(image, labels, hidden, views, FORM, np.random.default_rng(seed))[1] for seed in range(60)]
        assert all(one.shape == (64, 64) for one in drawn)
        return np.mean([len(np.unique(one)) > 1 for one in drawn])

    assert both(()) > 0.35 and both((1,)) < 0.25  # what is hidden does not decide


def test_colours_are_distorted_and_the_picture_is_not_written_to() -> None:
    image = np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8)
    kept = image.copy()
    changed = [distort(image, np.random.default_rng(seed)) for seed in range(12)]
    assert (image == kept).all() and all(one.dtype == np.uint8 and one.shape == image.shape for one in changed)
    assert len({one.tobytes() for one in changed}) > 8


def test_scenes_are_cut_where_an_object_is_and_told_their_place() -> None:
    pool = np.zeros((2, 120, 160, 4), np.uint8)
    pool[:, 50:70, 100:120] = (200, 200, 200, 1)  # a mug
    source = SceneCuts(pool, Views(side=32), FORM, patch=8, told=False)
    for seed in range(6):
        pixels, labels, span = source.draw(seed % 2, np.random.default_rng(seed))
        assert pixels.shape == (3, 32, 32) and set(np.unique(labels)) <= {0, IGNORED} and (labels == 0).any()
        bright = pixels.mean(axis=0)[2::4, 2::4] > 0.4
        assert labels.shape == (8, 8) and (bright == (labels == 0)).mean() > 0.9
        top, left, height, width = span
        assert 0.0 <= top <= 1.0 - height and 0.0 <= left <= 1.0 - width and height == 32 / 56 and width == 32 / 72


def test_scenes_are_not_cut_where_an_unseen_kind_is_unless_it_is_told() -> None:
    pool = np.zeros((1, 120, 160, 4), np.uint8)
    pool[:, 50:70, 20:40, 3], pool[:, 50:70, 120:140, 3] = 1, tabletop.class_id("stool", "red")
    for told in (False, True):
        source = SceneCuts(pool, Views(side=16), FORM, patch=8, told=told)
        drawn = [source.draw(0, np.random.default_rng(seed)).labels for seed in range(20)]
        assert any((labels == source.unseen[0]).any() for labels in drawn) is told


@pytest.mark.parametrize(
    ("name", "missing"), [("voc", "trainaug.txt"), ("coco", "train2017"), ("context", "SegmentationContext/train.txt")]
)
def test_a_data_set_that_is_missing_is_named(name: str, missing: str, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=missing):
        getattr(zegclip_sources, name)(tmp_path, Views(), FORM, 16, False)
