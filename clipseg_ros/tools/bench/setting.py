# SPDX-License-Identifier: Apache-2.0
"""What a run of the benchmark measures on: device, threads, how much of everything, frames and prompts."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
import transformers

from clipseg_ros.datasets import tabletop
from clipseg_ros.evaluation import speed
from clipseg_ros.tools.bench import goals
from clipseg_ros.tools.bench.timing import Plan

FIRST_SEED = 60_000_000  # training takes seeds below 10 000 000
PRODUCT = "product"  # name of the reference among ways that take turns


@dataclass(frozen=True)
class Setting:
    """device: cpu, cuda or cuda:N. quick: a tiny version of everything. folder: for what is made and thrown away.
    classifier: the CLIP that judges in engine car, a name in networks.CLIPS."""

    device: str
    quick: bool
    folder: Path
    classifier: str

    @property
    def sizes(self) -> tuple[tuple[int, int], ...]:
        """(H, W) of the frames."""
        return ((48, 64), (72, 128)) if self.quick else (goals.VGA, goals.HD)

    @property
    def counts(self) -> tuple[int, ...]:
        """Numbers of prompts, one first."""
        return (1, 2) if self.quick else (1, 5, 20)

    @property
    def plan(self) -> Plan:
        """How often a frame is segmented."""
        return Plan(2, 2, 0.0) if self.quick else Plan(3, 20, 2.0, limit=8.0)

    @property
    def brief_plan(self) -> Plan:
        """How often what is less important is run."""
        return Plan(2, 2, 0.0) if self.quick else Plan(3, 10, 1.0, limit=4.0)

    def wait(self) -> None:
        """Until the device has nothing left to do."""
        if self.device.startswith("cuda"):
            torch.cuda.synchronize(self.device)

    def product(self) -> Callable[[], float]:
        """The product of matrices that evaluation.speed measures machines by."""
        return speed.product(torch.device(self.device), 64 if self.quick else speed.SIZE)

    def machine(self) -> dict[str, object]:
        """What every report says of the machine."""
        found = {
            "device": self.device, "processor": _processor(), "cores": os.cpu_count(),
            "threads": torch.get_num_threads(), "python": platform.python_version(), "torch": torch.__version__,
            "transformers": transformers.__version__, "quick": self.quick,
        }
        if self.device.startswith("cuda"):
            found["gpu"] = torch.cuda.get_device_name(self.device)
        return found


def frame(size: tuple[int, int], number: int = 0) -> np.ndarray:
    """(H, W, 3) uint8 RGB of size (H, W): a rendered scene that no training has seen."""
    return tabletop.render(tabletop.compose(FIRST_SEED + number), *size).image


def prompts(count: int) -> list[str]:
    """So many different coloured things, at most 85: of every kind before a kind comes again."""
    colours = list(tabletop.COLOURS)
    pairs = ((colours[(turn + place) % len(colours)], kind) for turn in range(5)
             for place, kind in enumerate(tabletop.KINDS))
    return [f"{colour} {kind}" for colour, kind in pairs][:count]


def label(network: str, size: tuple[int, int], count: int) -> str:
    """A case in words."""
    return f"{network}, {size[1]}x{size[0]}, N = {count}"


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Arithmetic on so many threads, 0 for the libraries' own choice, and as before afterwards."""
    before = torch.get_num_threads(), cv2.getNumThreads()
    if count:
        torch.set_num_threads(count)
        cv2.setNumThreads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before[0])
        cv2.setNumThreads(before[1])


def _processor() -> str:
    """The name of the CPU, "" where the system does not tell."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return ""
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
