# SPDX-License-Identifier: Apache-2.0
"""The benchmarks of CLIP as RNN (Sun et al., CVPR 2024), Tables 1, 2, 4 to 8, I and J, and ours of what it drops.

Each gives engine car the preset of its data set; other engines are run as they are, and refused where the rows are
variants of car. Table 3's rows are other weights: `--weights` makes proposals, `--option classifier_weights=` judges
them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from clipseg_ros.engines.car_words import COCO_TEXTS, VOC_TEXTS
from clipseg_ros.evaluation import published
from clipseg_ros.evaluation.benchmark import Benchmark, Published
from clipseg_ros.evaluation.car_scenes import MixedTabletop
from clipseg_ros.evaluation.openers import (
    open_ade150, open_coco_object, open_context59, open_context60, open_ref_davis, open_refcoco, open_voc20,
    open_voc21,
)
from clipseg_ros.evaluation.painted_protocol import Painted
from clipseg_ros.evaluation.passes import Job, Outcome, Pass, Passes
from clipseg_ros.evaluation.referring_protocol import Referring
from clipseg_ros.evaluation.video_protocol import Video

Options = tuple[tuple[str, Any], ...]
Variants = tuple[tuple[str, Options], ...]

VOC_ROOT = "VOCdevkit/VOC2012"
CONTEXT_ROOT = "VOCdevkit/VOC2010 with SegmentationClassContext/ as mmsegmentation makes it"
COCO_ROOT = "coco_stuff164k with annotations/val2017/*_instanceTrainIds.png as GroupViT makes them"
ADE_ROOT = "ADEChallengeData2016"
REFCOCO_ROOT = "refcoco/, refcoco+/, refcocog/ as lichengunc/refer has them, and images/mscoco/images/train2014"
DAVIS_ROOT = "Ref-DAVIS 2017: DAVIS/ and davis_text_annotations/, or the form of Ref-YouTube-VOS"

VOC, COCO = Painted(VOC_TEXTS), Painted(COCO_TEXTS)
EDITED = "some classes are asked by other texts than their names, as in CLIP-ES; the authors edit further ones of COCO"
RULE = "ours: a pixel takes its best class; by the authors: pixels of a class that were painted background are left out"
JOINED = "an item is an object: its sentences are asked at once and their masks joined, as the authors do"
GROUPS = ("terrestrial", "aquatic_atmospheric", "man_made")
NO_RECURRENCE: Options = (("max_steps", 0),)
WITHOUT = "without recurrence nothing is judged or dropped"

CAMS: Variants = (
    ("CLIP-ES, no recurrence", (("cam", "clip-es"), *NO_RECURRENCE)),
    ("CLIP-ES, recurrence", (("cam", "clip-es"),)),
    ("gradCAM, no recurrence", (("cam", "grad-cam"), *NO_RECURRENCE)),
    ("gradCAM, recurrence", (("cam", "grad-cam"),)),
)
PATCHES: Variants = (
    ("patches, no recurrence", (("cam", "patches"), *NO_RECURRENCE)), ("patches, recurrence", (("cam", "patches"),)),
)
"""Not of the paper: for small models that learned what each patch shows."""
PROMPTS: Variants = tuple(
    (row, (("visual_prompts", ("black",) if row == "mask" else tuple(row.split("+"))),))
    for row, _ in published.table("car", "table4").rows
)
BACKGROUNDS: Variants = tuple(
    (row, (("background", tuple(group for group in GROUPS if values[group])),))
    for row, values in published.table("car", "table6").rows
)


@dataclass(frozen=True)
class ForCar:
    """Passes whose options are those of engine car; `variants`: they are what the rows compare."""

    passes: Passes
    variants: bool = False

    def run(self, job: Job) -> Outcome | None:
        """As Passes; for other engines without the options. Raises ValueError: variants of another engine."""
        if job.engine == "car":
            return self.passes.run(job)
        if self.variants:
            raise ValueError(f"--engine {job.engine}: these are variants of engine car; take --engine car")
        plain = tuple(replace(each, options=()) for each in self.passes.passes)
        return replace(self.passes, passes=plain).run(job)


@dataclass(frozen=True)
class Refined:
    """VOC without CRF, with it, and with the user's SAM (`--option sam_weights=`) behind it, where there is one."""

    def run(self, job: Job) -> Outcome | None:
        """As ForCar."""
        options = dict(job.options)
        passes = Passes(open_voc21, ablated(VOC, "voc", self.rows(options.pop("sam_weights", ""))))
        return ForCar(passes, variants=True).run(replace(job, options=options))

    @staticmethod
    def rows(sam_weights: str) -> Variants:
        """What is compared; the last row needs a SAM."""
        rows: Variants = (("no post-processing", (("crf", False),)), ("CRF", (("crf", True),)))
        sam: Variants = (("CRF and SAM", (("crf", True), ("sam_weights", sam_weights))),)
        return rows + sam if sam_weights else rows


