# SPDX-License-Identifier: Apache-2.0
"""Benchmarks of this package's own making: rendered scenes, and phrases at the size of their images."""

from __future__ import annotations

from dataclasses import dataclass

from clipseg_ros.evaluation.benchmark import Benchmark, Published
from clipseg_ros.evaluation.masks_protocol import Masks
from clipseg_ros.evaluation.openers import open_phrasecut
from clipseg_ros.evaluation.passes import Job, Outcome, Pass, Passes
from clipseg_ros.evaluation.results import Row


@dataclass(frozen=True)
class Tabletop:
    """Rendered scenes, measured in one go at the engine's threshold or the user's; no prediction is kept."""

    def run(self, job: Job) -> Outcome | None:
        """Rank 0 does all."""
        if job.rank:
            return None
        from clipseg_ros.evaluation import tabletop

        engine = job.create({})
        seeds = tabletop.TESTS[: job.limit]
        scores = tabletop.measure(engine, seeds)
        threshold = engine.threshold if job.threshold is None else job.threshold
        index = tabletop.index_of(threshold)
        ap = scores.ap()
        rows = [
            Row(group, {"t": threshold, "IoU": value, "AP": ap[group]}) for group, value in scores.iou(index).items()
        ]
        rows.append(Row("absent", {"t": threshold, "marked": scores.false_positive_rate(index)}))
        engine.close()
        notes = ("IoU: of pixels summed over the scenes", "marked: absent phrases found on over 0.5 % of a scene")
        return Outcome(tuple(rows), notes=notes, samples=len(seeds), available=len(tabletop.TESTS))


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
