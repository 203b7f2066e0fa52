# SPDX-License-Identifier: Apache-2.0
"""config/ovseg.yaml: every line of it is understood by the node and by the engine."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from clipseg_ros.engines.ovseg_settings import OvsegSettings, settings
from clipseg_ros.ros.parameters import Parameters

PATH = Path(__file__).resolve().parents[2] / "config" / "ovseg.yaml"


@pytest.fixture(scope="module")
def written() -> dict[str, object]:
    return yaml.safe_load(PATH.read_text())["/**"]["ros__parameters"]


def test_parameters_are_those_of_the_node(written: dict[str, object]) -> None:
    made = Parameters(**{**written, "queries": tuple(written["queries"])})
    assert made.engine == "ovseg" and len(made.queries) == 3


def test_options_are_those_of_the_engine_and_its_defaults(written: dict[str, object]) -> None:
    assert settings(Parameters(engine_options=written["engine_options"]).options()) == OvsegSettings()


def test_options_that_are_commented_out_can_be_put_in() -> None:
    lines = re.findall(r"^    # (\w+=.*?)\s*(?:#.*)?$", PATH.read_text(), re.MULTILINE)
    assert len(lines) == 7
    for line in lines:
        settings(Parameters(engine_options=line).options())
