# SPDX-License-Identifier: Apache-2.0
"""The benchmarks of the ZegCLIP paper (Zhou et al., CVPR 2023), Tables 2 and 4 to 9, and ours of rendered kinds.

Table 3 is speed: `python -m clipseg_ros bench`. Rows of other designs, losses, depths or templates are other weights:
the same benchmark is run with each. Engine zegclip runs as published, sliding; other engines are run as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from clipseg_ros.datasets import LabelMaps
from clipseg_ros.evaluation.benchmark import Benchmark, Published
from clipseg_ros.evaluation.labels_protocol import Labels
from clipseg_ros.evaluation.openers import open_context60, open_voc20
from clipseg_ros.evaluation.passes import Job, Outcome, Pass, Passes

Opener = Callable[[Path], Mapping[str, LabelMaps]]

VOC_ROOT = "VOCdevkit/VOC2012"
COCO_ROOT = "coco_stuff164k with annotations/val2017/*_labelTrainIds.png as mmsegmentation makes them"
CONTEXT_ROOT = "VOCdevkit/VOC2010 with SegmentationClassContext/ as mmsegmentation makes it"

VOC_UNSEEN = ("pottedplant", "sheep", "sofa", "train", "tvmonitor")
COCO_UNSEEN = (
    "cow", "giraffe", "suitcase", "frisbee", "skateboard", "carrot", "scissors", "cardboard", "clouds", "grass",
    "playingfield", "river", "road", "tree", "wall-concrete",
)
CONTEXT_UNSEEN = (
    "aeroplane", "bird", "boat", "cat", "cow", "fence", "keyboard", "motorbike", "sofa", "tvmonitor",
)
PENALTY = 0.1
METRICS = ("pAcc", "mIoU(S)", "mIoU(U)", "hIoU")
PENALISED = (
    f"{PENALTY} is taken off the probabilities of seen classes, as the authors' code does; the paper does not say so"
)


def open_coco_stuff(root: Path) -> Mapping[str, LabelMaps]:
    """COCO-Stuff 164K val with 171 classes."""
    from clipseg_ros.datasets.coco import coco_stuff

    return {"": coco_stuff(root, "val", "train_ids")}


def open_kind_scenes(root: Path) -> Mapping[str, LabelMaps]:
    """Rendered scenes; root is not read."""
    from clipseg_ros.evaluation.zegclip_scenes import KindScenes

    return {"": KindScenes()}


@dataclass(frozen=True)
class Generalised:
    """All classes compete for every pixel, seen and unseen ones.

    templates: sentences that engine zegclip puts around a class; where the user names others, these. penalty: taken off
    the probabilities of seen classes.
    """

    open: Opener
    templates: str
    unseen: tuple[str, ...] = ()
    penalty: float = 0.0

    def run(self, job: Job) -> Outcome | None:
        """As Passes. Raises ValueError, DatasetError."""
        parts = self.open(job.root)
        (data,) = parts.values()
        protocol = Labels(unseen=self.unseen)
        return Passes(lambda _: parts, (Pass(protocol, options=self.options(job, data.classes)),)).run(job)

    def options(self, job: Job, classes: tuple[str, ...]) -> tuple[tuple[str, object], ...]:
        """Of the job's engine: none but for zegclip."""
        if job.engine != "zegclip":
            return ()
        options = (("mode", "slide"), ("templates", job.options.get("templates", self.templates)))
        if not self.penalty:
            return options
        seen = [name for name in classes if name not in self.unseen]
        return (*options, ("seen", seen), ("seen_penalty", self.penalty))


@dataclass(frozen=True)
class Kinds:
    """Rendered scenes, by kind; engine zegclip looks at them whole."""

    def run(self, job: Job) -> Outcome | None:
        """As Passes. Raises ValueError."""
        from clipseg_ros.evaluation.zegclip_scenes import UNSEEN

        return Passes(open_kind_scenes, (Pass(Labels(unseen=UNSEEN)),)).run(job)


def of(table: str, prefix: str = "", metrics: tuple[str, ...] = METRICS) -> Published:
    """A table of the paper, whose columns may have a data set's name before the metric's."""
    return Published("zegclip", table, tuple((metric, f"{prefix}{metric}") for metric in metrics))


def _zero_shot(
    name: str, title: str, root: str, kind: Generalised, prefix: str, ablations: Mapping[str, Published]
) -> list[Benchmark]:
    """Table 2's columns of a data set, and the other tables that were measured as its inductive rows."""
    inductive = Benchmark(
        f"zegclip-{name}", f"{title}: all classes compete", kind, root, of("table2", prefix), (PENALISED,)
    )
    knowing = replace(
        inductive, name=f"{inductive.name}-transductive", kind=replace(kind, penalty=0.0),
        title=f"{inductive.title}, for weights that training told of the unseen ones",
        notes=("self-trained and fully supervised weights: nothing is taken off the probabilities of seen classes",),
    )
    others = [
        replace(inductive, name=f"{inductive.name}-{what}", title=f"{title}: {what}", published=table)
        for what, table in ablations.items()
    ]
    return [inductive, knowing, *others]


def _across(name: str, title: str, root: str, opener: Opener) -> Benchmark:
    return Benchmark(
        f"zegclip-across-{name}", f"{title}, for weights trained on another data set", Generalised(opener, "multi"),
        root, of("table7", metrics=("pAcc", "mIoU", "mAcc")),
        ("rows name the data set trained on and the one measured; classes are asked by the names of the latter",),
    )


ENTRIES = (
    *_zero_shot(
        "voc", "VOC 2012 val, 15 classes seen and 5 not", VOC_ROOT,
        Generalised(open_voc20, "single", VOC_UNSEEN, PENALTY), "VOC ",
        {"queries": of("table4"), "designs": of("table5", "VOC "), "losses": of("table6"), "depth": of("table8")},
    ),
    *_zero_shot(
        "coco", "COCO-Stuff 164K val, 156 classes seen and 15 not", COCO_ROOT,
        Generalised(open_coco_stuff, "multi", COCO_UNSEEN, PENALTY), "COCO ",
        {"designs": of("table5", "COCO "), "losses": of("table6"), "templates": of("table9")},
    ),
    *_zero_shot(
        "context", "Pascal Context val with background, 50 classes seen and 10 not", CONTEXT_ROOT,
        Generalised(open_context60, "multi", CONTEXT_UNSEEN, PENALTY), "Context ",
        {"losses": of("table6"), "templates": of("table9")},
    ),
    _across("voc", "VOC 2012 val, 20 classes", VOC_ROOT, open_voc20),
    _across("coco", "COCO-Stuff 164K val, 171 classes", COCO_ROOT, open_coco_stuff),
    _across("context", "Pascal Context val, 59 classes and background", CONTEXT_ROOT, open_context60),
    Benchmark(
        "tabletop-zegclip", "rendered scenes that training never saw, 320x240: 12 kinds were taught by masks, 5 were not",
        Kinds(), notes=("pixels of table, room and clutter are not counted: kinds compete for those of objects",),
    ),
)
