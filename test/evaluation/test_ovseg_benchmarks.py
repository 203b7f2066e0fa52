# SPDX-License-Identifier: Apache-2.0
"""The benchmarks of OVSeg: every table that it prints, what the engine is set to, and both halves on miniatures."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from clipseg_ros.datasets import DatasetError
from clipseg_ros.evaluation import ovseg_benchmarks, published
from clipseg_ros.evaluation.ovseg_benchmarks import OneHalf, Vocabulary, open_ade847, open_context59, open_context459
from clipseg_ros.evaluation.ovseg_reader import read_regions
from clipseg_ros.evaluation.passes import Job
from clipseg_ros.models import ovseg
from clipseg_ros.models.hub import WeightsError
from clipseg_ros.models.maskformer import ProposalShape
from clipseg_ros.training import ovseg_train

LISTED = {each.name: each for each in ovseg_benchmarks.ENTRIES}
SHAPE = ProposalShape(
    width=8, depths=(1, 1, 1, 1), heads=(1, 1, 1, 1), window=4, features=32, decoder_width=16, decoder_layers=1,
    decoder_heads=2, decoder_hidden=16, queries=5, vector_hidden=8,
)


@pytest.fixture(scope="module")
def ovseg_weights(tiny_weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of a random OVSeg."""
    network, folder = ovseg_train.start(str(tiny_weights), ovseg.OVSegShape(SHAPE, 2))
    out = tmp_path_factory.mktemp("ovseg")
    ovseg.save(network, out, folder)
    return out


@pytest.fixture
def voc(tmp_path: Path) -> Path:
    """VOC 2012 val of two pictures: a cat beside a sofa, and a dog."""
    for folder in ("JPEGImages", "SegmentationClassAug", "ImageSets/Segmentation"):
        (tmp_path / folder).mkdir(parents=True)
    labels = np.full((2, 24, 40), 255, np.uint8)
    labels[0, :, :20], labels[0, :, 20:], labels[1, 4:20] = 8, 18, 12
    for name, one in zip("ab", labels):
        cv2.imwrite(str(tmp_path / "JPEGImages" / f"{name}.jpg"), np.dstack([one] * 3))
        cv2.imwrite(str(tmp_path / "SegmentationClassAug" / f"{name}.png"), one)
    (tmp_path / "ImageSets" / "Segmentation" / "val.txt").write_text("a\nb\n")
    return tmp_path


def test_every_column_of_the_tables_has_a_benchmark() -> None:
    shown = {(each.published.table, *column) for each in LISTED.values() if each.published
             for column in each.published.columns}
    for number in (1, 2, 3):
        columns = [one for one in published.table("ovseg", f"table{number}").columns if one[:2] in ("A-", "PC", "PA")]
        wanted = {(f"table{number}", "mIoU", one) for one in columns if not one.endswith("delta")}
        assert wanted == {one for one in shown if one[0] == f"table{number}"}


def test_the_engine_is_set_as_published_and_the_user_has_the_last_word() -> None:
    weights = {name: LISTED[f"ovseg-{name}"].kind.clip_weight for name in ("ade150", "ade847", "context59", "voc20")}
    assert weights == {"ade150": 0.7, "ade847": 0.7, "context59": 0.6, "voc20": 0.45}
    kind = Vocabulary(open_context59, 0.6)
    options = dict(kind.options(Job("ovseg", "", Path(), options={"clip_weight": 0.2})))
    assert options == {"select": "all", "speed": "reference", "clip_weight": 0.2}
    assert kind.options(Job("clipseg", "", Path())) == ()


def test_a_vocabulary_is_measured_with_every_class(voc: Path, ovseg_weights: Path, tmp_path: Path) -> None:
    job = Job("ovseg", str(ovseg_weights), tmp_path / "out", voc, "cpu", options={"side": 64})
    outcome = LISTED["ovseg-voc20"].kind.run(job)
    assert 0.0 <= outcome.rows[0].values["mIoU"] <= 1.0 and len(outcome.classes) == 20 and outcome.samples == 2


def test_one_half_is_right_where_its_oracle_is(voc: Path, ovseg_weights: Path, tmp_path: Path) -> None:
    job = Job("ovseg", str(ovseg_weights), tmp_path / "out", voc, "cpu", options={"side": 64, "mask_threshold": 0.0})
    masks, classes = LISTED["ovseg-voc20-oracle"].kind.run(job).rows
    assert masks.name == "true masks, CLIP's classes" and 0.0 <= masks.values["mIoU"] <= 1.0
    # Of masks that are the whole picture the first takes one class of each picture: cat or sofa, and dog.
    assert classes.name == "proposals, true classes" and classes.values["mIoU"] == pytest.approx((0.5 + 0.0 + 1.0) / 3)


@pytest.mark.parametrize(
    ("engine", "options", "message"),
    [("clipseg", {}, "engine 'clipseg': this benchmark takes weights of ovseg apart"),
     ("ovseg", {"top_k": 1}, "--option top_k: this benchmark has side, mask_threshold and templates alone")],
)
def test_what_has_no_halves_is_refused(engine: str, options: dict[str, object], message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message):
        read_regions(Job(engine, "", tmp_path, options=options), {})


def test_a_clip_without_proposals_is_refused(tiny_weights: Path, tmp_path: Path) -> None:
    network, folder = ovseg_train.start(str(tiny_weights), ovseg.OVSegShape(None, 0))
    ovseg.save(network, tmp_path, folder)
    with pytest.raises(WeightsError, match="a CLIP without proposals, which are half of this benchmark"):
        read_regions(Job("ovseg", str(tmp_path), tmp_path, device="cpu"), {})


def test_oracles_have_no_threshold(voc: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="--threshold 0.5: a pixel takes the class of highest score"):
        LISTED["ovseg-voc20-oracle"].kind.run(Job("ovseg", "", tmp_path, voc, threshold=0.5))
    assert isinstance(LISTED["ovseg-voc20-oracle"].kind, OneHalf)


def test_the_authors_form_is_read_where_it_is_there(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="SegmentationContext"):
        open_context59(tmp_path)
    with pytest.raises(DatasetError, match="labels.txt"):
        open_context459(tmp_path)
    with pytest.raises(DatasetError, match="classes847.csv"):
        open_ade847(tmp_path)
    (tmp_path / "annotations_detectron2" / "pc59_val").mkdir(parents=True)
    with pytest.raises(DatasetError, match="59_labels.txt"):
        open_context59(tmp_path)
