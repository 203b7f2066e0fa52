# SPDX-License-Identifier: Apache-2.0
"""The demo client as a process, with a real camera and a real node; its report on frames made by hand."""

from __future__ import annotations

import json
from pathlib import Path
from signal import SIGINT

import numpy as np
import pytest

from clipseg_ros.datasets import tabletop
from clipseg_ros.ros.client import Seen, Tour

CAMERA = {"width": 160, "height": 120, "seed": 7, "scenes": 2, "frames_per_scene": 1, "rate": 10}
VISIBLE = {thing.kind for seed in (7, 8) for thing in tabletop.compose(seed).objects}
ABSENT = next(kind for kind in tabletop.KINDS if kind not in VISIBLE)
QUERIES = [["something to sit on", "affordance"], ["red mug; book", "together"], [ABSENT, "absent"]]


def start_client(ros, folder: Path, queries: list[list[str]], *words: str):
    folder.mkdir()
    (folder / "queries.json").write_text(json.dumps(queries))
    return ros.start(
        "-m", "clipseg_ros.ros.client", "--queries", str(folder / "queries.json"), "--out", str(folder), *words
    )


def start_node(ros, weights: Path):
    return ros.start(
        "-m", "clipseg_ros.ros.node", "--ros-args", "-p", f"weights:={weights}", "-p", "image_qos:=reliable",
        "-r", "image:=camera/color/image_raw",
    )


def start_camera(ros, **settings: object):
    words = [word for name, value in {**CAMERA, **settings}.items() for word in ("-p", f"{name}:={value}")]
    return ros.start("-m", "clipseg_ros.ros.camera", "--ros-args", *words)


def test_a_tour_asks_everything_and_reports(ros, tiny_weights: Path, tmp_path: Path):
    start_camera(ros)
    start_node(ros, tiny_weights)
    client = start_client(ros, tmp_path / "tour", QUERIES, "--frames", "4")
    assert client.wait() == 0, client.text
    report = json.loads((tmp_path / "tour" / "report.json").read_text())
    assert [(row["text"], row["kind"]) for row in report["queries"]] == [tuple(QUERIES[0]), tuple(QUERIES[2])]
    assert report["frames"] == {"camera": 12, "segmented": 12}
    assert 0 < report["latency_ms"]["p50"] <= report["latency_ms"]["p99"]
    assert report["rmw"].startswith("rmw_")
    with np.load(tmp_path / "tour" / "shown.npz") as shown:
        assert set(np.unique(shown["labels_1"])) <= {0, 1, 2}
        assert shown["images_2"].shape == (4, 60, 80, 3) and shown["truths_2"].shape == (4, 60, 80)


def test_whoever_does_not_answer_is_named(ros, tiny_weights: Path, tmp_path: Path):
    """Without a node, without a camera, with a query that is refused, and with too slow a camera."""
    node = start_client(ros, tmp_path / "node", QUERIES, "--frames", "4", "--patience", "1")
    assert node.wait() == 1
    assert "query 'something to sit on' on /seg_query was not active after 1 s" in node.text
    start_node(ros, tiny_weights).wait_for("active: images from")
    camera = start_client(ros, tmp_path / "camera", QUERIES, "--frames", "4", "--patience", "6")
    assert camera.wait() == 1 and "0 masks on segment/mask in 6 s: expected 5" in camera.text
    refused = start_client(ros, tmp_path / "refused", [["red mug " * 30, "colour"]], "--frames", "4")
    assert refused.wait() == 1 and "was refused: prompt of" in refused.text
    start_camera(ros)
    slow = start_client(ros, tmp_path / "slow", QUERIES, "--frames", "1000", "--patience", "10")
    assert slow.wait() == 1 and "with labels in 10 s: expected 1000" in slow.text
    assert not any("Traceback" in client.text for client in (node, camera, refused, slow))


def test_an_interrupt_ends_it_in_peace(ros, tmp_path: Path):
    client = start_client(ros, tmp_path / "tour", QUERIES, "--frames", "4")
    ros.spin_until(lambda: ros.node.count_subscribers("/segment/mask"), "the client")
    client.send(SIGINT)
    assert client.wait() == 0, client.text
    assert "Traceback" not in client.text and not (tmp_path / "tour" / "report.json").exists()


def seen(truth: np.ndarray, mask: np.ndarray | None, latency_ms: float = 0.0) -> Seen:
    image = np.zeros((*truth.shape, 3), np.uint8)
    return Seen(image, truth, mask, None if mask is None else np.minimum(mask, 1), latency_ms)


def test_a_tour_counts_answers_by_the_truth_of_the_query(tmp_path: Path):
    """Two mugs of 10 x 20 pixels, of which the node marks one and a half; one frame was lost."""
    truth = np.zeros((40, 60), np.uint8)
    truth[:10, :20] = tabletop.class_id("mug", "red")
    truth[20:30, :20] = tabletop.class_id("mug", "blue")
    truth[20:30, 30:50] = tabletop.class_id("car", "red")
    mask = np.where((truth > 0) & (np.arange(60) < 40), 255, 0).astype(np.uint8)
    mask[20:30, :10] = 0
    tour = Tour()
    tour.add("mug", "object", [seen(truth, mask, 20.0), seen(truth, None)])
    tour.add("green mug", "absent", [seen(truth, mask, 40.0)])
    tour.write(tmp_path)
    report = json.loads((tmp_path / "report.json").read_text())
    mug, absent = report["queries"]
    assert mug["frames"] == 1 and mug["iou"] == pytest.approx(300 / 500)  # 100 pixels missed, 100 of the car marked
    assert absent["false_positive_rate"] == 1.0
    assert report["frames"] == {"camera": 3, "segmented": 2}
    assert report["latency_ms"]["p50"] == 30.0


def test_a_tour_without_any_answer_still_reports(tmp_path: Path):
    tour = Tour()
    tour.add("mug", "object", [seen(np.zeros((40, 60), np.uint8), None)])
    tour.write(tmp_path)
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["frames"] == {"camera": 1, "segmented": 0}
    assert report["queries"][0]["iou"] is None and report["latency_ms"] == {"p50": None, "p99": None}
