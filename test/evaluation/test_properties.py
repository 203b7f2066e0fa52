# SPDX-License-Identifier: Apache-2.0
"""What holds for every metric, as a table: (metric, change of the data, what the change does to the number)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from clipseg_ros.evaluation.boundaries import object_score
from clipseg_ros.evaluation.confusion import Confusion, confusion
from clipseg_ros.evaluation.curves import average_precision, sweep
from clipseg_ros.evaluation.metrics import Counts, add, counts, iou_bin, iou_fg, miou, precision_at, sample_miou

CLASSES = 4
Data = list[tuple[np.ndarray, np.ndarray]]  # labels and truth, (12, 16) uint8


def matrix(data: Data) -> Confusion:
    return sum((confusion(labels, truth, CLASSES) for labels, truth in data), Confusion.empty(CLASSES))


def binary(data: Data) -> list[Counts]:
    return [counts(labels > 0, truth > 0) for labels, truth in data]


def ap(data: Data) -> float:
    return average_precision(sum(sweep(labels / CLASSES, truth > 0) for labels, truth in data))


def j_and_f(data: Data) -> float:
    return object_score([labels > 0 for labels, _ in data], [truth > 0 for _, truth in data]).j_and_f


METRICS: dict[str, Callable[[Data], float]] = {
    "IoU_FG": lambda data: iou_fg(binary(data)),
    "IoU_BIN": lambda data: iou_bin(binary(data), sum(truth.size for _, truth in data)),
    "mIoU of samples": lambda data: sample_miou(binary(data)),
    "precision at 0.8": lambda data: precision_at(binary(data), 0.8),
    "mIoU": lambda data: matrix(data).miou(),
    "mIoU detectron2": lambda data: matrix(data).miou(absent="detectron2"),
    "mIoU foreground-only": lambda data: matrix(data).foreground_only().miou(),
    "mIoU without class zero": lambda data: matrix(data).without_class_zero().miou(),
    "pAcc": lambda data: matrix(data).pacc(),
    "mAcc": lambda data: matrix(data).macc(),
    "hIoU": lambda data: matrix(data).zero_shot({3}).harmonic,
    "AP": ap,
    "J&F": j_and_f,
}
# AP may fall: a perfect image moves weight to thresholds that other images spoil.
RISING = [name for name in METRICS if name not in ("mIoU detectron2", "AP")]


def made(seed: int) -> Data:
    """Six images of four classes in blocks of 2x2 pixels, about half of them labelled right."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, CLASSES, (6, 6, 8)).astype(np.uint8)
    labels = np.where(rng.random(truth.shape) < 0.5, truth, rng.integers(0, CLASSES, truth.shape)).astype(np.uint8)
    return [tuple(np.kron(side, np.ones((2, 2), np.uint8)) for side in pair) for pair in zip(labels, truth)]


UNCHANGED: dict[str, Callable[[Data], Data]] = {
    "images in another order": lambda data: data[::-1],
    "every image twice": lambda data: data * 2,
}
POINTWISE: dict[str, Callable[[Data], Data]] = {  # a contour moves where these change neighbours or sides
    "pixels in another order": lambda data: [
        tuple(np.random.default_rng(0).permutation(side.ravel()).reshape(side.shape) for side in pair) for pair in data
    ],
    "images mirrored": lambda data: [(labels[:, ::-1], truth[:, ::-1]) for labels, truth in data],
    "images enlarged": lambda data: [tuple(side.repeat(2, 0).repeat(2, 1) for side in pair) for pair in data],
}


@pytest.mark.parametrize("change", UNCHANGED)
@pytest.mark.parametrize("name", METRICS)
def test_the_number_does_not_depend_on_order_or_repetition(name, change):
    data = made(1)
    assert METRICS[name](UNCHANGED[change](data)) == pytest.approx(METRICS[name](data), abs=1e-12)


@pytest.mark.parametrize("change", POINTWISE)
@pytest.mark.parametrize("name", [name for name in METRICS if name != "J&F"])
def test_the_number_does_not_depend_on_where_pixels_are(name, change):
    data = made(2)
    assert METRICS[name](POINTWISE[change](data)) == pytest.approx(METRICS[name](data), abs=1e-12)


@pytest.mark.parametrize("name", RISING)
def test_a_perfect_image_never_lowers_the_number(name):
    for seed in range(5):
        data = made(seed)
        truth = made(seed + 100)[0][1]
        assert METRICS[name]([*data, (truth, truth)]) >= METRICS[name](data)


def test_a_perfect_image_lowers_miou_where_it_makes_a_marked_class_count():
    absent, three = np.zeros((2, 8), np.uint8), np.zeros((2, 8), np.uint8)
    marked, three[0, 0] = np.full((2, 8), 3, np.uint8), 3
    data = [(absent, absent), (marked, absent)]
    assert METRICS["mIoU detectron2"]([*data, (three, three)]) < METRICS["mIoU detectron2"](data)


@pytest.mark.parametrize("name", METRICS)
def test_the_number_is_between_0_and_1_and_below_1_for_half_right_labels(name):
    for seed in range(5):
        assert 0 <= METRICS[name](made(seed)) <= 1
    assert METRICS[name](made(1)) < 1


@pytest.mark.parametrize("name", METRICS)
def test_the_truth_itself_has_1(name):
    data = [(truth, truth) for _, truth in made(3)]
    assert METRICS[name](data) == pytest.approx(1.0, abs=1e-12)


@pytest.mark.parametrize("name", ["mIoU foreground-only", "mIoU without class zero"])
def test_a_metric_that_chooses_pixels_by_the_truth_flatters(name):
    data = [(np.where(truth > 0, truth, 1).astype(np.uint8), truth) for _, truth in made(4)]  # all background is marked
    assert METRICS[name](data) == 1.0
    assert METRICS["mIoU"](data) < 0.7


def test_iou_bin_is_miou_of_the_two_classes():
    data = made(5)
    two = [((labels > 0).astype(np.uint8), (truth > 0).astype(np.uint8)) for labels, truth in data]
    total = sum((confusion(labels, truth, 2) for labels, truth in two), Confusion.empty(2))
    assert METRICS["IoU_BIN"](data) == pytest.approx(total.miou(), abs=1e-12)


def test_miou_of_a_matrix_is_miou_of_its_classes_counted_one_by_one():
    data = made(6)
    by_class = [add([counts(labels == each, truth == each) for labels, truth in data]) for each in range(CLASSES)]
    assert matrix(data).miou() == miou(by_class)
