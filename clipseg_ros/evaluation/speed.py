# SPDX-License-Identifier: Apache-2.0
"""How long a frame takes, with a matrix product as the measure of the machine."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from clipseg_ros.engines import Engine
from clipseg_ros.segmentation import Prompt

RUNS, SIZE = 20, 1024
HEIGHT, WIDTH = 480, 640


@dataclass(frozen=True)
class Speed:
    """Milliseconds of one text prompt on a 640x480 frame, from pixels to labels, and of a float32 product of two
    matrices of SIZE x SIZE on the same processor; its name, or the number of threads."""

    frame_ms: float
    product_ms: float
    processor: str


def measure(engine: Engine, text: str) -> Speed:
    """Medians of RUNS runs, one before them left out."""
    device = torch.device(engine.device)
    frame = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
    threads = f"CPU, {torch.get_num_threads()} threads"
    return Speed(
        _median_ms(lambda: engine.segment(frame, [Prompt(text)]).labels()),
        _median_ms(product(device)),
        torch.cuda.get_device_name(device) if device.type == "cuda" else threads,
    )


def product(device: torch.device, size: int = SIZE) -> Callable[[], float]:
    """The float32 product of two matrices of size x size, waited for."""
    left, right = (torch.randn(size, size, device=device) for _ in range(2))
    return lambda: float((left @ right)[0, 0])  # reading a number waits for a GPU


def _median_ms(run: Callable[[], object]) -> float:
    times = []
    for _ in range(1 + RUNS):
        started = time.perf_counter()
        run()
        times.append(time.perf_counter() - started)
    return 1000.0 * float(np.median(times[1:]))
