# SPDX-License-Identifier: Apache-2.0
"""The learning rate on its way."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from clipseg_ros.training.schedule import Schedule, rate

SCHEDULE = Schedule(steps=10, learning_rate=1e-2, final_rate=1e-4, warm_up=2)


def test_the_rate_warms_up_then_falls_to_the_final_rate() -> None:
    rates = [rate(SCHEDULE, step) for step in range(SCHEDULE.steps + 1)]
    assert rates[:3] == pytest.approx([5e-3, 1e-2, 1e-2]) and rates[-1] == pytest.approx(1e-4)
    assert rates[6] == pytest.approx((1e-2 + 1e-4) / 2) and np.all(np.diff(rates[2:]) < 0)


def test_after_a_restart_the_rate_falls_once_more_and_what_was_before_stays_as_it_was() -> None:
    again = replace(SCHEDULE, steps=20, restarts=((10, 4e-3), (15, 2e-3)))
    rates = [rate(again, step) for step in range(21)]
    assert rates[:10] == [rate(SCHEDULE, step) for step in range(10)]
    assert rates[10] == pytest.approx(4e-3) and rates[15] == pytest.approx(2e-3) and rates[20] == pytest.approx(1e-4)
    assert rates[14] == pytest.approx(1e-4 + 3.9e-3 * (1 + np.cos(np.pi * 0.8)) / 2)


def test_a_power_falls_from_the_first_step_on_under_its_warm_up() -> None:
    """detectron2's WarmupPolyLR: 6e-5, power 0.9, a warm-up of 1500 from 1e-6."""
    schedule = Schedule(120_000, 6e-5, warm_up=1500, power=0.9, warm_up_from=1e-6)
    assert rate(schedule, 0) == pytest.approx(6e-11) and rate(schedule, 120_000) == 0.0
    assert rate(schedule, 750) == pytest.approx(6e-5 * (0.5 + 0.5e-6) * (1 - 750 / 120_000) ** 0.9)
    assert rate(schedule, 60_000) == pytest.approx(6e-5 * 0.5**0.9)
