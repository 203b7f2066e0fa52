# SPDX-License-Identifier: Apache-2.0
"""The benchmarks of OVSeg (Liang et al., CVPR 2023): five vocabularies, Tables 1 to 3, and the analysis of Figure 1c.

Engine ovseg runs as its authors' evaluation does, every shortcut off; other engines are run as they are. Rows of other
backbones, pairs or tunings are other weights: the same benchmark is run with each.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from clipseg_ros.datasets import LabelMaps
from clipseg_ros.evaluation.benchmark import Benchmark, Published
from clipseg_ros.evaluation.labels_protocol import Labels
from clipseg_ros.evaluation.openers import open_ade150
from clipseg_ros.evaluation.passes import Asked, Job, Outcome, Pass, Passes

Opener = Callable[[Path], Mapping[str, LabelMaps]]

ADE_ROOT = "ADEChallengeData2016"
ADE847_ROOT = "ADE20K_2021_17_01 with classes847.csv (id,trainId,name), converted (images_detectron2/) or as it comes"
CONTEXT_ROOT = "VOCdevkit/VOC2010 with annotations_detectron2/ and 59_labels.txt, or mmsegmentation's form"
CONTEXT459_ROOT = "VOCdevkit/VOC2010 with labels.txt and annotations_detectron2/pc459_val/, or trainval/*.mat"
VOC_ROOT = "VOCdevkit/VOC2012 with SegmentationClassAug/"

OTHER_MODEL = "--option mask_threshold=0.5 side=512 belong to the smaller model (R101c, ViT-B/16)"
FIGURE = "the paper prints 20.1 for true masks and a CLIP as published, 66.5 for proposals and true classes"


def open_ade847(root: Path) -> Mapping[str, LabelMaps]:
    """ADE20K val with 847 classes, in the converted form where it is there."""
    from clipseg_ros.datasets.ade20k import ade847, ade847_raw

    opener = ade847 if (root / "images_detectron2").is_dir() else ade847_raw
    return {"": opener(root, "validation", root / "classes847.csv")}


def open_context59(root: Path) -> Mapping[str, LabelMaps]:
    """Pascal Context val with 59 classes, in the authors' form where it is there."""
    from clipseg_ros.datasets.context import context59, context59_detectron2

    converted = (root / "annotations_detectron2" / "pc59_val").is_dir()
    return {"": context59_detectron2(root) if converted else context59(root, "val")}


def open_context459(root: Path) -> Mapping[str, LabelMaps]:
    """Pascal Context val with 459 classes, in the authors' form where it is there."""
    from clipseg_ros.datasets.context import context459

    return {"": context459(root, "tif" if (root / "annotations_detectron2" / "pc459_val").is_dir() else "mat")}


def open_voc20(root: Path) -> Mapping[str, LabelMaps]:
    """VOC 2012 val without background, with the labels of SegmentationClassAug, as the authors have it."""
    from clipseg_ros.datasets.voc import voc20

    return {"": voc20(root, "val", "SegmentationClassAug")}


@dataclass(frozen=True)
class Vocabulary:
    """Every class is asked at once, a pixel takes the best. clip_weight: engine ovseg's, as published."""

    open: Opener
    clip_weight: float

    def run(self, job: Job) -> Outcome | None:
        """As Passes. Raises ValueError, DatasetError."""
        return Passes(self.open, (Pass(Labels(), options=self.options(job)),)).run(job)

    def options(self, job: Job) -> tuple[tuple[str, Any], ...]:
        """Of the job's engine, none but for ovseg; what the user names stays."""
        fixed = {"select": "all", "speed": "reference", "clip_weight": self.clip_weight}
        return tuple((name, job.options.get(name, value)) for name, value in fixed.items() if job.engine == "ovseg")


@dataclass(frozen=True)
class OneHalf:
    """Figure 1c: true masks named by the CLIP, and proposals rightly named."""

    open: Opener

    def run(self, job: Job) -> Outcome | None:
        """As Passes. Raises ValueError, WeightsError, DatasetError."""
        from clipseg_ros.evaluation.ovseg_oracle import Oracle
        from clipseg_ros.evaluation.ovseg_reader import read_regions

        halves: tuple[tuple[str, Asked], ...] = (
            ("true masks, CLIP's classes", Oracle(masks=True)), ("proposals, true classes", Oracle(masks=False)),
        )
        return Passes(self.open, tuple(Pass(half, name) for name, half in halves), read_regions).run(job)


def _of(name: str, title: str, root: str, kind: Vocabulary, column: str, tables: Mapping[str, str]) -> list[Benchmark]:
    """A vocabulary, its ablations by table, and its two halves apart."""
    whole = Benchmark(
        f"ovseg-{name}", f"{title}: all classes compete", kind, root,
        Published("ovseg", "table1", (("mIoU", column),)), (OTHER_MODEL,),
    )
    ablations = [
        replace(whole, name=f"{whole.name}-{what}", title=f"{title}: {what}",
                published=Published("ovseg", table, (("mIoU", column),)))
        for what, table in tables.items()
    ]
    halves = Benchmark(
        f"{whole.name}-oracle", f"{title}: true masks or true classes", OneHalf(kind.open), root,
        notes=(FIGURE,) if name == "ade150" else (),
    )
    return [whole, *ablations, halves]


@dataclass(frozen=True)
class SceneHalves:
    """See ovseg_scenes, which the list of benchmarks does without."""

    def run(self, job: Job) -> Outcome | None:
        """Rank 0 does all. Raises ValueError, WeightsError."""
        from clipseg_ros.evaluation.ovseg_scenes import Halves

        return Halves().run(job)


TABLES = {"pairs": "table2", "tuning": "table3"}
ENTRIES = (
    *_of("ade150", "ADE20K val, 150 classes", ADE_ROOT, Vocabulary(open_ade150, 0.7), "A-150", TABLES),
    *_of("ade847", "ADE20K val, 847 classes", ADE847_ROOT, Vocabulary(open_ade847, 0.7), "A-847", TABLES),
    *_of("context59", "Pascal Context val, 59 classes", CONTEXT_ROOT, Vocabulary(open_context59, 0.6), "PC-59", TABLES),
    *_of("context459", "Pascal Context val, 459 classes", CONTEXT459_ROOT, Vocabulary(open_context459, 0.6), "PC-459",
         {}),
    *_of("voc20", "VOC 2012 val, 20 classes", VOC_ROOT, Vocabulary(open_voc20, 0.45), "PAS-20", {}),
    Benchmark(
        "tabletop-ovseg", "rendered scenes that training never saw, 320x240, 136 classes: true masks or true classes",
        SceneHalves(),
    ),
)
