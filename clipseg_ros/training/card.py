# SPDX-License-Identifier: Apache-2.0
"""The README of a trained weights folder: what made it and what it reaches, each number from its source."""

from __future__ import annotations

import csv
from dataclasses import asdict
from pathlib import Path

from clipseg_ros.evaluation import tabletop as benchmark
from clipseg_ros.training.recipes import Recipe

TEXT = """# A CLIPSeg for rendered tabletops

Trained from scratch by this package on scenes of `clipseg_ros.datasets.tabletop`; it knows the {words} words in
`clipseg_ros.json` and toys on tables, nothing else. Made by

    python -m clipseg_ros train {name} --out build/train

which renders {scenes} scenes (seeds {first_seed} to {last}), teaches the towers for {tower_steps} steps of {batch}
pictures and {phrases} phrases a picture, then all of the network for {steps} steps with masks of {prompts} (seed {seed}); the
steps took {minutes:.0f} minutes. Scores were then moved so that {threshold} is the threshold that suits scenes
{validation_first} to {validation_last}. {parameters:.1f} million parameters, stored as float16.

Measured at that threshold on {test_scenes} scenes that neither training nor the threshold saw (seeds {test_first} to
{test_last}, 320x240; IoU of pixel counts summed over the scenes, absent: share of frames with more than 0.5 % of the
pixels marked):

| phrases | IoU |
|---|---|
{rows}
"""


def write(
    folder: Path, name: str, recipe: Recipe, log: Path, words: int, parameters: int, threshold: float,
    scores: benchmark.Scores,
) -> None:
    """Write folder/README.md. log: the run's log.csv; scores: of recipe.tests()."""
    index = benchmark.index_of(threshold)
    rows = [f"| {group} | {value:.2f} |" for group, value in scores.iou(index).items()]
    rows.append(f"| absent | {scores.false_positive_rate(index):.3f} |")
    tests, validation = recipe.tests(), recipe.validation()
    text = TEXT.format(
        **asdict(recipe), words=words, name=name, last=recipe.first_seed + recipe.scenes - 1,
        minutes=seconds(log) / 60.0, validation_first=validation[0], validation_last=validation[-1],
        threshold=threshold, parameters=parameters / 1e6, test_first=tests[0], test_last=tests[-1],
        rows="\n".join(rows),
    )
    (folder / "README.md").write_text(text)


def seconds(log: Path) -> float:
    """Time of all steps in log.csv, whose clock starts anew with each resumption."""
    total = last = 0.0
    with log.open() as table:
        for _, _, clock in csv.reader(table):
            total += float(clock) - (last if float(clock) >= last else 0.0)
            last = float(clock)
    return total
