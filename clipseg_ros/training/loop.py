# SPDX-License-Identifier: Apache-2.0
"""The one training loop: seeded by step, so that a run that was cut short continues as if it had not been.

On the CPU the continuation is bit for bit. Under torchrun it is data-parallel: every process draws its own part of the
batch and gradients are averaged; rank 0 alone writes, and all see the same folder.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import nn
from tqdm import tqdm

from clipseg_ros.training import distributed
from clipseg_ros.training.log import Log
from clipseg_ros.training.muon import Muon, hidden_matrices
from clipseg_ros.training.schedule import Schedule, rate

CHECKPOINT = "checkpoint.pt"
CHECKPOINT_EVERY = 500  # steps


class Task(Protocol):
    """What is learned: `module` holds the parameters that learn, and no others."""

    module: nn.Module

    def draw(self, step: int, rank: int, ranks: int) -> Any:
        """The batch of a step for process `rank` of `ranks`; depends on nothing else, least of all on torch's global
        generator. Called from another thread."""

    def loss(self, batch: Any) -> torch.Tensor:
        """The scalar to be made small, a mean over the batch. Torch's global generator is seeded with the step."""


def step_seed(seed: int, step: int, rank: int) -> int:
    """64 bits for torch.manual_seed, the same on every machine; dropout differs between ranks."""
    return int(np.random.SeedSequence([seed, step, rank]).generate_state(1, np.uint64)[0])


def find_half(schedule: Schedule, device: torch.device) -> torch.dtype | None:
    """The type that a run on the device multiplies in, None for float32."""
    if device.type == "cuda":
        return torch.float16 if schedule.amp else None
    # Older versions of torch cannot tell; without the instructions bfloat16 is slower than float32 by far.
    able = getattr(torch.cpu, "get_capabilities", dict)()
    return torch.bfloat16 if schedule.bfloat16 and (able.get("avx512_bf16") or able.get("amx_bf16")) else None


class Learner:
    """A task with its optimiser and the step that comes next; `state` and `restore` hold all that the next depends on.

    seconds: the time that all steps so far took.
    """

    def __init__(self, task: Task, schedule: Schedule, device: torch.device, group: distributed.Group) -> None:
        self.step, self.seconds = 0, 0.0
        self._task, self._schedule, self._device, self._group = task, schedule, device, group
        self._optimisers = _optimisers(task.module, schedule)
        self._scaler = torch.amp.GradScaler(device.type, enabled=schedule.amp and device.type == "cuda")
        self._half = find_half(schedule, device)

    def learn(self, batch: Any) -> float:
        """One step of the optimiser; returns the loss. Raises FloatingPointError where it is no number."""
        torch.manual_seed(step_seed(self._schedule.seed, self.step, self._group.rank))
        part = rate(self._schedule, self.step) / self._schedule.learning_rate
        for optimiser in self._optimisers:
            for group in optimiser.param_groups:
                group["lr"] = part * group.get("times", 1.0) * optimiser.defaults["lr"]
        with torch.autocast(self._device.type, self._half, enabled=self._half is not None):
            loss = self._task.loss(batch)
        self._task.module.zero_grad(set_to_none=True)
        self._scaler.scale(loss).backward()
        found = float(self._group.average(self._task.module, loss))
        if not math.isfinite(found):
            raise FloatingPointError(f"loss {found} at step {self.step}: the last checkpoint is kept; lower the rate")
        if self._schedule.clip:
            for optimiser in self._optimisers:
                self._scaler.unscale_(optimiser)
            nn.utils.clip_grad_norm_(self._task.module.parameters(), self._schedule.clip)
        for optimiser in self._optimisers:
            self._scaler.step(optimiser)
        self._scaler.update()
        self.step += 1
        return found

    def state(self) -> dict[str, Any]:
        """Tensors, numbers and strings alone, to be written."""
        return {"step": self.step, "seconds": self.seconds, "schedule": asdict(self._schedule),
                "module": self._task.module.state_dict(), "optimisers": [one.state_dict() for one in self._optimisers],
                "scaler": self._scaler.state_dict()}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a state. Raises ValueError for one of another schedule."""
        # A checkpoint that was written before a field was there had its default.
        if {**asdict(Schedule(0, 0.0)), **state["schedule"]} != asdict(self._schedule):
            raise ValueError("checkpoint of another schedule: train into an empty folder, or delete it")
        self.step, self.seconds = state["step"], state.get("seconds", 0.0)
        self._task.module.load_state_dict(state["module"])
        for optimiser, saved in zip(self._optimisers, state["optimisers"]):
            optimiser.load_state_dict(saved)
        if state.get("scaler"):  # empty where the run so far was on a CPU
            self._scaler.load_state_dict(state["scaler"])


def _optimisers(module: nn.Module, schedule: Schedule) -> list[torch.optim.Optimizer]:
    matrices = hidden_matrices(module) if schedule.muon else []
    taken = {id(matrix) for matrix in matrices}
    others = {name: weight for name, weight in module.named_parameters() if id(weight) not in taken}
    adamw = torch.optim.AdamW(
        _groups(others, schedule), schedule.learning_rate, (0.9, schedule.beta2), schedule.epsilon,
        schedule.weight_decay,
    )
    return [adamw, Muon(matrices, schedule.muon)] if matrices else [adamw]


def _groups(weights: dict[str, nn.Parameter], schedule: Schedule) -> list[dict[str, Any]]:
    """A group of parameters for each of the schedule's pairs of factors, in the order of their first parameter."""
    sorted_out: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, weight in weights.items():
        found = (factors for pattern, *factors in schedule.groups if re.search(pattern, name))
        sorted_out.setdefault(tuple(next(found, (1.0, 1.0))), []).append(weight)
    return [
        {"params": own, "times": times, "weight_decay": decay * schedule.weight_decay}
        for (times, decay), own in sorted_out.items()
    ]


