# SPDX-License-Identifier: Apache-2.0
"""The one training loop: seeded by step, so that a run that was cut short continues as if it had not been."""

from __future__ import annotations

import csv
import math
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import nn
from tqdm import tqdm

CHECKPOINT_EVERY = 500  # steps


@dataclass(frozen=True)
class Schedule:
    """AdamW for `steps`: the rate rises linearly for warm_up steps and falls on a cosine to final_rate.

    clip: largest norm of the gradient, 0 for no limit. amp: mixed precision on a GPU; the CPU keeps float32.
    """

    steps: int
    learning_rate: float
    final_rate: float = 0.0
    warm_up: int = 0
    weight_decay: float = 0.01
    beta2: float = 0.999
    clip: float = 0.0
    amp: bool = True
    seed: int = 0


class Task(Protocol):
    """What is learned: `module` holds the parameters that learn, and no others."""

    module: nn.Module

    def draw(self, step: int, rank: int, ranks: int) -> Any:
        """The batch of a step for process `rank` of `ranks`; depends on nothing else. Called from another thread."""

    def loss(self, batch: Any) -> torch.Tensor:
        """The scalar to be made small."""


def rate(schedule: Schedule, step: int) -> float:
    """The learning rate of a step."""
    if step < schedule.warm_up:
        return schedule.learning_rate * (step + 1) / schedule.warm_up
    part = (step - schedule.warm_up) / max(1, schedule.steps - schedule.warm_up)
    return schedule.final_rate + (schedule.learning_rate - schedule.final_rate) * 0.5 * (1 + math.cos(math.pi * part))


def run(task: Task, schedule: Schedule, out: Path, device: torch.device) -> None:
    """Train, going on from out/checkpoint.pt where there is one; writes out/log.csv (step, loss, seconds).

    Raises ValueError for a checkpoint of another schedule.
    """
    out.mkdir(parents=True, exist_ok=True)
    optimiser = torch.optim.AdamW(
        task.module.parameters(), schedule.learning_rate, weight_decay=schedule.weight_decay,
        betas=(0.9, schedule.beta2),
    )
    first, checkpoint = 0, out / "checkpoint.pt"
    if checkpoint.is_file():
        state = torch.load(checkpoint, weights_only=True, map_location=device)
        if state["schedule"] != asdict(schedule):
            raise ValueError(f"{checkpoint}: of another schedule; train into an empty folder, or delete it")
        first = state["step"]
        task.module.load_state_dict(state["module"])
        optimiser.load_state_dict(state["optimiser"])
    started = time.monotonic()
    task.module.train()
    with ThreadPoolExecutor(1) as ahead, (out / "log.csv").open("a", newline="") as table:
        rows = csv.writer(table)
        upcoming = ahead.submit(task.draw, first, 0, 1)
        for step in (bar := tqdm(range(first, schedule.steps), out.name, unit="step")):
            batch, upcoming = upcoming.result(), ahead.submit(task.draw, step + 1, 0, 1)
            torch.manual_seed(hash((schedule.seed, step)))
            for group in optimiser.param_groups:
                group["lr"] = rate(schedule, step)
            with torch.autocast(device.type, torch.float16, enabled=schedule.amp and device.type == "cuda"):
                loss = task.loss(batch)
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            if schedule.clip:
                torch.nn.utils.clip_grad_norm_(task.module.parameters(), schedule.clip)
            optimiser.step()
            bar.set_postfix(loss=f"{float(loss.detach()):.3f}")
            rows.writerow([step, f"{float(loss.detach()):.5f}", f"{time.monotonic() - started:.1f}"])
            if (step + 1) % CHECKPOINT_EVERY == 0 or step + 1 == schedule.steps:
                table.flush()
                state = {"step": step + 1, "schedule": asdict(schedule), "module": task.module.state_dict(),
                         "optimiser": optimiser.state_dict()}
                unfinished = checkpoint.with_suffix(".part")
                torch.save(state, unfinished)
                unfinished.replace(checkpoint)
