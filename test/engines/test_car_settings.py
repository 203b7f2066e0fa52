# SPDX-License-Identifier: Apache-2.0
"""Options and presets of CLIP as RNN: the published values, and what is refused."""

from __future__ import annotations

import ast
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from clipseg_ros.engines import car_presets
from clipseg_ros.datasets import tabletop
from clipseg_ros.engines.car_presets import DEFAULT_PRESET, PRESETS, option_names, settings
from clipseg_ros.engines.car_settings import CarSettings
from clipseg_ros.engines.car_words import CONTEXT_STUFF, TABLETOP, TEMPLATES_15
from clipseg_ros.evaluation import published

CB, BG, GB = ("circle", "blur"), ("blur", "gray"), ("gray", "blur")
# The authors' configurations: eta, theta, lambda, prompts, sentences, SAM's IoM threshold
PUBLISHED = {
    "voc": (0.4, 0.6, 0.4, CB, 15, 0.6),
    "coco": (0.5, 0.3, 0.5, BG, 15, 0.7),
    "context": (0.6, 0.25, 0.4, ("blur", "circle"), 15, 0.5),
    "ade_150": (0.6, 0.25, 0.7, GB, 15, 0.6),
    "ade_847": (0.6, 0.25, 0.7, GB, 15, 0.6),
    "context_459": (0.4, 0.25, 0.7, GB, 15, 0.6),
    "refcoco": (0.5, 0.3, 0.5, ("circle",), 1, 0.5),
    "refcoco+": (0.2, 0.1, 0.5, CB, 1, 0.5),
    "refcocog": (0.5, 0.1, 0.6, CB, 1, 0.5),
    "gres": (0.5, 0.0, 0.3, ("circle",), 1, 0.5),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_preset_is_the_authors_configuration(name: str) -> None:
    made = settings({"preset": name})
    numbers = (made.mask_threshold, made.confidence_threshold, made.box_threshold)
    assert (*numbers, made.visual_prompts, len(made.templates), made.sam_iom) == PUBLISHED[name]
    assert made.mode == ("referring" if name in ("refcoco", "refcoco+", "refcocog", "gres") else "semantic")
    assert made.background == ("clip_es",) and made.background_exponent == 1.0 and made.crf
    assert made.skip_last_block and made.when_empty == "best"
    assert made.score == ("softmax" if made.mode == "referring" else "double-softmax")


def test_presets_are_the_published_ones_the_demo_and_the_robot() -> None:
    assert set(PRESETS) == {*PUBLISHED, "demo", "robot"} and DEFAULT_PRESET == "robot"


def test_the_demos_distractors_are_the_kinds_of_its_scenes() -> None:
    assert settings({"preset": "demo"}).distractor_words == TABLETOP == tuple(tabletop.KINDS)


@pytest.mark.parametrize(("name", "row"), [("voc", "2"), ("coco", "4")])
def test_voc_and_coco_take_the_best_thresholds_of_table_5(name: str, row: str) -> None:
    values = dict(published.table("car", "table5").rows)[row]
    made = settings({"preset": name})
    found = (made.mask_threshold, made.confidence_threshold, made.box_threshold)
    assert found == tuple(values[f"{name.upper()} {letter}"] for letter in ("eta", "theta", "lambda"))


def test_a_robot_can_reject_a_single_query_and_shows_the_whole_picture() -> None:
    made = settings({})
    assert made == settings({"preset": "robot"})
    assert made.distractors and made.when_empty == "none" and made.classifier_fit == "squash"
    assert not made.skip_last_block and made.score == "softmax" and not made.clamp_boxes


def test_another_numerics_keeps_what_the_preset_names() -> None:
    made = settings({"preset": "context", "numerics": "recommended"})
    assert made.mask_threshold == 0.6 and made.stuff == CONTEXT_STUFF
    assert made.distractors and made.mutual_background and not made.skip_last_block


def test_options_come_before_the_preset_and_may_be_written_as_yaml_reads_them() -> None:
    made = settings({
        "preset": "voc", "mask_threshold": 1, "visual_prompts": "contour", "background": ["man_made", "terrestrial"],
        "templates": "plain", "crf": False,
    })
    assert made.mask_threshold == 1.0 and isinstance(made.mask_threshold, float)
    assert made.visual_prompts == ("contour",) and made.background == ("man_made", "terrestrial")
    assert made.templates == ("{}",) and not made.crf and made.confidence_threshold == 0.6


def test_lists_of_sentences_have_names() -> None:
    assert settings({"templates": "car_15"}).templates == TEMPLATES_15
    assert settings({"templates": ["a {}.", "the {}."]}).templates == ("a {}.", "the {}.")
    assert settings({"background": []}).background == ()


def test_every_option_says_what_it_means() -> None:
    assert option_names() == ("preset", "numerics", *(entry.name for entry in fields(CarSettings)))
    assert all(entry.metadata["meaning"] for entry in fields(CarSettings))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"preset": "pascal"}, "preset 'pascal': expected one of robot, demo, voc"),
        ({"preset": ["voc"]}, r"preset \['voc'\]: expected one of robot"),
        ({"numerics": "paper"}, "numerics 'paper': expected one of recommended, reference"),
        ({"theta": 0.3}, "option 'theta' of engine car: expected one of preset, numerics, mode"),
        ({"mode": "video"}, "mode 'video': expected one of semantic, referring"),
        ({"mask_threshold": 1.5}, "mask_threshold 1.5: expected 0.0 to 1.0"),
        ({"mask_threshold": float("nan")}, "mask_threshold nan: expected 0.0 to 1.0"),
        ({"mask_threshold": "high"}, "mask_threshold 'high': expected a number"),
        ({"max_steps": 2.5}, "max_steps 2.5: expected a whole number"),
        ({"max_steps": -1}, "max_steps -1: expected 0 to 1000"),
        ({"crf": "on"}, "crf 'on': expected true or false"),
        ({"sam_weights": 3}, "sam_weights 3: expected a text"),
        ({"visual_prompts": ["square"]}, "visual_prompts 'square': expected of blur, gray, black, circle"),
        ({"background": ["sky"]}, "background 'sky': expected of clip_es, terrestrial"),
        ({"background_words": [1]}, r"background_words \(1,\): expected texts"),
        ({"background_words": 1}, "background_words 1: expected texts"),
        ({"templates": ["a photo"]}, "templates 'a photo': expected a sentence with one {}"),
        ({"templates": []}, r"templates \(\): expected at least one sentence"),
        ({"query_template": "{} {}"}, "query_template '{} {}': expected a sentence with one {}"),
    ],
)
def test_a_wrong_option_is_refused_with_the_remedy(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        settings(options)


def test_the_document_lists_every_option_with_its_default_and_meaning() -> None:
    text = (Path(__file__).parents[2] / "docs" / "car.md").read_text()
    for entry in fields(CarSettings):
        default = entry.default
        if isinstance(default, tuple):
            default = ", ".join(default) if len(default) < 4 else "car_15"
        shown = str(default).lower() if isinstance(default, bool) else default
        assert f"\n| {entry.name} | {shown} | {entry.metadata['meaning']} |\n" in text


def test_the_document_lists_every_preset_with_its_thresholds() -> None:
    text = (Path(__file__).parents[2] / "docs" / "car.md").read_text()
    rows = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| ")]
    told = {name: row[1:4] for row in rows for name in row[0].split(", ") if name in PUBLISHED}
    assert {name: tuple(map(float, values)) for name, values in told.items()} == {
        name: values[:3] for name, values in PUBLISHED.items()
    }


def test_every_option_is_read_by_the_engine() -> None:
    engines = Path(car_presets.__file__).parent
    sources = [engines / f"car{part}.py" for part in ("", "_steps", "_texts", "_finish")]
    nodes = [node for path in sources for node in ast.walk(ast.parse(path.read_text()))]
    read = {node.attr for node in nodes if isinstance(node, ast.Attribute)}
    assert [entry.name for entry in fields(CarSettings) if entry.name not in read] == []
