# SPDX-License-Identifier: Apache-2.0
"""Benchmarks of this package's own making: rendered scenes, and phrases at the size of their images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from clipseg_ros.datasets import Samples
from clipseg_ros.evaluation.benchmark import Benchmark, Published
from clipseg_ros.evaluation.masks_protocol import Masks
from clipseg_ros.evaluation.passes import Job, Outcome, Pass, Passes
from clipseg_ros.evaluation.results import Row

FIRST_SCENE, SCENES = 20_000_000, 500


@dataclass(frozen=True)
class Tabletop:
    """Rendered scenes, measured in one go at the engine's threshold: nothing to download, nothing kept."""

    def run(self, job: Job) -> Outcome | None:
        """Rank 0 does all."""
        if job.rank:
            return None
        from clipseg_ros.evaluation import tabletop

        engine = job.create({})
        count = SCENES if job.limit is None else min(job.limit, SCENES)
        scores = tabletop.measure(engine, range(FIRST_SCENE, FIRST_SCENE + count))
        index = tabletop.index_of(engine.threshold)
        rows = [Row(group, {"t": engine.threshold, "IoU": value}) for group, value in scores.iou(index).items()]
        rows.append(Row("absent", {"t": engine.threshold, "marked": scores.false_positive_rate(index)}))
        engine.close()
        note = "IoU of pixel counts summed over the scenes; marked: share of absent phrases found on over 0.5 % of a scene"
        return Outcome(tuple(rows), notes=(note,), samples=count, available=SCENES)


def open_phrasecut(root: Path) -> Mapping[str, Samples]:
    """PhraseCut's test split."""
    from clipseg_ros.datasets.phrasecut import PhraseCut

    return {"": PhraseCut(root, "test")}


ENTRIES = (
    Benchmark("tabletop", "rendered tabletop scenes that training never saw, 320x240", Tabletop()),
    Benchmark(
        name="phrasecut",
        title="PhraseCut test, bare phrases, compared at each image's own size",
        kind=Passes(open_phrasecut, (Pass(Masks(threshold=0.3)),)),
        root="VGPhraseCut_v0",
        published=Published(
            "clipseg", "table3", (("t", "t"), ("mIoU", "mIoU"), ("IoU_FG", "IoU_FG"), ("AP", "AP"))
        ),
        notes=("published numbers are of images and masks squashed to 352x352: compare clipseg-phrasecut with them",),
    ),
)
