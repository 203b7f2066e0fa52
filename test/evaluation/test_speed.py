# SPDX-License-Identifier: Apache-2.0
"""The clock beside the model's table."""

from __future__ import annotations

import time
from types import SimpleNamespace

import numpy as np

from clipseg_ros.evaluation import speed


class Slow:
    """Takes 3 ms until its labels are asked for, 60 ms the first time."""

    device = "cpu"

    def __init__(self) -> None:
        self.frames: list[tuple[int, ...]] = []

    def segment(self, image: np.ndarray, prompts: list[object]) -> SimpleNamespace:
        self.frames.append(image.shape)
        pause = 0.003 if len(self.frames) > 1 else 0.06
        return SimpleNamespace(labels=lambda: time.sleep(pause))


def test_the_median_of_a_vga_frame_leaves_the_first_out_and_waits_for_the_labels() -> None:
    engine = Slow()
    found = speed.measure(engine, "mug")
    assert set(engine.frames) == {(480, 640, 3)} and len(engine.frames) == 1 + speed.RUNS
    assert 3.0 <= found.frame_ms < 60.0 and found.product_ms > 0.0 and "threads" in found.processor
