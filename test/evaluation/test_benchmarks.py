# SPDX-License-Identifier: Apache-2.0
"""The list of benchmarks: complete, quick to read, true to the tables it names."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from clipseg_ros.datasets import DatasetError
from clipseg_ros.datasets.class_names import VOC20
from clipseg_ros.datasets.phrasecut_plus import SHUFFLE_PLUS
from clipseg_ros.datasets.voc import clipseg_unseen
from clipseg_ros.evaluation import (
    car_benchmarks, clipseg_benchmarks, openers, ovseg_benchmarks, own_benchmarks, published, zegclip_benchmarks,
)
from clipseg_ros.evaluation.benchmarks import BENCHMARKS, find
from clipseg_ros.evaluation.labels_protocol import Labels
from clipseg_ros.evaluation.passes import Passes


def test_no_two_benchmarks_share_a_name() -> None:
    lists = (own_benchmarks, clipseg_benchmarks, car_benchmarks, zegclip_benchmarks, ovseg_benchmarks)
    assert len(BENCHMARKS) == sum(len(each.ENTRIES) for each in lists)


def test_tables_2_to_9_each_have_a_benchmark() -> None:
    shown = [each.published for each in clipseg_benchmarks.ENTRIES if each.published]
    tables = {each.table for each in shown if each.paper == "clipseg"}
    assert {f"table{number}" for number in range(2, 10)} <= tables


@pytest.mark.parametrize("name", [name for name, each in BENCHMARKS.items() if each.published])
def test_published_columns_are_those_of_the_table(name: str) -> None:
    shown = BENCHMARKS[name].published
    assert {theirs for _, theirs in shown.columns} <= set(published.table(shown.paper, shown.table).columns)
    paper = {"clipseg": "CLIPSeg", "car": "CaR", "zegclip": "ZegCLIP", "ovseg": "OVSeg"}[shown.paper]
    assert BENCHMARKS[name].source.startswith(f"{paper}, Table ")


def test_an_unknown_name_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match="benchmark 'phrasecutt': expected one of tabletop, phrasecut, .*--list"):
        find("phrasecutt")


def test_the_list_needs_neither_torch_nor_a_data_set() -> None:
    code = (
        "import sys, clipseg_ros.evaluation.benchmarks\n"
        "names = [n for n in sys.modules if n.split('.')[0] in ('torch', 'transformers', 'PIL', 'scipy', 'tqdm')]\n"
        "print(sorted({n.split('.')[0] for n in names} - {'tqdm'}))\n"
        "print([n for n in sys.modules if n.startswith('clipseg_ros.datasets.')])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert result.stdout.splitlines() == ["[]", "[]"], result.stderr


@pytest.mark.parametrize("count", [4, 10])
def test_unseen_classes_are_those_of_the_split_and_exist(count: int) -> None:
    for name in (f"clipseg-voc20-unseen-{count}", f"clipseg-voc21-unseen-{count}"):
        kind = BENCHMARKS[name].kind
        assert isinstance(kind, Passes) and isinstance(kind.passes[0].protocol, Labels)
        unseen = kind.passes[0].protocol.unseen
        assert unseen == clipseg_unseen(count) and set(unseen) <= set(VOC20)


def test_prompt_forms_are_the_sentences_of_training_and_the_bare_phrase() -> None:
    assert set(clipseg_benchmarks.TEMPLATES) == {"{}", *SHUFFLE_PLUS}


def test_sides_are_multiples_of_the_patches_of_clip() -> None:
    assert all(side % 16 == 0 for side in clipseg_benchmarks.SIDES) and 352 in clipseg_benchmarks.SIDES


@pytest.mark.parametrize("opener", [openers.open_voc20, openers.open_voc21])
def test_voc_is_opened_from_its_folder(opener, tmp_path: Path) -> None:
    for folder in ("JPEGImages", "SegmentationClass", "ImageSets/Segmentation"):
        (tmp_path / folder).mkdir(parents=True)
    Image.new("RGB", (8, 8)).save(tmp_path / "JPEGImages" / "a.jpg")
    Image.fromarray(np.full((8, 8), 20, np.uint8)).save(tmp_path / "SegmentationClass" / "a.png")
    (tmp_path / "ImageSets" / "Segmentation" / "val.txt").write_text("a\n")
    (data,) = opener(tmp_path).values()
    assert len(data) == 1 and data.classes[data[0].labels[0, 0]] == "tvmonitor"


def test_pascal5i_is_opened_in_four_folds(tmp_path: Path) -> None:
    for folder in ("JPEGImages", "SegmentationClassAug"):
        (tmp_path / folder).mkdir()
    lines = []
    for fold in range(4):
        for index in range(2):
            name = f"{fold}{index}"
            Image.new("RGB", (64, 64)).save(tmp_path / "JPEGImages" / f"{name}.jpg")
            labels = np.full((64, 64), 5 * fold + 1, np.uint8)
            Image.fromarray(labels).save(tmp_path / "SegmentationClassAug" / f"{name}.png")
            lines.append(f"JPEGImages/{name}.jpg SegmentationClassAug/{name}.png\n")
    (tmp_path / "val_fixed.txt").write_text("".join(lines))
    folds = openers.open_pascal5i(tmp_path)
    assert list(folds) == ["fold 0", "fold 1", "fold 2", "fold 3"]
    assert [data[0].classes for data in folds.values()] == [(0,), (5,), (10,), (15,)]
    assert all(data[0].prompts[0].support is not None for data in folds.values())


LEFT = [0, 0, 4, 0, 4, 8, 0, 8]
THINGS = {1: "sofa", 2: "bottle", 3: "horse", 4: "eagle", 5: "jeep", 6: "boat"}


@pytest.fixture
def lvis(tmp_path: Path) -> Path:
    """LVIS val with one picture a thing."""
    images = [
        {"id": key, "height": 8, "width": 12, "coco_url": f"http://x/val2017/{key}.jpg", "neg_category_ids": [],
         "not_exhaustive_category_ids": []}
        for key in THINGS
    ]
    marked = [
        {"id": key, "image_id": key, "category_id": key, "segmentation": [LEFT], "area": 32.0} for key in THINGS
    ]
    categories = [{"id": key, "synonyms": [name], "frequency": "f"} for key, name in THINGS.items()]
    content = {"images": images, "annotations": marked, "categories": categories}
    (tmp_path / "lvis_v1_val.json").write_text(json.dumps(content))
    (tmp_path / "val2017").mkdir()
    for key in THINGS:
        Image.new("RGB", (12, 8)).save(tmp_path / "val2017" / f"{key}.jpg")
    return tmp_path


@pytest.mark.parametrize(
    ("group", "counts"),
    [
        ("affordances", {"sit on": 1, "drink from": 1, "ride on": 1}),
        ("attributes", {"can fly": 1, "can be driven": 1, "can swim": 1}),
        ("meronymy", {"has wheels": 1, "has legs": 3}),
    ],
)
def test_traits_are_the_parts_of_their_group(group: str, counts: dict[str, int], lvis: Path) -> None:
    kind = BENCHMARKS[f"clipseg-{group}"].kind
    assert isinstance(kind, Passes)
    parts = kind.open(lvis)
    assert {trait: len(data) for trait, data in parts.items()} == counts
    assert all(data[0].target.any() for data in parts.values())


def test_table_2_draws_its_pairs_from_lvis(lvis: Path) -> None:
    with pytest.raises(DatasetError, match="1600 pairs: expected 1 to 0, the number there are"):
        openers.open_lvis_pairs(lvis)


def test_coco20i_is_opened_in_four_folds(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="splits/coco/val/fold0.pkl: not there"):
        openers.open_coco20i(tmp_path)
