# SPDX-License-Identifier: Apache-2.0
"""The command that calibrates engine car: combinations of options, and a run on rendered scenes."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from clipseg_ros.tools import calibrate_car

CAR = Path(__file__).parents[1] / "golden" / "car" / "model_proposal"


def test_every_combination_is_tried() -> None:
    tried = list(calibrate_car.combinations(["cam=[patches]", "mask_threshold=[0.4, 0.5]"]))
    assert tried == [{"cam": "patches", "mask_threshold": 0.4}, {"cam": "patches", "mask_threshold": 0.5}]


def test_a_sweep_is_a_list() -> None:
    with pytest.raises(ValueError, match=r"--sweep cam=patches: expected a list of values, such as patch_threshold="):
        list(calibrate_car.combinations(["cam=patches"]))


def test_a_run_prints_the_best_and_what_it_does(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("embreex", reason="rendering needs the extra [scenes]")
    parser = argparse.ArgumentParser()
    calibrate_car.add_arguments(parser)
    words = ["preset=robot", "templates={}", "visual_prompts=black", "cam=patches", "max_tokens=64"]
    line = ["--weights", str(CAR), "--device", "cpu", "--scenes", "2", *(f"--option={word}" for word in words)]
    assert calibrate_car.run(parser.parse_args([*line, "--sweep", "patch_threshold=[-1.0, 0.9]"])) == 0
    printed = capsys.readouterr().out
    assert "patch_threshold 0.9: confidence_threshold 0: IoU 0.000, kept 0.000, absent dropped 1.000" in printed
    assert "best: preset=robot, " in printed and "N = 5, all absent: dropped " in printed
