# SPDX-License-Identifier: Apache-2.0
"""The benchmarks of CLIP as RNN: every table that it prints, options that exist, data sets that open."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from clipseg_ros.datasets import DatasetError
from clipseg_ros.datasets.class_names import COCO80, VOC20
from clipseg_ros.engines.car_presets import PRESETS, settings
from clipseg_ros.evaluation import car_benchmarks, openers, published
from clipseg_ros.evaluation.benchmarks import BENCHMARKS
from clipseg_ros.evaluation.car_benchmarks import BACKGROUNDS, CAMS, PROMPTS, ForCar, Refined, thresholds
from clipseg_ros.evaluation.car_scenes import MixedTabletop, markdown
from clipseg_ros.evaluation.passes import Job
from clipseg_ros.evaluation.results import Row

LISTED = {each.name: each for each in car_benchmarks.ENTRIES}


def options() -> Iterator[tuple[str, dict[str, object]]]:
    """The engine options of every pass and variant."""
    for name, each in LISTED.items():
        if isinstance(each.kind, ForCar):
            yield from ((name, dict(one.options)) for one in each.kind.passes.passes)
        elif isinstance(each.kind, MixedTabletop):
            yield from ((name, dict(given)) for _, given in each.kind.variants)


def test_every_table_but_that_of_other_weights_has_a_benchmark() -> None:
    tables = {each.published.table for each in LISTED.values() if each.published}
    assert tables == {f"table{number}" for number in (1, 2, 4, 5, 6, 7, 8, "J")}
    assert all(LISTED[name] is BENCHMARKS[name] for name in LISTED)


def test_every_column_of_tables_7_and_i_has_a_benchmark_that_names_ovseg() -> None:
    columns = {each.published.columns[0][1]: each for each in LISTED.values()
               if each.published and each.published.table == "table7"}
    assert set(columns) == set(published.table("car", "table7").columns)
    assert "Table I prints 22.58 for OVSeg" in columns["RefCOCO val"].notes


def test_all_options_are_settings_of_the_engine_and_presets_those_of_the_data_set() -> None:
    presets = {}
    for name, given in options():
        assert settings(given).max_steps >= 0
        if "preset" in given:
            presets.setdefault(given["preset"], set()).add(name)
    assert set(presets) <= set(PRESETS)
    assert presets["refcoco+"] == {"car-refcoco+-val", "car-refcoco+-testA", "car-refcoco+-testB"}
    assert presets["context"] == {"car-context", "car-context59"} and presets["ade_150"] == {"car-ade150"}
    assert "car-ref-davis" in presets["refcocog"] and "car-voc20" in presets["voc"]


def test_variants_are_the_papers_rows() -> None:
    assert {name for name, _ in CAMS} >= {name for name, _ in published.table("car", "table2").rows}
    assert dict(PROMPTS)["circle+blur"] == (("visual_prompts", ("circle", "blur")),)
    assert dict(PROMPTS)["mask"] == (("visual_prompts", ("black",)),) and len(PROMPTS) == 10
    assert dict(BACKGROUNDS)["none"] == (("background", ()),) and len(BACKGROUNDS) == 8
    assert dict(BACKGROUNDS)["terrestrial+man_made"] == (("background", ("terrestrial", "man_made")),)
    assert len(dict(thresholds("VOC"))) == len(dict(thresholds("COCO"))) == 7
    best = settings(dict(thresholds("COCO")[3][1]))
    assert (best.mask_threshold, best.confidence_threshold, best.box_threshold) == (0.5, 0.3, 0.5)


def test_sam_is_compared_where_the_user_has_one() -> None:
    kind = LISTED["car-voc-refined"].kind
    assert isinstance(kind, Refined)
    assert [name for name, _ in kind.rows("")] == ["no post-processing", "CRF"]
    assert kind.rows("my/sam")[2] == ("CRF and SAM", (("crf", True), ("sam_weights", "my/sam")))


def test_edited_texts_are_asked_of_classes_that_the_data_set_has() -> None:
    assert {name for name, _ in car_benchmarks.VOC.texts} <= set(VOC20)
    assert {name for name, _ in car_benchmarks.COCO.texts} <= set(COCO80)


@pytest.mark.parametrize("name", ["car-voc-cam", "car-voc-refined", "tabletop-car-variants"])
def test_variants_of_car_are_refused_for_other_engines(name: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="--engine clipseg: these are variants of engine car; take --engine car"):
        LISTED[name].kind.run(Job("clipseg", "demo", tmp_path))


def test_scenes_take_no_threshold(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="--threshold 0.5: the engine labels by its own"):
        LISTED["tabletop-car"].kind.run(Job("clipseg", "demo", tmp_path, threshold=0.5))


def test_other_engines_are_asked_on_the_same_scenes(tmp_path: Path) -> None:
    kind = LISTED["tabletop-car"].kind
    assert kind.run(Job("clipseg", "demo", tmp_path, rank=1, world=2)) is None
    outcome = kind.run(Job("clipseg", "demo", tmp_path, device="cpu", limit=1))
    assert [row.name for row in outcome.rows][:2] == ["N = 1, present", "N = 1, absent"]
    table = (tmp_path / "table.md").read_text().splitlines()
    assert table[0] == "|  | IoU | kept | dropped | near dropped | marked |" and len(table) == 2 + 6
    assert (outcome.samples, outcome.available) == (1, 200)


def test_the_markdown_is_in_percent_with_a_dash_for_what_is_unknown() -> None:
    rows = [Row("a", {"IoU": 0.5}), Row("b", {"IoU": float("nan"), "kept": 1.0})]
    assert markdown(rows) == "|  | IoU | kept |\n| --- | ---: | ---: |\n| a | 50.0 | - |\n| b | - | 100.0 |\n"


@pytest.mark.parametrize(
    ("opener", "missing"),
    [
        (openers.open_context60, "SegmentationContext/val.txt"),
        (openers.open_context59, "SegmentationContext/val.txt"),
        (openers.open_coco_object, "val2017"),
        (openers.open_ade150, "objectInfo150.txt"),
        (openers.open_ref_davis, "ImageSets/2017/val.txt"),
        (LISTED["car-refcocog-test"].kind.passes.open, "refcocog/refs(umd).p"),
    ],
)
def test_a_data_set_that_is_missing_is_named(opener, missing: str, tmp_path: Path) -> None:
    with pytest.raises(DatasetError) as error:
        list(opener(tmp_path).values())
    assert missing in str(error.value)
