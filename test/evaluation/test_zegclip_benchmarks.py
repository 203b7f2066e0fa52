# SPDX-License-Identifier: Apache-2.0
"""The benchmarks of ZegCLIP: every table that it prints, its splits, how the engine is run, and rendered kinds."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from clipseg_ros.datasets import DatasetError, tabletop
from clipseg_ros.datasets.class_names import COCO_STUFF171, CONTEXT60, VOC20
from clipseg_ros.datasets.coco import COCO_STUFF_UNSEEN
from clipseg_ros.datasets.context import CONTEXT60_UNSEEN
from clipseg_ros.datasets.voc import VOC20_UNSEEN
from clipseg_ros.evaluation import zegclip_benchmarks
from clipseg_ros.evaluation.benchmarks import BENCHMARKS
from clipseg_ros.evaluation.evaluate import evaluate
from clipseg_ros.evaluation.passes import Job
from clipseg_ros.evaluation.zegclip_benchmarks import Generalised, open_coco_stuff, open_kind_scenes
from clipseg_ros.evaluation.zegclip_scenes import CLASSES, UNSEEN, KindScenes
from clipseg_ros.models.zegclip import Shape
from clipseg_ros.training import zegclip_student

LISTED = {each.name: each for each in zegclip_benchmarks.ENTRIES}


@pytest.fixture(scope="module")
def zegclip_weights(tiny_weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of a random ZegCLIP."""
    shape = Shape(prompts=2, heads=4, hidden=32, side=64)
    folder = tmp_path_factory.mktemp("zegclip")
    zegclip_student.save(zegclip_student.build(str(tiny_weights), shape, False, "single", seed=0), folder)
    return folder


@pytest.fixture
def voc(tmp_path: Path) -> Path:
    """VOC 2012 val of two pictures: a cat beside a sofa, and a dog."""
    for folder in ("JPEGImages", "SegmentationClass", "ImageSets/Segmentation"):
        (tmp_path / folder).mkdir(parents=True)
    labels = np.full((2, 24, 40), 255, np.uint8)
    labels[0, :, :20], labels[0, :, 20:], labels[1, 4:20] = 8, 18, 12
    for name, one in zip("ab", labels):
        cv2.imwrite(str(tmp_path / "JPEGImages" / f"{name}.jpg"), np.dstack([one] * 3))
        cv2.imwrite(str(tmp_path / "SegmentationClass" / f"{name}.png"), one)
    (tmp_path / "ImageSets" / "Segmentation" / "val.txt").write_text("a\nb\n")
    return tmp_path


def test_every_table_but_that_of_speeds_has_a_benchmark() -> None:
    tables = {each.published.table for each in LISTED.values() if each.published}
    assert tables == {f"table{number}" for number in (2, 4, 5, 6, 7, 8, 9)}
    assert all(LISTED[name] is BENCHMARKS[name] for name in LISTED)


@pytest.mark.parametrize(
    ("name", "classes", "unseen"),
    [("voc", VOC20, VOC20_UNSEEN), ("coco", COCO_STUFF171, COCO_STUFF_UNSEEN),
     ("context", CONTEXT60, CONTEXT60_UNSEEN)],
)
def test_unseen_classes_are_the_splits(name: str, classes: tuple[str, ...], unseen: tuple[int, ...]) -> None:
    kinds = [LISTED[f"zegclip-{name}"].kind, LISTED[f"zegclip-{name}-transductive"].kind]
    assert all(kind.unseen == tuple(classes[number] for number in unseen) for kind in kinds)
    assert [kind.penalty for kind in kinds] == [0.1, 0.0]
    assert LISTED[f"zegclip-{name}"].title.endswith(f"{len(classes) - len(unseen)} classes seen and {len(unseen)} not: "
                                                    "all classes compete")


def test_the_engine_slides_asks_in_sentences_and_penalises_what_was_seen(tmp_path: Path) -> None:
    kind = LISTED["zegclip-voc"].kind
    assert isinstance(kind, Generalised)
    options = dict(kind.options(Job("zegclip", "w", tmp_path), VOC20))
    assert options == {"mode": "slide", "templates": "single", "seen": list(VOC20[:15]), "seen_penalty": 0.1}
    assert kind.options(Job("clipseg", "w", tmp_path), VOC20) == ()
    own = Job("zegclip", "w", tmp_path, options={"templates": "{}"})
    assert dict(LISTED["zegclip-across-coco"].kind.options(own, COCO_STUFF171)) == {"mode": "slide", "templates": "{}"}


@pytest.mark.parametrize("name", ["zegclip-voc", "zegclip-across-voc"])
def test_numbers_stand_beside_the_papers(name: str, voc: Path, zegclip_weights: Path, tmp_path: Path) -> None:
    report = evaluate(LISTED[name], Job("zegclip", str(zegclip_weights), tmp_path / "out", voc, "cpu"))
    (row,) = report.outcome.rows
    shown = {ours for ours, _ in LISTED[name].published.columns}
    assert shown <= set(row.values) and all(0.0 <= row.values[metric] <= 1.0 for metric in shown)
    text = report.text()
    assert "ZegCLIP" in text and ("91.9" if name == "zegclip-voc" else "93.9") in text
    assert len(report.outcome.classes) == 20


def test_coco_stuff_is_opened_as_mmsegmentation_converts_it(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="val2017"):
        open_coco_stuff(tmp_path)


def test_rendered_kinds_are_counted_and_all_else_is_not(tmp_path: Path) -> None:
    (data,) = open_kind_scenes(tmp_path).values()
    assert isinstance(data, KindScenes) and len(data) == 200 and data.classes == tuple(tabletop.KINDS)
    assert set(UNSEEN) < set(CLASSES) and set(tabletop.UNSEEN_KINDS.values()) < set(UNSEEN)
    sample = data[0]
    truth = tabletop.render(tabletop.compose(int(sample.name)), 240, 320).labels
    names = tabletop.class_names()
    for index in np.unique(truth):
        (found,) = np.unique(sample.labels[truth == index])
        assert found == (-1 if index == 0 else CLASSES.index(names[int(index)]["kind"]))


def test_tabletop_prints_seen_unseen_and_their_harmonic_mean(zegclip_weights: Path, tmp_path: Path) -> None:
    job = Job("zegclip", str(zegclip_weights), tmp_path, device="cpu", limit=2, options={"templates": "{}"})
    report = evaluate(LISTED["tabletop-zegclip"], job)
    (row,) = report.outcome.rows
    assert {"mIoU(S)", "mIoU(U)", "hIoU", "pAcc", "mAcc"} <= set(row.values)
    assert {each.name for _, each in report.outcome.classes if each.values["unseen"]} == set(UNSEEN)
