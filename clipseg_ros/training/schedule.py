# SPDX-License-Identifier: Apache-2.0
"""What a run of the training loop optimises with: AdamW or Muon, for how many steps, on which curve."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Schedule:
    """AdamW for `steps`: the rate rises linearly for warm_up steps and falls on a cosine to final_rate.

    restarts: (step, rate): from this step on the rate falls from that one on a cosine of its own, to final_rate at the
    next restart or at the end (SGDR, Loshchilov & Hutter 2017); none with a power.
    power: not 0: the rate falls from the first step on, as (1 - step / steps) to this power, and during warm_up it is
    multiplied by what rises linearly from warm_up_from to 1, as detectron2 and mmcv do. groups: (regular expression,
    times learning_rate, times weight_decay) for the parameters in whose name in `module` it is found; the first counts.
    muon: the rate of Muon for the matrices of transformer blocks, on the same curve; 0 leaves them to AdamW.
    clip: largest norm of the gradient, 0 for no limit. amp: float16 with a scaled loss on a GPU. bfloat16: on a CPU
    that multiplies in it, products are taken so; any other CPU keeps float32, as all do without.
    """

    steps: int
    learning_rate: float
    final_rate: float = 0.0
    warm_up: int = 0
    weight_decay: float = 0.01
    beta2: float = 0.999
    epsilon: float = 1e-8
    power: float = 0.0
    warm_up_from: float = 0.0
    restarts: tuple[tuple[int, float], ...] = ()
    groups: tuple[tuple[str, float, float], ...] = ()
    muon: float = 0.0
    clip: float = 0.0
    amp: bool = True
    bfloat16: bool = False
    seed: int = 0


def rate(schedule: Schedule, step: int) -> float:
    """The learning rate of a step."""
    if schedule.power:
        risen = min(1.0, step / max(1, schedule.warm_up))
        left = (1.0 - step / schedule.steps) ** schedule.power
        found = schedule.final_rate + (schedule.learning_rate - schedule.final_rate) * left
        return found * (schedule.warm_up_from * (1.0 - risen) + risen)
    if step < schedule.warm_up:
        return schedule.learning_rate * (step + 1) / schedule.warm_up
    first, highest, end = schedule.warm_up, schedule.learning_rate, schedule.steps
    for restart, again in schedule.restarts:
        if step < restart:
            end = restart
            break
        first, highest = restart, again
    part = (step - first) / max(1, end - first)
    return schedule.final_rate + (highest - schedule.final_rate) * 0.5 * (1 + math.cos(math.pi * part))
