# SPDX-License-Identifier: Apache-2.0
"""Settings and queries together."""

from __future__ import annotations

import numpy as np

from clipseg_ros.masks import LogitMaps
from clipseg_ros.queries import Entry, Query
from clipseg_ros.ros.job import Job
from clipseg_ros.ros.parameters import Parameters
from clipseg_ros.segmentation import Prompt, Segmentation

SEAT = Query(Prompt("a seat", label="sit on"), parts=(Prompt("sofa"), Prompt("chair")))
CUP = Query(Prompt("cup", threshold=0.7))
ENTRIES = (Entry(3, SEAT), Entry(1, CUP))


def test_prompts_without_a_threshold_take_that_of_the_settings() -> None:
    job = Job(Parameters(threshold=0.4), ENTRIES)
    assert job.prompts == (Prompt("a seat", label="sit on", threshold=0.4), CUP.prompt)
    assert job.searched == (Prompt("sofa", threshold=0.4), Prompt("chair", threshold=0.4), CUP.prompt)
    assert Job(Parameters(), ENTRIES).prompts == (SEAT.prompt, CUP.prompt)


def test_what_was_found_of_the_searched_prompts_becomes_that_of_the_entries() -> None:
    job = Job(Parameters(threshold=0.4), ENTRIES)
    logits = np.full((3, 2, 2), -9.0, np.float32)
    logits[1] = 9.0
    found = Segmentation(job.searched, LogitMaps(logits, (2, 2)), threshold=0.5)
    assert job.fused(found).prompts == job.prompts
    assert job.fused(found).present.tolist() == [True, False]
