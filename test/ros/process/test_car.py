# SPDX-License-Identifier: Apache-2.0
"""The node around engine car, with the golden random CLIPs: what was dropped is told, and marked nowhere."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

GOLDEN = Path(__file__).parents[2] / "golden" / "car"
PICTURE = np.random.default_rng(0).integers(0, 256, (6, 8, 3), np.uint8).repeat(8, 0).repeat(8, 1)


@pytest.fixture(scope="module")
def settings() -> dict[str, object]:
    options = {
        "classifier_weights": GOLDEN / "model_classifier", "preset": "demo", "templates": "origami",
        # nothing is surer than 1: every query is dropped, but those of a preset that keeps the best
        "confidence_threshold": 1.0, "background_words": '["table"]',
    }
    words = "; ".join(f"{name}={value}" for name, value in options.items())
    return {"engine": "car", "weights": GOLDEN / "model_proposal", "engine_options": words}


def test_dropped_queries_are_absent_and_told_with_their_step(bench) -> None:
    told = bench.query("cat; car", "cat", "car")
    assert all("dropped_at" not in query for query in told["queries"])
    with bench.camera(PICTURE), bench.listen("mask") as masks:
        mask = bench.array(bench.next_of(masks))
        assert mask.shape == PICTURE.shape[:2] and not mask.any()
        bench.ros.spin_until(lambda: bench.active["queries"][0]["present"] is not None, "the answer")
        for query in bench.active["queries"]:
            assert query["present"] is False and query["dropped_at"] == 1 and 0.0 <= query["confidence"] < 1.0
        bench.ros.spin_until(lambda: bench.report()["dropped queries"], "the diagnosis")
        assert bench.report()["dropped queries"].startswith("cat (step 1, 0.")
    bench.query("horse")
    assert bench.report()["dropped queries"] == ""
