# SPDX-License-Identifier: Apache-2.0
"""The demo: which queries it asks, how it runs its processes, what it writes; and all of it once."""

from __future__ import annotations

import json
import os
import socket
from contextlib import closing
from pathlib import Path

import cv2
import numpy as np
import pytest

from clipseg_ros.__main__ import main
from clipseg_ros.datasets import tabletop
from clipseg_ros.tools import demo, demo_processes, demo_queries, demo_sheet
from clipseg_ros.tools.demo_processes import ProcessFailed, Processes

SCENES = [
    [("mug", "red"), ("mug", "blue"), ("duck", "green")],
    [("mug", "red"), ("duck", "green"), ("sofa", "red")],
    [("mug", "green"), ("boat", "blue"), ("sofa", "black")],
]
MANY = [
    [(thing.kind, thing.colour) for thing in tabletop.compose(demo.FIRST_SEED + index).objects] for index in range(24)
]


def of_kind(scenes: list[list[tuple[str, str]]], kind: str) -> list[str]:
    return [text for text, other in demo_queries.choose(scenes) if other == kind]


def test_objects_are_the_kinds_in_most_scenes():
    assert of_kind(SCENES, "object") == ["mug", "sofa", "duck", "boat"]


def test_coloured_objects_share_no_kind_and_no_colour():
    assert of_kind(SCENES, "colour") == ["red mug", "green duck", "black sofa"]


def test_near_misses_are_a_seen_kind_in_an_unseen_colour_and_the_rest_is_rare():
    assert of_kind(SCENES, "absent") == ["black mug", "red bowl", "bottle", "glass"]


def test_the_demo_asks_every_kind_of_query_and_knows_the_truth_of_each():
    queries = demo_queries.choose(MANY)
    counts = {kind: len(of_kind(MANY, kind)) for kind in dict(demo_sheet.CHIPS)}
    assert counts == {
        "object": 4, "colour": 3, "attribute": 2, "part": 2, "affordance": 3, "absent": 4, "together": 1,
    }
    assert all(tabletop.classes_of(prompt) for text, _ in queries for prompt in text.split(";"))
    seen = {tabletop.class_id(*pair) for scene in MANY for pair in scene}
    assert not any(tabletop.classes_of(text) & seen for text in of_kind(MANY, "absent")[:2])


def test_scenes_that_hold_everything_leave_nothing_absent():
    everything = [[(kind, colour) for kind in tabletop.KINDS for colour in tabletop.COLOURS]]
    with pytest.raises(ValueError, match="take fewer scenes"):
        demo_queries.choose(everything)


def test_a_demo_without_scenes_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["demo", "--out", str(tmp_path), "--scenes", "0"]) == 1
    assert "--scenes 0: expected at least 1" in capsys.readouterr().err