def ablated(protocol: Painted, preset: str, variants: Variants) -> tuple[Pass, ...]:
    """A pass a variant."""
    return tuple(Pass(protocol, name, (("preset", preset), *options)) for name, options in variants)


def thresholds(name: str) -> Variants:
    """The rows of Table 5 for VOC or COCO."""
    letters = {"eta": "mask_threshold", "theta": "confidence_threshold", "lambda": "box_threshold"}
    rows = published.table("car", "table5").rows
    return tuple(
        (
            ", ".join(f"{letter} {values[f'{name} {letter}']}" for letter in letters),
            tuple((option, values[f"{name} {letter}"]) for letter, option in letters.items()),
        )
        for _, values in rows
    )


def column(table: str, *columns: tuple[str, str]) -> Published:
    """Columns of a table of CLIP as RNN: (our metric, theirs)."""
    return Published("car", table, columns)


def ablation(name: str, title: str, table: str, variants: Variants, *notes: str) -> Benchmark:
    """A table of variants on Pascal VOC."""
    kind = ForCar(Passes(open_voc21, ablated(VOC, "voc", variants)), variants=True)
    return Benchmark(
        f"car-voc-{name}", f"VOC 2012 val, 21 classes, {title}", kind, VOC_ROOT, column(table, ("mIoU", "mIoU")),
        (EDITED, *notes),
    )


def referring(name: str, split_by: str, split: str, theirs: str) -> Benchmark:
    """A column of Table 7, whose row of CaR Table I repeats."""
    preset = (("preset", name),)
    passes = (
        Pass(Referring(), "", preset),
        Pass(Referring(joined=False), "each sentence alone", (*preset, *NO_RECURRENCE)),
    )
    suffix = f"-{split_by}" if split_by == "google" else ""
    rows = dict(published.table("car", "tableI").rows)
    return Benchmark(
        f"car-{name}-{split}{suffix}", f"{theirs}: sentences of an object joined, and each alone",
        ForCar(Passes(partial(open_refcoco, name, split_by, split), passes)), REFCOCO_ROOT,
        column("table7", ("mIoU", theirs)),
        (JOINED, f"Table I prints {rows['OVSeg'][theirs]} for OVSeg"),
    )


REFERRING = (
    ("refcoco", "unc", "val", "RefCOCO val"), ("refcoco", "unc", "testA", "RefCOCO testA"),
    ("refcoco", "unc", "testB", "RefCOCO testB"), ("refcoco+", "unc", "val", "RefCOCO+ val"),
    ("refcoco+", "unc", "testA", "RefCOCO+ testA"), ("refcoco+", "unc", "testB", "RefCOCO+ testB"),
    ("refcocog", "umd", "val", "RefCOCOg val"), ("refcocog", "umd", "test", "RefCOCOg test(U)"),
    ("refcocog", "google", "val", "RefCOCOg val(G)"),
)


