# SPDX-License-Identifier: Apache-2.0
"""Engine car, with the golden random CLIPs, through every kind of its benchmarks, on data sets in miniature."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest
from PIL import Image

from clipseg_ros.__main__ import main
from clipseg_ros.datasets.ref_davis import SETS
from clipseg_ros.evaluation.car_benchmarks import NO_RECURRENCE
from clipseg_ros.evaluation.car_scenes import MixedTabletop
from clipseg_ros.evaluation.passes import Job

GOLDEN = Path(__file__).parents[1] / "golden" / "car"
HEIGHT, WIDTH = 48, 64
STEM = "2008_000002"
Evaluate = Callable[..., dict]


def save_picture(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(0).integers(0, 256, (HEIGHT // 8, WIDTH // 8, 3), np.uint8)
    Image.fromarray(pixels.repeat(8, 0).repeat(8, 1)).save(path, quality=95)


def save_labels(path: Path, *values: int) -> None:
    """The values as upright stripes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    stripes = np.array(values, np.uint8)[np.arange(WIDTH) * len(values) // WIDTH]
    Image.fromarray(np.broadcast_to(stripes, (HEIGHT, WIDTH)).copy()).save(path)


def save_text(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def voc(root: Path) -> None:
    save_picture(root / f"JPEGImages/{STEM}.jpg")
    save_labels(root / f"SegmentationClass/{STEM}.png", 0, 3, 15, 255)
    save_text(root / "ImageSets/Segmentation/val.txt", f"{STEM}\n")


def context(root: Path) -> None:
    save_picture(root / f"JPEGImages/{STEM}.jpg")
    save_labels(root / f"SegmentationClassContext/{STEM}.png", 0, 1, 47, 59)
    save_text(root / "ImageSets/SegmentationContext/val.txt", f"{STEM}\n")


def coco(root: Path) -> None:
    save_picture(root / "images/val2017/000000000139.jpg")
    save_labels(root / "annotations/val2017/000000000139_instanceTrainIds.png", 0, 1, 28)


def ade(root: Path) -> None:
    save_picture(root / "images/validation/ADE_val_00000001.jpg")
    save_labels(root / "annotations/validation/ADE_val_00000001.png", 0, 1, 150)
    rows = [f"{number}\t0.1\t1\t1\tcar {number}, synonym" for number in range(1, 151)]
    save_text(root / "objectInfo150.txt", "\n".join(["Idx\tRatio\tTrain\tVal\tName", *rows]))


def refcoco(root: Path) -> None:
    name = "COCO_train2014_000000000007.jpg"
    save_picture(root / f"images/mscoco/images/train2014/{name}")
    sentences = [
        {"raw": text, "sent": text, "sent_id": number, "tokens": text.split()}
        for number, text in enumerate(("red car", "the car", "cat"))
    ]
    ref = {"ref_id": 1, "ann_id": 2, "category_id": 1, "image_id": 7, "split": "val", "sentences": sentences}
    (root / "refcoco").mkdir(parents=True)
    (root / "refcoco/refs(unc).p").write_bytes(pickle.dumps([ref], protocol=2))
    picture = {"id": 7, "file_name": name, "height": HEIGHT, "width": WIDTH}
    box = [0, 0, 20, 0, 20, 30, 0, 30]
    truth = {"id": 2, "image_id": 7, "category_id": 1, "segmentation": [box], "iscrowd": 0}
    save_text(root / "refcoco/instances.json", json.dumps({"images": [picture], "annotations": [truth]}))


def davis(root: Path) -> None:
    for frame in ("00000", "00001"):
        save_picture(root / f"DAVIS/JPEGImages/480p/dogs/{frame}.jpg")
        save_labels(root / f"DAVIS/Annotations_unsupervised/480p/dogs/{frame}.png", 1, 0, 2)
    save_text(root / "DAVIS/ImageSets/2017/val.txt", "dogs\n")
    for name, _ in SETS:
        save_text(root / "davis_text_annotations" / name, 'dogs 1 "a cat"\ndogs 2 "a car"\n')


@pytest.fixture
def evaluate(tmp_path: Path) -> Evaluate:
    """Runs a benchmark of engine car, quickly, without CRF: the rows' values by name."""

    def run(benchmark: str, write: Callable[[Path], None], *words: str) -> dict[str, dict[str, float]]:
        root, out = tmp_path / "data", tmp_path / "out"
        if not root.exists():
            write(root)
        given = ["--engine", "car", "--weights", str(GOLDEN / "model_proposal"), "--device", "cpu"]
        options = [f"classifier_weights={GOLDEN / 'model_classifier'}", "crf=false", "templates=plain"]
        given += [word for option in options for word in ("--option", option)]
        assert main(["evaluate", benchmark, *given, "--root", str(root), "--out", str(out), *words]) == 0
        rows = json.loads((out / "results.json").read_text())["rows"]
        return {row["name"]: row["values"] for row in rows}

    return run


@pytest.mark.parametrize(
    ("name", "write"), [("car-voc", voc), ("car-coco-object", coco), ("car-context", context)]
)
def test_label_maps_with_background(name: str, write: Callable, evaluate: Evaluate, capsys) -> None:
    rows = evaluate(name, write)
    assert list(rows) == ["ours"] and 0.0 <= rows["ours"]["mIoU"] < 1.0
    assert "published (CaR, Table 1)" in capsys.readouterr().out


@pytest.mark.parametrize(("name", "write"), [("car-voc20", voc), ("car-context59", context), ("car-ade150", ade)])
def test_label_maps_without_background(name: str, write: Callable, evaluate: Evaluate) -> None:
    rows = evaluate(name, write)
    assert list(rows) == ["ours", "ours, painted background is a miss", "ours, counted as by the authors"]
    assert all(0.0 <= values["pAcc"] < 1.0 for values in rows.values())


def test_sentences_of_an_object_joined_and_alone(evaluate: Evaluate) -> None:
    rows = evaluate("car-refcoco-val", refcoco)
    assert [(name, values["prompts"]) for name, values in rows.items()] == [("ours", 1), ("each sentence alone", 3)]
    assert 0.0 <= rows["ours"]["mIoU"] < 1.0 and 0.0 < rows["each sentence alone"]["oIoU"] < 1.0


def test_a_video_frame_by_frame(evaluate: Evaluate) -> None:
    rows = evaluate("car-ref-davis", davis)
    assert list(rows) == ["ours", *(f"ours, set {number}" for number in range(1, 5))]
    assert rows["ours"]["J&F"] == pytest.approx((rows["ours"]["J"] + rows["ours"]["F"]) / 2)
    assert rows["ours"]["J"] > 0.0


def test_variants_differ(evaluate: Evaluate, tmp_path: Path) -> None:
    rows = evaluate("car-voc-cam", voc)
    assert list(rows)[:2] == ["CLIP-ES, no recurrence", "CLIP-ES, recurrence"] and len(rows) == 4
    painted = {}
    for path in (tmp_path / "out" / "predictions").rglob("*.npz"):
        with np.load(path) as arrays:
            painted[unquote(path.parent.name)] = set(np.unique(arrays["painted"]).tolist()) - {0}
    assert len(painted["CLIP-ES, no recurrence"]) > len(painted["CLIP-ES, recurrence"]) > 0


def test_single_options_come_on_top_of_the_preset_and_the_preset_is_the_benchmarks(
    evaluate: Evaluate, tmp_path: Path, capsys
) -> None:
    first = evaluate("car-voc", voc, "--option", "max_steps=0", "--option", "background=[]")
    assert first["ours"]["pAcc"] >= 0.0
    words = ["--engine", "car", "--weights", "x", "--root", str(tmp_path / "data"), "--option", "preset=demo"]
    assert main(["evaluate", "car-voc", *words]) == 1
    assert "--option preset='demo': this benchmark sets it to 'voc'" in capsys.readouterr().err


def test_post_processing_is_compared_and_the_crf_is_the_benchmarks(tmp_path: Path, capsys) -> None:
    voc(tmp_path)
    words = ["--engine", "car", "--root", str(tmp_path), "--option", "crf=false", "--option", "sam_weights=x"]
    assert main(["evaluate", "car-voc-refined", *words, "--out", str(tmp_path / "out")]) == 1
    assert "--option crf=False: this benchmark sets it to True" in capsys.readouterr().err


def test_scenes_ask_for_what_is_there_and_what_is_not(tmp_path: Path) -> None:
    kind = MixedTabletop((("none dropped", NO_RECURRENCE), ("all dropped", (("confidence_threshold", 1.0),))))
    outcome = kind.run(Job("car", str(GOLDEN / "model_proposal"), tmp_path, device="cpu", limit=1))
    values = {row.name: row.values for row in outcome.rows}
    assert len(values) == 12 and values["none dropped, N = 5, all absent"]["dropped"] == 0.0
    assert values["all dropped, N = 5, all absent"]["dropped"] == 1.0
    assert values["all dropped, N = 1, present"] | {"dropped": 0, "near dropped": 0, "marked": 0} == {
        "IoU": 0.0, "kept": 0.0, "dropped": 0, "near dropped": 0, "marked": 0
    }
    assert "| all dropped, N = 1, present | 0.0 | 0.0 | - | - | - |" in (tmp_path / "table.md").read_text()