def test_a_domain_in_use_is_not_taken(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(demo_processes.random, "shuffle", lambda domains: None)
    free = demo_processes.free_domain()
    with closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as taken:
        taken.bind(("", 7410 + 250 * free))
        assert demo_processes.free_domain() > free


def test_without_a_free_domain_it_says_so(monkeypatch: pytest.MonkeyPatch):
    with closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as taken:
        taken.bind(("", 0))
        monkeypatch.setattr(demo_processes, "FIRST_PORT", taken.getsockname()[1])
        monkeypatch.setattr(demo_processes, "PORTS_OF_A_DOMAIN", 0)
        with pytest.raises(OSError, match="every ROS domain from 1 to 99 is in use"):
            demo_processes.free_domain()


def test_the_profile_for_large_images_is_found():
    assert demo_processes.find_profiles().read_text().count("SHM") == 1


def test_a_process_that_fails_is_reported_with_the_end_of_its_log(tmp_path: Path):
    with Processes(tmp_path) as processes:
        processes.start("broken", ["no_such_module"])
        with pytest.raises(ProcessFailed, match="(?s)broken ended with exit code 1; the end of .*No module named"):
            processes.wait_for("broken", 20.0)


SLEEP = ["timeit", "-n1", "-r1", "-s", "import time", "time.sleep(60)"]
IGNORE = "import signal, time; signal.signal(2, signal.SIG_IGN); print('deaf', flush=True)"
DEAF = ["timeit", "-n1", "-r1", "-s", IGNORE, "time.sleep(60)"]


def test_a_process_that_ends_while_it_is_needed_is_reported(tmp_path: Path):
    with Processes(tmp_path) as processes:
        processes.start("short", ["platform"])
        processes.start("long", SLEEP)
        with pytest.raises(ProcessFailed, match="short ended with exit code 0 while it was needed"):
            processes.wait_for("long", 20.0)


def test_a_process_that_takes_too_long_is_reported_and_does_not_stay(tmp_path: Path):
    with Processes(tmp_path) as processes:
        processes.start("long", SLEEP)
        with pytest.raises(ProcessFailed, match="long did not end within 0 s"):
            processes.wait_for("long", 0.2)
        (process,) = processes._running.values()
    assert process.poll() is not None


def test_a_process_that_ends_badly_after_the_interrupt_is_reported(tmp_path: Path):
    with Processes(tmp_path) as processes:
        processes.start("long", SLEEP)
        with pytest.raises(ProcessFailed, match="long ended with exit code .* after SIGINT"):
            processes.end()


def test_a_process_that_does_not_hear_the_interrupt_is_reported_and_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(demo_processes, "END_LIMIT", 0.3)
    with Processes(tmp_path) as processes:
        processes.start("deaf", DEAF)
        while "deaf" not in (tmp_path / "deaf.txt").read_text():
            os.sched_yield()
        with pytest.raises(ProcessFailed, match="deaf still ran 0 s after SIGINT"):
            processes.end()
        (process,) = processes._running.values()
    assert process.returncode == -9


def test_a_tile_tints_what_is_marked_and_leaves_the_rest():
    image = np.full((240, 320, 3), 100, np.uint8)
    labels = np.zeros((240, 320), np.uint8)
    labels[:, :100] = 1
    labels[:, 220:] = 2
    tile = demo_sheet.draw_tile(image, labels, np.zeros((240, 320), bool))
    assert tile.shape == (*demo_sheet.TILE, 3)
    left, middle, right = tile[60, 20], tile[60, 80], tile[60, 140]
    assert middle.tolist() == [100, 100, 100]
    for pixel, tint in ((left, demo_sheet.TINTS[0]), (right, demo_sheet.TINTS[1])):
        np.testing.assert_allclose(pixel, 100 + demo_sheet.OPACITY * (tint - 100.0), atol=1)


def test_the_truth_is_a_white_line_around_it():
    truth = np.zeros((240, 320), bool)
    truth[80:160, 100:220] = True
    tile = demo_sheet.draw_tile(np.zeros((240, 320, 3), np.uint8), np.zeros((240, 320), np.uint8), truth)
    ys, xs = np.nonzero(tile[..., 0] > 60)
    assert (ys.min(), ys.max(), xs.min(), xs.max()) == pytest.approx((40, 79, 50, 109), abs=1)
    assert not tile[50:70, 60:100].any()


def test_a_sheet_has_a_row_for_every_query_even_without_a_frame_to_show():
    none = np.zeros((0, 240, 320))
    texts = ("a rather long query " * 3, "red mug; car")
    rows = [demo_sheet.Row(text, "object", "", none, none, none) for text in texts]
    one, two = demo_sheet.draw("title", "subtitle", rows[:1]), demo_sheet.draw("title", "subtitle", rows)
    assert two.shape[0] - one.shape[0] == demo_sheet.TILE[0] + demo_sheet.GAP
    assert two.shape[1] == demo_sheet.WIDTH
    assert (two[one.shape[0] - demo_sheet.MARGIN :] < 255).any()


def test_an_undefined_ratio_is_said_in_words():
    row = {"kind": "absent", "frames": 0, "iou": None, "false_positive_rate": None}
    assert demo.result(row) == demo.result({**row, "kind": "part"}) == "no frame to score"
    assert demo.result({**row, "frames": 24, "false_positive_rate": 0.04}) == "false alarms 4 %"
    assert demo.result({**row, "frames": 24, "kind": "part", "iou": 0.514}) == "IoU 0.51"
    report = {"latency_ms": {"p50": None, "p99": None}, "frames": {"camera": 3, "segmented": 0}}
    assert demo.summary(report) == "0 of 3 frames segmented"


def test_the_whole_demo_ends_with_report_and_sheet(
    tiny_weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    words = ["--out", str(tmp_path), "--weights", str(tiny_weights), "--device", "cpu", "--scenes", "2", "--rate", "8"]
    assert main(["demo", *words]) == 0, capsys.readouterr()
    report = json.loads((tmp_path / "report.json").read_text())
    assert list(report) == ["rmw", "queries", "latency_ms", "frames"]
    assert len(report["queries"]) == 18
    for row in report["queries"]:
        assert list(row) == ["text", "kind", "frames", "iou", "false_positive_rate"]
        known = row["false_positive_rate"] if row["kind"] == "absent" else row["iou"]
        assert (known is None) == (row["frames"] == 0)
        assert row["iou" if row["kind"] == "absent" else "false_positive_rate"] is None
    assert report["frames"] == {"camera": 38, "segmented": 38}
    assert 0 < report["latency_ms"]["p50"] <= report["latency_ms"]["p99"]
    sheet = cv2.imread(str(tmp_path / "sheet.png"))
    assert sheet.shape[1] == demo_sheet.WIDTH and len(np.unique(sheet)) > 100
    assert not (tmp_path / "shown.npz").exists()
    printed = capsys.readouterr().out
    assert "something to sit on" in printed and "38 of 38 frames segmented" in printed


def test_a_demo_whose_node_cannot_start_says_why(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["demo", "--out", str(tmp_path), "--weights", str(tmp_path / "nothing"), "--scenes", "1"]) == 1
    error = capsys.readouterr().err
    assert "demo: error: node ended with exit code 1 while it was needed" in error and "no such folder" in error