def claim(out: Path, recipe: Any) -> None:
    """Write down whose folder `out` is: a checkpoint does not say on which examples it was trained.

    recipe: a dataclass with a name. Raises ValueError for another recipe's folder.
    """
    note = out / "recipe.txt"
    if note.is_file() and note.read_text() != f"{recipe}\n":
        raise ValueError(f"{note}: another recipe's folder; train {recipe.name} into an empty one")
    out.mkdir(parents=True, exist_ok=True)
    note.write_text(f"{recipe}\n")


def run(
    task: Task, schedule: Schedule, out: Path, device: torch.device, *,
    checkpoint_every: int = CHECKPOINT_EVERY, validate: Callable[[], float] | None = None, until: int | None = None,
) -> None:
    """Train, going on from out/checkpoint.pt where there is one; writes out/log.csv (step, loss, seconds).

    validate: the IoU in [0, 1] of the module as it is; called in evaluation mode by rank 0 after every checkpoint and
    written to out/validation.csv. until: the step before which to stop, as if cut short there. Raises ValueError for a
    checkpoint of another schedule, FloatingPointError.
    """
    stop = schedule.steps if until is None else min(until, schedule.steps)
    with distributed.join(device) as group:
        learner = Learner(task, schedule, device, group)
        if (out / CHECKPOINT).is_file():
            learner.restore(torch.load(out / CHECKPOINT, weights_only=True, map_location=device))
        group.share(task.module)
        out.mkdir(parents=True, exist_ok=True)
        log = Log(out, learner.step) if group.rank == 0 else None
        task.module.train()
        for loss in _steps(task, stop, learner, group, out.name):
            if log is None:
                continue
            log.loss(learner.step - 1, loss, learner.seconds)
            if learner.step % checkpoint_every == 0 or learner.step == stop:
                _write(learner.state(), out / CHECKPOINT)
                if validate is not None:
                    log.validation(learner.step - 1, _validated(task.module, validate))


def _steps(task: Task, stop: int, learner: Learner, group: distributed.Group, name: str) -> Iterator[float]:
    """Yield the loss of every step to go, while the next batch is drawn in another thread."""
    to_go = range(learner.step, stop)
    with ThreadPoolExecutor(1) as ahead, tqdm(to_go, name, unit="step", disable=group.rank > 0) as bar:
        upcoming = ahead.submit(task.draw, learner.step, group.rank, group.ranks) if to_go else None
        for step in bar:
            started = time.monotonic()
            batch = upcoming.result()
            if step + 1 < stop:
                upcoming = ahead.submit(task.draw, step + 1, group.rank, group.ranks)
            loss = learner.learn(batch)
            learner.seconds += time.monotonic() - started
            bar.set_postfix(loss=f"{loss:.3f}")
            yield loss


def _write(state: dict[str, Any], path: Path) -> None:
    """A kill while writing leaves the checkpoint before."""
    unfinished = path.with_suffix(".part")
    torch.save(state, unfinished)
    unfinished.replace(path)


def _validated(module: nn.Module, validate: Callable[[], float]) -> float:
    module.eval()
    with torch.no_grad():
        iou = validate()
    module.train()
    return iou
