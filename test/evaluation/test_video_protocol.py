# SPDX-License-Identifier: Apache-2.0
"""J&F of objects in videos: frames, then objects, whatever the number of frames."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from clipseg_ros.datasets import Sample
from clipseg_ros.evaluation.video_protocol import Video
from clipseg_ros.segmentation import Prompt

LEFT, RIGHT, NOTHING = (np.zeros((20, 30), bool) for _ in range(3))
LEFT[4:12, 3:12] = True
RIGHT[4:12, 18:27] = True


def frame(name: str, *targets: np.ndarray) -> Sample:
    objects = tuple(range(1, len(targets) + 1))
    prompts = tuple(Prompt(f"object {number}") for number in objects)
    return Sample(np.zeros((20, 30, 3), np.uint8), prompts, np.stack(targets), name, classes=objects)


def kept(*masks: np.ndarray) -> dict[str, np.ndarray]:
    engine = SimpleNamespace(segment=lambda image, prompts: SimpleNamespace(masks=lambda: np.stack(masks)))
    return Video().predict(engine, frame("v/0", *masks), ())


def test_masks_are_kept_as_bits() -> None:
    assert kept(LEFT, RIGHT)["masks"].shape == (2, 20, 4)


def test_objects_weigh_alike_however_long_their_videos_are() -> None:
    pairs = [
        (frame("dog/00000", LEFT, RIGHT), kept(LEFT, LEFT)),
        (frame("cat/00000", LEFT), kept(LEFT)),
        (frame("cat/00001", LEFT), kept(RIGHT)),
        (frame("cat/00002", NOTHING), kept(NOTHING)),
    ]
    score = Video().score(pairs, ())
    objects = {row.name: row.values for row in score.classes}
    assert {name: values["J"] for name, values in objects.items()} == pytest.approx(
        {"dog/1": 1.0, "dog/2": 0.0, "cat/1": 2 / 3}
    )
    assert objects["cat/1"]["frames"] == 3 and objects["cat/1"]["F"] == pytest.approx(2 / 3)
    (row,) = score.rows
    assert row.values["J"] == pytest.approx(5 / 9) == row.values["F"]
    assert row.values["J&F"] == pytest.approx(5 / 9) and score.samples == 4


def test_the_engine_decides_on_its_masks() -> None:
    assert Video().settled("car", None) == Video() and "frame" in Video().pins()
    with pytest.raises(ValueError, match="--threshold 0.5: the engine decides on its masks"):
        Video().settled("car", 0.5)
