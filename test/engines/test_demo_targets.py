# SPDX-License-Identifier: Apache-2.0
"""Where the demo model's masks put rendered things, in metres."""

from __future__ import annotations

import numpy as np
import pytest

from clipseg_ros import engines, surfaces
from clipseg_ros.datasets import tabletop
from clipseg_ros.masks import largest_component
from clipseg_ros.segmentation import Prompt

SEEDS = range(90_000_020, 90_000_024)  # of them most masks of the first demo model had an IoU above 0.8


def test_a_thing_whose_mask_has_an_iou_above_0_8_is_found_within_2_cm() -> None:
    pytest.importorskip("embreex", reason="rendering needs the extra [scenes]")
    engine, names, errors = engines.create("clipseg", "demo", "cpu"), tabletop.class_names(), []
    for view in (tabletop.render(tabletop.compose(seed), 480, 640) for seed in SEEDS):
        ids = [id_ for id_ in np.unique(view.labels[view.labels > 0]) if (view.labels == id_).sum() >= 400]
        prompts = [Prompt(f"{names[id_]['colour']} {names[id_]['kind']}") for id_ in ids]
        for id_, mask in zip(ids, engine.segment(view.image, prompts).masks()):
            thing, found = largest_component(view.labels == id_, 1), largest_component(mask, 1)
            if (thing & found).sum() <= 0.8 * (thing | found).sum():
                continue
            truth = surfaces.surface(thing, view.depth, view.intrinsics).points.mean(axis=0)
            target = surfaces.locate(found, view.depth, view.intrinsics)
            errors.append(float(np.linalg.norm(target.centre - truth)))
    assert len(errors) >= 4 and max(errors) < 0.02, errors
