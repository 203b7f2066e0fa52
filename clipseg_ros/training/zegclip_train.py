# SPDX-License-Identifier: Apache-2.0
"""A recipe of ZegCLIP from its CLIP and its pictures to the weights folder."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

from clipseg_ros.engines.devices import find_device
from clipseg_ros.training import distributed, loop, plots, zegclip_student
from clipseg_ros.training.zegclip_recipes import Recipe
from clipseg_ros.training.zegclip_student import Student
from clipseg_ros.training.zegclip_task import Source, ZegCLIPTask


def train(recipe: Recipe, root: Path, out: Path, device: str = "auto") -> Path:
    """Train, going on where the run in `out` stopped; returns out/model, the weights folder, for engine zegclip.

    root: the data set's folder, see zegclip_sources. Writes out/log.csv, out/checkpoint.pt and out/curves.png, and
    those of the inductive half in out/inductive, where one comes first. Under torchrun, rank 0 writes. Raises
    DatasetError, WeightsError, DeviceError, ValueError.
    """
    own = distributed.own_device(find_device(device))
    with distributed.join(own) as group:
        if group.rank == 0:
            loop.claim(out, recipe)
        student = zegclip_student.build(
            recipe.clip, recipe.shape, recipe.tower, recipe.templates, recipe.schedule.seed
        )
        source = _open(recipe, student, root)

        def task(setting: str, seed: int) -> ZegCLIPTask:
            return ZegCLIPTask(student, source, setting, recipe.loss, recipe.batch, seed, own)

        if recipe.further is None:
            loop.run(task(recipe.setting, recipe.schedule.seed), recipe.schedule, out, own)
        else:
            first, half = task("inductive", recipe.schedule.seed), recipe.schedule.steps // 2
            loop.run(first, recipe.schedule, out / "inductive", own, until=half)
            # Another seed, or it would see the pictures of the first half again.
            loop.run(task(recipe.setting, recipe.further.seed + 1), recipe.further, out, own)
        if group.rank == 0:
            zegclip_student.save(student, out / "model")
            plots.curves(out)
    return out / "model"


def _open(recipe: Recipe, student: Student, root: Path) -> Source:
    module, function = recipe.source.split(":")
    opener = getattr(import_module(module), function)
    return opener(root, recipe.views, student.pixels, student.model.patch_size, recipe.setting == "full")
