# SPDX-License-Identifier: Apache-2.0
"""Present and absent queries of rendered scenes, asked together of engines whose answer is known."""

from __future__ import annotations

import math
from collections.abc import Collection
from types import SimpleNamespace

import numpy as np
import pytest

from clipseg_ros.datasets import tabletop as scenes
from clipseg_ros.evaluation import mixed_queries
from clipseg_ros.evaluation.mixed_queries import MIXES, Call, calls, measure

SEEDS = range(20_000_002, 20_000_005)


@pytest.fixture(scope="module")
def views() -> dict[int, scenes.View]:
    return mixed_queries.render(SEEDS)


class Oracle:
    """Labels every prompt whose classes the view shows; keeps what it labels, and the texts in `alarms` besides, which
    get the first `stripe` rows."""

    def __init__(self, views: Collection[scenes.View], alarms: Collection[str] = (), stripe: int = 0) -> None:
        self.truth = {view.image.tobytes(): view.labels for view in views}
        self.alarms, self.stripe = alarms, stripe

    def segment(self, image, prompts):
        truth = self.truth[image.tobytes()]
        labels, present = np.zeros(truth.shape, np.uint8), []
        for index, prompt in enumerate(prompts, start=1):
            mask = np.isin(truth, list(scenes.classes_of(prompt.text)))
            labels[mask] = index
            if prompt.text in self.alarms:
                labels[: self.stripe] = index
            present.append(mask.any() or prompt.text in self.alarms)
        return SimpleNamespace(labels=lambda: labels, present=np.array(present))


def shown(call: Call) -> list[bool]:
    """Which prompts have a visible target, by their text."""
    return [np.isin(call.view.labels, list(scenes.classes_of(one.text))).any() for one in call.prompts]


@pytest.mark.parametrize("mix", MIXES)
def test_a_call_holds_as_many_present_and_absent_queries_as_its_mix_says(mix: str, views) -> None:
    for index, call in enumerate(calls(views, MIXES[mix])):
        present, absent = MIXES[mix][index % len(MIXES[mix])]
        assert shown(call) == [bool(classes) for classes in call.classes]
        assert (sum(shown(call)), len(call.prompts)) == (present, present + absent)
        assert len({prompt.text for prompt in call.prompts}) == len(call.prompts)


def test_no_pixel_belongs_to_two_queries_of_a_call(views) -> None:
    for call in calls(views, MIXES["5, half of them absent"]):
        targets = [np.isin(call.view.labels, list(classes)) for classes in call.classes if classes]
        assert np.sum(targets, axis=0).max() == 1


def test_the_same_seeds_ask_the_same(views) -> None:
    first, second = ([call.prompts for call in calls(views, MIXES["2, all absent"])] for _ in range(2))
    assert first == second and len({*first}) == len(SEEDS)


def test_a_perfect_engine_keeps_what_is_there_and_drops_the_rest(views) -> None:
    values = measure(Oracle(views.values()), calls(views, MIXES["5, half of them absent"])).values()
    assert values == {"IoU": 1.0, "kept": 1.0, "dropped": 1.0, "near dropped": 1.0, "marked": 0.0}


def test_a_false_alarm_costs_its_share_and_the_pixels_that_it_takes(views) -> None:
    asked = calls(views, MIXES["2, half of them absent"])
    alarms = {prompt.text for call in asked for prompt, classes in zip(call.prompts, call.classes) if not classes}
    small = measure(Oracle(views.values(), alarms, stripe=1), asked).values()
    assert small["dropped"] == 0.0 and small["marked"] == 0.0 and small["kept"] == 1.0
    large = measure(Oracle(views.values(), alarms, stripe=200), asked).values()
    assert large["marked"] == 1.0 and large["IoU"] < small["IoU"]


def test_what_is_not_asked_has_no_share(views) -> None:
    values = measure(Oracle(views.values()), calls(views, MIXES["1, present"])).values()
    assert values["IoU"] == 1.0 and all(math.isnan(values[name]) for name in ("dropped", "near dropped", "marked"))
