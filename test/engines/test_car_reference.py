# SPDX-License-Identifier: Apache-2.0
"""Engine car against whole runs of the authors' code: what is dropped when, confidences, labels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from clipseg_ros import engines
from clipseg_ros.engines.car import CarEngine
from clipseg_ros.segmentation import Prompt, Segmentation

CAR = Path(__file__).parents[1] / "golden" / "car"
QUERIES = {
    "case_a": ("cat", "car"),
    "case_b": ("cat", "dog", "bird avian", "car", "person with clothes,people,human"),
    "case_d": ("horse", "boat"),
}
THINGS, STUFF = ("person with clothes,people,human", "car", "sofa"), ("sky", "grass", "floor")
WORDS = ("ground", "land", "grass", "tree", "building")
REFERENCE = {"preset": "voc", "background": (), "background_words": WORDS}
OPTIONS = {
    "case_a": REFERENCE | {"mask_threshold": 0.4, "confidence_threshold": 0.1},
    "case_b": REFERENCE | {
        "mask_threshold": 0.5, "confidence_threshold": 0.12, "box_threshold": 0.5, "visual_prompts": ("blur", "gray"),
        "swap_gray": True,
    },
    "case_d": REFERENCE | {
        "background_words": (), "confidence_threshold": 0.1, "templates": "origami",
        "visual_prompts": ("rectangle", "black"),
    },
    "case_h": REFERENCE | {
        "background_words": (*WORDS, "wall", "sky", "lake"), "mask_threshold": 0.5, "confidence_threshold": 0.15,
        "visual_prompts": ("blur", "gray"), "stuff": STUFF, "stuff_visual_prompts": ("blur",), "crf_wraps": True,
        "round_positions": True, "swap_gray": True,
    },
}


def create(case: str, **options: object) -> CarEngine:
    """An engine with the case's settings, and others beside."""
    classifier = str(CAR / "model_classifier")
    chosen = OPTIONS[case] | options
    return engines.create("car", str(CAR / "model_proposal"), "cpu", classifier_weights=classifier, **chosen)


def stages(case: str) -> dict[str, np.ndarray]:
    """Arrays of golden/car/stages."""
    with np.load(CAR / "stages" / f"{case}.npz") as arrays:
        return dict(arrays)


def ask(engine: CarEngine, texts: tuple[str, ...], image: np.ndarray) -> Segmentation:
    return engine.segment(image, [Prompt(text) for text in texts])


def dropped(found: Segmentation) -> list[int | None]:
    return [verdict.dropped_at for verdict in found.verdicts]


@pytest.mark.parametrize("case", QUERIES)
@pytest.mark.parametrize("wraps", [True, False])
def test_a_run_ends_as_the_references(case: str, wraps: bool) -> None:
    golden = stages(case)
    found = ask(create(case, crf_wraps=wraps), QUERIES[case], golden["image"])
    steps = [golden[name] for name in sorted(golden) if name.endswith("_keep")]
    numbers = range(len(found.prompts))
    assert dropped(found) == [next((s for s, left in enumerate(steps, 1) if i not in left), None) for i in numbers]
    kept = np.flatnonzero(found.present)
    sure = [found.verdicts[i].confidence for i in kept]
    np.testing.assert_allclose(sure, golden["final_scores"][kept], atol=1e-4)
    labels = np.array([0, *(kept + 1)])[golden["crf_label_ref" if wraps else "crf_label_clean"]]
    assert (found.labels() != labels).mean() < 1e-3


def test_things_and_stuff_end_as_the_references() -> None:
    golden = stages("case_h")
    found = ask(create("case_h"), STUFF + THINGS, golden["image"])
    ids = np.array([0, *(golden["stuff_ids"] + 1), *(golden["thing_ids"] + 1)])
    assert (ids[found.labels()] != golden["label"]).mean() < 1e-3
    scores = np.concatenate([golden["stuff_scores"], golden["thing_scores"]])
    np.testing.assert_array_equal(found.present, scores > 0)
    sure = np.array([verdict.confidence for verdict in found.verdicts])
    np.testing.assert_allclose(sure[found.present], scores[scores > 0], atol=1e-4)


def test_without_crf_the_scores_are_the_proposals() -> None:
    golden = stages("case_a")
    found = ask(create("case_a", crf=False), QUERIES["case_a"], golden["image"])
    np.testing.assert_allclose(found.scores, golden["1_proposals"], atol=1e-4)
    assert found.threshold == pytest.approx(0.5)


def test_the_background_exponent_moves_the_threshold_as_it_moves_the_background() -> None:
    engine = create("case_a", crf=False, background_exponent=0.5)
    assert engine.threshold == pytest.approx((1.0 - engine.threshold) ** 0.5)


def test_one_step_drops_but_does_not_look_again() -> None:
    steps = [ask(create("case_b", max_steps=most), QUERIES["case_b"], stages("case_b")["image"]) for most in (1, 9)]
    assert dropped(steps[0]) == [None, None, None, 1, None]
    assert dropped(steps[1]) == [None, None, None, 1, 2]
