# SPDX-License-Identifier: Apache-2.0
"""The README of a trained weights folder: what made it and what it reaches, each number from its source."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from clipseg_ros.evaluation import tabletop as benchmark
from clipseg_ros.evaluation.speed import RUNS, SIZE, Speed
from clipseg_ros.training import log
from clipseg_ros.training.recipes import Lessons, Recipe

TEXT = """# {title}

Trained from scratch by this package on scenes of `clipseg_ros.datasets.tabletop`; it knows the {words} words in
`clipseg_ros.json` and toys on tables, nothing else. Made by

    python -m clipseg_ros train {name}{option} --out build/train

which renders {scenes} scenes (seeds {first_seed} to {last}) without what is held out
(`datasets/tabletop/held_out.py`), {towers},
freezes them, and teaches the decoder on {examples} of the scenes for {mask_lessons}{joint_lessons}; the
steps took {minutes} minutes. Scores were then moved so that {threshold} is the threshold that suits scenes
{validation_first} to {validation_last}, as does the presence in `clipseg_ros.json`, the strength of logits below which
nothing is marked. {parameters:.1f} million parameters, stored as float16.

Measured at that threshold on {test_scenes} scenes that neither training nor the threshold saw (seeds {test_first} to
{test_last}, 320x240; IoU and AP of pixel counts summed over the scenes; absent: share of frames with more than 0.5 %
of the pixels marked):

| phrases | IoU | AP |
|---|---|---|
{rows}

{meanings}

One text prompt on a 640x480 frame takes {frame_ms:.0f} ms (median of {runs}, {processor}), where a product of two
float32 matrices of {size}x{size} takes {product_ms:.1f} ms.
"""
TITLES = {
    "clipseg": "A CLIPSeg for rendered tabletops", "clip-deconv": "A CLIP-Deconv for rendered tabletops",
    "vitseg": "A ViTSeg for rendered tabletops",
}


def write(
    folder: Path, recipe: Recipe, logs: list[Path], words: int, parameters: int, threshold: float,
    scores: benchmark.Scores, speed: Speed,
) -> None:
    """Write folder/README.md. logs: the log.csv of each stage; scores: of recipe.tests."""
    index, ap = benchmark.index_of(threshold), scores.ap()
    rows = [f"| {group} | {value:.2f} | {ap[group]:.2f} |" for group, value in scores.iou(index).items()]
    rows.append(f"| absent | {scores.false_positive_rate(index):.3f} | - |")
    tests, validation = recipe.tests, recipe.validation
    text = TEXT.format(
        **asdict(recipe), **asdict(speed), runs=RUNS, size=SIZE, title=TITLES[recipe.engine], words=words,
        last=recipe.first_seed + recipe.scenes - 1, option=f" --clip {recipe.clip}" if recipe.clip else "",
        towers=_towers(recipe), mask_lessons=_steps(recipe.masks),
        joint_lessons=_joint_lessons(recipe),
        minutes=" + ".join(f"{log.read(path)[-1][2] / 60.0:.0f}" for path in logs),
        validation_first=validation[0], validation_last=validation[-1], threshold=threshold,
        parameters=parameters / 1e6, test_scenes=len(tests), test_first=tests[0], test_last=tests[-1],
        rows="\n".join(rows),
        meanings="\n".join(f"- {group}: {meaning}." for group, meaning in benchmark.GROUPS.items()),
    )
    (folder / "README.md").write_text(text)


def _towers(recipe: Recipe) -> str:
    if recipe.clip:
        return f"takes the towers that `{recipe.clip}` has"
    taught = recipe.captions
    return (
        f"teaches the towers for {taught.steps} steps of {recipe.batch} scenes and {recipe.views} object views (seed "
        f"{taught.seed})"
    )


def _joint_lessons(recipe: Recipe) -> str:
    if recipe.joint is None:
        return ""
    return (
        f", then towers and decoder together for {_steps(recipe.joint)}; a fresh text tower took over its vectors in "
        f"{recipe.texts.steps} steps (seed {recipe.texts.seed})"
    )


def _steps(lessons: Lessons) -> str:
    schedule = lessons.schedule
    return (
        f"{schedule.steps} steps of {lessons.batch} pictures with {lessons.prompts} prompts each (seed {schedule.seed})"
    )