def painted(
    name: str, title: str, opener: Any, protocol: Painted, preset: str, root: str, shown: Published | None,
    notes: Iterable[str] = (),
) -> Benchmark:
    """A data set with label maps under its preset."""
    passes = Passes(opener, (Pass(protocol, "", (("preset", preset),)),))
    return Benchmark(f"car-{name}", title, ForCar(passes), root, shown, tuple(notes))


def on_scenes(prefix: str, variants: Variants) -> Variants:
    """Variants whose names say what varies."""
    return tuple((f"{prefix}: {name}", options) for name, options in variants)


VARIANTS = (
    *on_scenes("CAM", CAMS + PATCHES),
    *on_scenes("prompts", (*PROMPTS, ("crop", (("visual_prompts", ("crop",)),)))),
    *on_scenes("background", BACKGROUNDS),
)
ENTRIES = (
    painted("voc", "VOC 2012 val, 21 classes, background where no class is", open_voc21, VOC, "voc", VOC_ROOT,
            column("table1", ("mIoU", "Pascal VOC")), (EDITED,)),
    painted("coco-object", "COCO Object val, 81 classes, background where no class is", open_coco_object, COCO, "coco",
            COCO_ROOT, column("table1", ("mIoU", "COCO Object")), (EDITED,)),
    painted("context", "Pascal Context val, 60 classes, background where no class is", open_context60, Painted(),
            "context", CONTEXT_ROOT, column("table1", ("mIoU", "Pascal Context"))),
    painted("voc20", "VOC 2012 val, 20 classes, background not counted", open_voc20, VOC, "voc", VOC_ROOT,
            column("tableJ", ("mIoU", "VOC-20")), (EDITED, RULE)),
    painted("context59", "Pascal Context val, 59 classes, background not counted", open_context59, Painted(), "context",
            CONTEXT_ROOT, column("tableJ", ("mIoU", "Context-59")), (RULE,)),
    painted("ade150", "ADE20K val, 150 classes, other things not counted", open_ade150, Painted(), "ade_150", ADE_ROOT,
            None, ("the paper prints no number; the preset is the authors' code's", RULE)),
    *(referring(*row) for row in REFERRING),
    Benchmark(
        "car-ref-davis", "Ref-DAVIS 2017 val, frame by frame; mean of the four sets of expressions",
        ForCar(Passes(open_ref_davis, (Pass(Video(), "", (("preset", "refcocog"), *NO_RECURRENCE)),))), DAVIS_ROOT,
        column("table8", ("J&F", "J&F"), ("J", "J"), ("F", "F")),
        ("the authors publish no setting for videos: these are RefCOCOg's, each expression alone",),
    ),
    ablation("cam", "with and without recurrence, by CAM", "table2", CAMS, WITHOUT),
    ablation("prompts", "by visual prompt", "table4", PROMPTS, "mask: all but the mask is black"),
    ablation("background", "by lists of background words", "table6", BACKGROUNDS),
    replace(
        ablation("thresholds", "by the three thresholds", "table5", thresholds("VOC")),
        published=column("table5", ("mIoU", "VOC mIoU")),
    ),
    Benchmark(
        "car-coco-thresholds", "COCO Object val, by the three thresholds",
        ForCar(Passes(open_coco_object, ablated(COCO, "coco", thresholds("COCO"))), variants=True), COCO_ROOT,
        column("table5", ("mIoU", "COCO mIoU")), (EDITED,),
    ),
    Benchmark("car-voc-refined", "VOC 2012 val, 21 classes, by post-processing", Refined(), VOC_ROOT,
              column("table1", ("mIoU", "Pascal VOC")), (EDITED,)),
    Benchmark(
        "tabletop-car", "rendered scenes, 320x240: present and absent queries together", MixedTabletop(scenes=200)
    ),
    Benchmark(
        "tabletop-car-variants", "rendered scenes, 320x240, 5 queries, half of them absent: Tables 2, 4 and 6 on them",
        MixedTabletop(VARIANTS, "5, half of them absent"), notes=(WITHOUT,),
    ),
)
