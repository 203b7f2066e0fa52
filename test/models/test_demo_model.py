# SPDX-License-Identifier: Apache-2.0
"""The model that ships: what its folder promises, checked on a few scenes of its own test set."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from clipseg_ros import engines
from clipseg_ros.datasets import tabletop
from clipseg_ros.evaluation import mixed_queries
from clipseg_ros.evaluation import tabletop as benchmark
from clipseg_ros.models.hub import demo_folder


@pytest.fixture(scope="module")
def engine():
    return engines.create("clipseg", "demo", "cpu")


def test_the_folder_is_small_enough_to_ship():
    assert sum(path.stat().st_size for path in demo_folder().rglob("*")) < 12e6


def test_it_knows_every_word_of_the_scenes(engine):
    assert {word for phrase in tabletop.phrases() for word in engine.unknown_words(phrase.text)} == set()
    assert engine.unknown_words("a zebra") == ("zebra",)


def test_a_few_scenes_agree_with_the_printed_table(engine):
    """Within what 80 of the 500 scenes may differ by."""
    readme = (demo_folder() / "README.md").read_text()
    printed = dict(re.findall(r"^\| ([\w ]+) \| ([0-9.]+) \|", readme, re.MULTILINE))
    scores = benchmark.measure(engine, benchmark.TESTS[:80])
    index = benchmark.index_of(engine.threshold)
    for group, value in scores.iou(index).items():
        assert value == pytest.approx(float(printed[group]), abs=0.15), group
    assert scores.false_positive_rate(index) == pytest.approx(float(printed["absent"]), abs=0.08)


def test_engine_car_finds_what_is_there_and_drops_what_is_not_as_its_page_says():
    """Within what 40 of the 200 scenes may differ by."""
    name = "2, half of them absent"
    page = (Path(__file__).parents[2] / "docs" / "car.md").read_text()
    iou, _, dropped = re.search(rf"^\| N = {name} \| ([0-9.]+) \| ([0-9.]+) \| ([0-9.]+) \|", page, re.MULTILINE).groups()
    views = mixed_queries.render(benchmark.TESTS[:40])
    calls = mixed_queries.calls(views, mixed_queries.MIXES[name])
    found = mixed_queries.measure(engines.create("car", "demo", "cpu"), calls).values()
    assert found["IoU"] == pytest.approx(float(iou) / 100.0, abs=0.12)
    assert found["dropped"] == pytest.approx(float(dropped) / 100.0, abs=0.12)


def test_a_camera_of_another_shape_is_searched_as_well(engine):
    """The demo's scenes are 4:3; a 16:9 camera sees the same objects squashed differently."""
    ious = []
    for seed in benchmark.TESTS[:12]:
        view = tabletop.render(tabletop.compose(seed), 360, 640)
        asked = benchmark.ask(view.labels, np.random.default_rng(seed))
        for question in (one for one in asked if one.group == "object"):
            mask = engine.segment(view.image, [question.prompt]).mask()
            target = np.isin(view.labels, list(question.classes))
            ious.append((mask & target).sum() / (mask | target).sum())
    assert np.mean(ious) > 0.3
