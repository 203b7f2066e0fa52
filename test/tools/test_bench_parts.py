# SPDX-License-Identifier: Apache-2.0
"""A tiny version of the benchmark's parts without ROS, and its baseline of engine car against the authors' own run."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from clipseg_ros import engines
from clipseg_ros.__main__ import main
from clipseg_ros.engines import car_presets
from clipseg_ros.segmentation import Prompt
from clipseg_ros.tools.bench import car, goals, growth, networks, ovseg, setting
from clipseg_ros.tools.bench.reference_flow import ReferenceFlow
from clipseg_ros.tools.bench.rows import Row
from clipseg_ros.video import RegionMemory

pytestmark = pytest.mark.timeout(900)  # processes that import torch, also on a busy machine

CAR = Path(__file__).parents[1] / "golden" / "car"
QUERIES = ("cat", "dog", "bird avian", "car", "person with clothes,people,human")
OPTIONS = {
    "preset": "voc", "background": (), "background_words": ("ground", "land", "grass", "tree", "building"),
    "mask_threshold": 0.5, "confidence_threshold": 0.12, "box_threshold": 0.5, "visual_prompts": ("blur", "gray"),
    "swap_gray": True, "crf": False,
}


def test_the_reference_s_flow_ends_as_the_authors_run() -> None:
    """Case b of golden/car/stages, whose README says where it comes from."""
    with np.load(CAR / "stages" / "case_b.npz") as golden:
        image, entered, proposals = golden["image"], golden["0_keep"], golden["2_proposals"]
        kept = golden["2_keep"]
    flow = ReferenceFlow(
        CAR / "model_proposal", CAR / "model_classifier", "cpu", torch.float32, car_presets.settings(OPTIONS), int
    )
    found = flow(image, QUERIES)
    assert found.queries == (5, len(entered), len(kept)) and found.kept == tuple(kept)
    assert list(found.laps) == ["proposals", "classifier", "CRF"]
    planes = [cv2.resize(plane, image.shape[1::-1], interpolation=cv2.INTER_LINEAR) for plane in found.planes]
    np.testing.assert_allclose(planes, proposals, atol=2e-4)


@pytest.fixture(scope="module")
def quick(tmp_path_factory: pytest.TempPathFactory) -> list[dict]:
    """Rows of the parts without ROS."""
    out = tmp_path_factory.mktemp("bench") / "bench.json"
    parts = ["clipseg", "car", "zegclip", "ovseg", "growth"]
    words = ["--quick", "--only", *parts, "--roofline", "--device", "cpu", "--out", str(out)]
    assert main(["bench", *words]) == 0
    assert (out.parent / "growth.png").is_file()
    report = json.loads(out.read_text())
    assert report["settings"]["quick"] is True and report["settings"]["threads"] == torch.get_num_threads()
    return report["rows"]


def of(rows: list[dict], **wanted: str) -> list[dict]:
    return [row for row in rows if all(row[key] == value for key, value in wanted.items())]


def timed(rows: list[dict], case: str) -> list[dict]:
    return of(rows, part="clipseg", case=case, unit="ms")


def test_every_way_is_measured_beside_transformers(quick: list[dict]) -> None:
    for network in ("tiny", "demo"):
        for size in ("64x48", "128x72"):
            for count in (1, 2):
                case = f"{network}, {size}, N = {count}"
                theirs, *ours = [row for row in timed(quick, case) if row["way"][0] != " "]
                assert theirs["way"] == "transformers" and theirs["ratio"] is None
                assert [row["way"].split(",")[0] for row in ours] == ["fp32", "bf16", "fp32"]
                for row in ours:
                    assert row["ratio"] == pytest.approx(theirs["value"] / row["value"])
                    assert row["low"] <= row["value"] <= row["high"] and row["product_ms"] > 0.0
                stages = [row["way"].strip() for row in timed(quick, case) if row["way"][0] == " "]
                assert stages == ["pre-processing", "copies", "encoder", "decoder", "post-processing"]
    assert len(of(quick, way="fp32: each extra prompt", unit="%")) == 4


def test_the_demo_model_s_masks_are_compared_and_random_ones_are_not(quick: list[dict]) -> None:
    scenes = [row for row in of(quick, unit="IoU") if row["part"] == "clipseg"]
    assert [row["way"].split(",")[0] for row in scenes] == ["transformers", "bf16", "fp32"]
    assert all(0.0 <= row["value"] <= 1.0 for row in scenes)
    (halved,) = [row["iou"] for row in of(quick, case="demo, 64x48, N = 2", way="bf16")]
    assert halved == scenes[1]["value"] > 0.8
    assert of(quick, case="tiny, 64x48, N = 2", way="bf16")[0]["iou"] is None


def test_memory_is_of_a_process_with_its_libraries(quick: list[dict]) -> None:
    rows = of(quick, part="clipseg", unit="MB")
    assert [row["way"] for row in rows] == ["transformers", "fp32"]
    assert all(100.0 < row["value"] < 10_000.0 for row in rows)


def test_engine_car_marks_what_its_baseline_marks(quick: list[dict]) -> None:
    for count in (1, 2):
        case = f"tiny + tiny, 64x48, N = {count}"
        (theirs,) = of(quick, case=case, way="the reference's flow")
        (ours,) = of(quick, case=case, way="engine, preset voc")
        assert ours["ratio"] == pytest.approx(theirs["value"] / ours["value"])
        assert theirs["note"].startswith(f"{count} + ") and theirs["note"].endswith("queries entered its steps")
        assert len(of(quick, case=case, way="engine, preset robot")) == 1
        (agreed,) = of(quick, case=case, way="agreement of the two")
        assert agreed["value"] > 0.99
        shares = [row["way"] for row in of(quick, case=case) if row["way"].startswith("  engine: ")]
        crf = ["CRF"] if car.crf_installed() else []
        assert [way[10:] for way in shares] == [
            "pre-processing", "proposing CLIP", "proposals", "judging CLIP", *crf, "labels"
        ]


def test_engine_car_with_the_demo_model_is_taken_apart_too(quick: list[dict]) -> None:
    whole, *stages = of(quick, part="car", case="demo, 64x48, N = 5")
    assert whole["way"] == "engine, preset demo" and whole["note"].endswith(" kept")
    assert len(stages) == 5 and all(row["value"] >= 0.0 for row in stages)


def test_a_crf_that_is_not_installed_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(car, "crf_installed", lambda: False)
    rows = list(car.measure(setting.Setting("cpu", True, tmp_path, "ViT-B/16")))
    missing = [row for row in rows if row.way == "the reference's flow, CRF"]
    assert [(row.value, row.note) for row in missing] == [(None, "pydensecrf2 is not installed")] * 2
    assert not any("CRF" in row.way for row in rows if row.value is not None)


def test_the_roofline_stands_above_what_is_reached(quick: list[dict]) -> None:
    rows = of(quick, part="roofline")
    assert [row["unit"] for row in rows[:2]] == ["GFLOP/s", "GB/s"] and all(row["value"] > 0.0 for row in rows[:2])
    near = [row for row in rows if row["unit"] == "%"]
    assert [row["way"].split(":")[0].strip() for row in near] == ["encoder", "decoder", "whole frame"] * 2
    assert all(0.0 < row["value"] < 100.0 for row in near)


def test_growth_is_measured_point_by_point_and_drawn(quick: list[dict], tmp_path: Path) -> None:
    rows = of(quick, part="growth")
    ways = ["1 prompts", "2 prompts", "0.0768 megapixels", "0.3072 megapixels", "1 cameras", "2 cameras",
            "176 pixels a side", "256 pixels a side", "1 steps", "2 steps"]
    assert [row["way"] for row in rows if row["unit"] == "ms"] == ways
    first, last, percent = (row["value"] for row in rows if row["unit"] != "ms")
    assert first > 100.0 and percent == pytest.approx(100.0 * (last - first) / first)
    made = [Row(**{**row, "goal": None}) for row in ({k: v for k, v in r.items() if k != "reached"} for r in rows)]
    growth.draw(made, tmp_path / "growth.png")
    assert cv2.imread(str(tmp_path / "growth.png")).shape[1] == 1200


def test_engine_zegclip_is_measured_beside_engine_clipseg_at_both_sides(quick: list[dict]) -> None:
    for count in (1, 2):
        theirs, *ours = of(quick, part="zegclip", case=f"tiny, 64x48, N = {count}")
        assert theirs["way"] == "engine clipseg" and theirs["ratio"] is None
        assert [row["way"] for row in ours] == ["engine zegclip, side 64"]
        assert all(row["ratio"] == pytest.approx(theirs["value"] / row["value"]) for row in ours)
    (few,), (many,) = (of(quick, part="zegclip", case=f"tiny, 64x48, N = {n}", way="engine clipseg") for n in (1, 2))
    more = of(quick, part="zegclip", case="tiny, 64x48", way="engine clipseg: 2 classes over 1")
    assert [row["value"] for row in more] == [pytest.approx(100.0 * (many["value"] / few["value"] - 1.0))]


def test_engine_ovseg_is_measured_at_both_speeds_in_a_video_and_beside_one_stage(quick: list[dict]) -> None:
    for count in (1, 2):
        reference, *others = of(quick, part="ovseg", case=f"tiny, 64x48, N = {count}")
        assert reference["way"] == "engine ovseg, reference" and reference["ratio"] is None
        ways = ["engine ovseg, fast", "engine ovseg, fast, regions known", "engine zegclip"]
        assert [row["way"] for row in others] == ways
        assert all(row["ratio"] == pytest.approx(reference["value"] / row["value"]) for row in others)


@pytest.mark.parametrize(("options", "again", "reads"), [({}, False, 12), ({}, True, 0), ({"top_k": 5}, False, 5)])
def test_cut_outs_that_are_read(tmp_path: Path, options: dict, again: bool, reads: int) -> None:
    weights = networks.write_ovseg("tiny", tmp_path / "ovseg")
    engine = engines.create("ovseg", str(weights), "cpu", **ovseg.EVERY_LOOK, **options)
    prompts, memories, looks = [Prompt("cup"), Prompt("car")], [RegionMemory()], []
    patches = engine._network.clip.vision_model.embeddings.patch_embedding
    patches.register_forward_pre_hook(lambda _, given: looks.append(len(given[0])))
    image = setting.frame((48, 64))
    engine.segment_batch([image], prompts, memories)
    if again:
        looks.clear()
        engine.segment_batch([image], prompts, memories)
    assert sum(looks) == reads


def test_no_goal_is_judged_by_a_tiny_version(quick: list[dict]) -> None:
    assert not any(row["goal"] for row in quick) and goals.FULL_SIZE not in {row["case"] for row in quick}
