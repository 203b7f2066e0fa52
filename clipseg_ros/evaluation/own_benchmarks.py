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


@dataclass(frozen=True)
class TabletopVideo:
    """A moving camera over rendered scenes, without and with smoothing, at the engine's threshold or the user's."""

    def run(self, job: Job) -> Outcome | None:
        """Rank 0 does all."""
        if job.rank:
            return None
        from clipseg_ros.evaluation import flicker

        engine = job.create({})
        seeds = flicker.TESTS[: job.limit]
        tallies = flicker.measure(engine, seeds, threshold=job.threshold)
        engine.close()
        rows = []
        for (speed, smoothing), tally in tallies.items():
            plain = tallies[speed, 0.0]
            fall = 1.0 - tally.flicker / plain.flicker if plain.flicker else float("nan")
            values = {"flicker": tally.flicker, "fall": fall, "IoU": tally.iou, "loss": plain.iou - tally.iou}
            rows.append(Row(f"{speed}, smoothing {smoothing:g}", values))
        notes = (
            "flicker: stable surface points that change their label, of all of them, in a second; fall: of it",
            "IoU: of pixels of the labels summed over prompts, pictures and scenes; loss: of it",
        )
        return Outcome(tuple(rows), notes=notes, samples=len(seeds), available=len(flicker.TESTS))


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
    Benchmark("tabletop-video", "a camera moving over rendered scenes, 640x480, 10 Hz, 2 s a scene", TabletopVideo()),
)
