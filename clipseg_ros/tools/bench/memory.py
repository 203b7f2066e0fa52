# SPDX-License-Identifier: Apache-2.0
"""What memory a way to segment holds, at most and after many frames: each in a process of its own, since a process
never forgets."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from multiprocessing import get_context
from pathlib import Path

import torch

from clipseg_ros import engines
from clipseg_ros.segmentation import Prompt
from clipseg_ros.tools.bench import setting
from clipseg_ros.tools.bench.plain import PlainWay

FRAMES = 2  # caches are full after the first
SCENES = 8
STATUS = Path("/proc/self/status")


def peaks_mb(
    ways: Sequence[str], folder: Path, device: str, size: tuple[int, int], count: int
) -> dict[str, dict[str, float]]:
    """By way, MB of its process (`resident`) and, on a GPU, of its tensors there (`gpu`), libraries and weights
    included; the processes run at once.

    ways: `transformers` and precisions of engine clipseg. Raises OSError where the system does not tell.
    """
    with ExitStack() as stack:
        pools = [stack.enter_context(ProcessPoolExecutor(1, mp_context=get_context("spawn"))) for _ in ways]
        futures = [pool.submit(_peak, way, folder, device, size, count) for pool, way in zip(pools, ways)]
        return {way: future.result() for way, future in zip(ways, futures)}


def _peak(way: str, folder: Path, device: str, size: tuple[int, int], count: int) -> dict[str, float]:
    run = _run_of(way, folder, device, size, count)
    for _ in range(FRAMES):
        run()
    found = {"resident": resident_peak_mb()}
    if device.startswith("cuda"):
        found["gpu"] = torch.cuda.max_memory_allocated(device) / 1e6
    return found


def _run_of(way: str, folder: Path, device: str, size: tuple[int, int], count: int) -> Callable[[], object]:
    image, texts = setting.frame(size), setting.prompts(count)
    if way == "transformers":
        plain = PlainWay(folder, device, 0.5)
        return lambda: plain(image, texts)
    engine = engines.create("clipseg", str(folder), device, way)
    asked = [Prompt(text) for text in texts]
    return lambda: engine.segment(image, asked).masks()


def resident_after_mb(
    weights: str, device: str, size: tuple[int, int], count: int, frames: Sequence[int]
) -> list[float]:
    """MB of a process of its own after so many frames (rising) of engine clipseg, SCENES different ones in turn, with
    `count` prompts. Raises OSError where the system does not tell."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(_resident_after, weights, device, size, count, frames).result()


def _resident_after(
    weights: str, device: str, size: tuple[int, int], count: int, frames: Sequence[int]
) -> list[float]:
    engine, found = engines.create("clipseg", weights, device), []
    images = [setting.frame(size, number) for number in range(SCENES)]
    prompts = [Prompt(text) for text in setting.prompts(count)]
    for done in range(1, max(frames) + 1):
        engine.segment(images[done % SCENES], prompts).masks()
        if done in frames:
            found.append(_of_process_mb("VmRSS", STATUS))
    return found


def resident_peak_mb(status: Path = STATUS) -> float:
    """Of a process, since its program began; getrusage would count what its parent held. Raises OSError."""
    return _of_process_mb("VmHWM", status)


def _of_process_mb(name: str, status: Path) -> float:
    for line in status.read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024 / 1e6
    raise OSError(f"{status}: no {name}; expected what Linux says of a process")
