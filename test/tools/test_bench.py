# SPDX-License-Identifier: Apache-2.0
"""The benchmark: its statistics, goals and table by hand, then a tiny version of all parts that need no ROS."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F
from transformers import CLIPModel, CLIPSegForImageSegmentation

from clipseg_ros.__main__ import main
from clipseg_ros.tools.bench import car, clipseg, goals, memory, networks, roofline, setting, timing, zegclip
from clipseg_ros.tools.bench.plain import PlainWay
from clipseg_ros.tools.bench.rows import Goal, Row, report, table, timed
from clipseg_ros.tools.bench.timing import Plan, Spread
from clipseg_ros.tools.demo_processes import ProcessFailed

VGA, HD = goals.VGA, goals.HD


def test_a_spread_is_the_median_between_its_quartiles() -> None:
    assert timing.spread_of([100.0, 1.0, 3.0, 2.0, 4.0]) == Spread(3.0, 2.0, 4.0, 5)
    assert timing.spread_of([7.0]) == Spread(7.0, 7.0, 7.0, 1)
    with pytest.raises(ValueError, match="no samples: expected at least one"):
        timing.spread_of([])


def test_ways_take_turns_and_the_warm_up_is_not_counted() -> None:
    calls: list[str] = []
    ways = {name: lambda name=name: calls.append(name) for name in ("theirs", "ours")}
    found = timing.side_by_side(ways, Plan(3, 9, 0.0))
    assert calls == ["theirs", "ours"] * 4
    assert {name: spread.count for name, spread in found.items()} == {"theirs": 3, "ours": 3}


def test_runs_go_on_while_time_lasts_but_not_beyond_the_most() -> None:
    values = iter(range(100))
    found = timing.parts_of(lambda: {"value": next(values)}, Plan(1, 4, 60.0))
    assert found == {"value": Spread(2.5, 1.75, 3.25, 4)}


def test_what_is_slow_is_run_once_and_not_again_after_the_limit() -> None:
    plan = Plan(3, 5, 10.0, limit=30.0)
    assert plan.goes_on(0, 99.0) and not plan.goes_on(1, 30.0)
    assert plan.goes_on(2, 29.0) and plan.goes_on(4, 9.0)
    assert not plan.goes_on(3, 10.0) and not plan.goes_on(5, 0.0)
    assert Plan(3, 9, 0.0).goes_on(2, 1e6)


def test_a_slow_first_run_counts_and_fast_ways_go_on_without_slow_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    monkeypatch.setattr(timing, "milliseconds", lambda run: run())
    ways = {"slow": lambda: calls.append("slow") or 5000.0, "fast": lambda: calls.append("fast") or 10.0}
    found = timing.side_by_side(ways, Plan(3, 5, 2.0, limit=8.0))
    assert calls == ["slow", "fast", "slow", *["fast"] * 5]
    assert (found["slow"].count, found["fast"].count) == (2, 5)
    taken = timing.parts_of(lambda: {"value": 1.0}, Plan(3, 3, 0.0, limit=0.0))
    assert taken["value"].count == 1


def test_a_clock_waits_for_the_device_and_adds_up_what_has_the_same_name() -> None:
    waits: list[int] = []
    clock = timing.Clock(lambda: waits.append(len(clock.laps)))
    for name in ("copies", "encoder", "copies"):
        clock.lap(name)
    assert list(clock.laps) == ["copies", "encoder"] and waits == [0, 1, 2]
    assert all(milliseconds >= 0.0 for milliseconds in clock.laps.values())


@pytest.mark.parametrize(
    ("goal", "row", "reached"),
    [
        (Goal("ratio", at_least=6.0), {"ratio": 6.0}, True),
        (Goal("ratio", at_least=6.0), {"ratio": 5.99}, False),
        (Goal("value", at_most=2.0), {"ratio": 5.99}, False),
        (Goal("ratio", at_least=6.0), {}, None),
        (None, {"ratio": 6.0}, None),
    ],
)
def test_a_goal_is_reached_at_its_limit(goal: Goal | None, row: dict, reached: bool | None) -> None:
    assert Row("p", "c", "w", 3.0, goal=goal, **row).reached is reached


def test_goals_are_those_of_the_device_the_size_and_the_prompts() -> None:
    assert goals.of_clipseg("cpu", "full-size", VGA, 5, "fp32") == Goal("ratio", at_least=6.0)
    assert goals.of_clipseg("cuda:0", "full-size", VGA, 5, "fp16") == Goal("value", at_most=2.0)
    assert goals.of_clipseg("cpu", "full-size", VGA, 1, "fp32, compiled") == Goal("ratio", at_least=1.5)
    assert goals.of_clipseg("cpu", "demo", VGA, 5, "fp32") is None
    assert goals.of_clipseg("cpu", "full-size", HD, 5, "fp32") is None
    for device, count, variant in (("cpu", 5, "bf16"), ("cpu", 2, "fp32"), ("cuda", 5, "fp32")):
        assert goals.of_clipseg(device, "full-size", VGA, count, variant) is None
    assert goals.of_extra_prompt("cpu", "full-size", VGA, "fp32") == Goal("value", at_most=3.0)
    assert goals.of_extra_prompt("cuda", "full-size", VGA, "fp32") is None
    assert goals.of_agreement("cuda", "fp16") == Goal("value", at_least=0.995)
    assert goals.of_agreement("cpu", "bf16") is None
    assert [goals.of_car("cuda", False, crf).at_least for crf in (False, True)] == [10.0, 20.0]
    assert goals.of_car("cuda", True, True) is None is goals.of_car("cpu", False, True)
    assert goals.of_car_frame("cuda", False, 5) == Goal("value", at_most=33.0)
    assert goals.of_car_frame("cuda", False, 20) is None is goals.of_car_frame("cpu", False, 5)
    assert goals.of_cameras("cuda", False, 8) == Goal("value", at_most=8000.0 / 1500.0)
    assert goals.of_cameras("cuda", False, 4) is None is goals.of_cameras("cpu", False, 8)
    assert [goals.of_ros_share(size).at_most for size in (VGA, HD)] == [6.0, 14.0]
    assert goals.of_ros_share((48, 64)) is None


ROWS = [
    timed("clipseg", "N = 5", "transformers", Spread(1234.4, 1200.0, 1300.0, 5), Spread(12.34, 12.0, 13.0, 5)),
    timed("clipseg", "N = 5", "fp32", Spread(0.012345, 0.01, 0.02, 5), None, 5.5, Goal("ratio", at_least=6.0), 0.98766),
    Row("car", "N = 1", "CRF", None, note="pydensecrf2 is not installed"),
]


def test_the_table_shows_three_digits_and_says_what_is_missed_and_what_is_missing() -> None:
    lines = table(ROWS).splitlines()
    assert [line for line in lines if line in ("clipseg", "car")] == ["clipseg", "car"]
    theirs, ours, missing = (next(line for line in lines if way in line) for way in ("transformers", "fp32", "CRF"))
    assert theirs.split()[4:] == ["1234", "ms", "1200", "to", "1300", "5", "12.3", "ms"]
    assert ours.split()[4:] == ["0.0123", "ms", "0.0100", "to", "0.0200", "5", "5.50x", ">=", "6", "NO", "0.9877"]
    assert missing.split()[3:] == ["CRF", "-", "ms", "pydensecrf2", "is", "not", "installed"]
    assert theirs.index(" ms") == ours.index(" ms") == missing.index(" ms")


def test_the_report_is_json_with_null_for_what_is_missing() -> None:
    content = json.loads(report({"device": "cpu"}, [*ROWS, Row("p", "c", "w", math.nan)]))
    assert content["settings"] == {"device": "cpu"}
    theirs, ours, missing, undefined = content["rows"]
    assert theirs["value"] == 1234.4 and theirs["count"] == 5 and theirs["reached"] is None
    assert ours["goal"] == {"of": "ratio", "at_least": 6.0, "at_most": None} and ours["reached"] is False
    assert missing["value"] is None is undefined["value"]


def test_an_agreement_adds_the_pixels_up_before_it_divides() -> None:
    first, second = np.array([[[True, True, False]]]), np.array([[[True, False, False]]])
    assert clipseg.agreement([first, second], [second, second]) == 2 / 3
    assert math.isnan(clipseg.agreement([~first & first], [~first & first]))


def test_precisions_are_those_that_the_device_offers() -> None:
    assert list(clipseg.variants("cpu", 352, 16, True)) == ["fp32", "fp32, compiled", "bf16", "fp32, side 240"]
    assert list(clipseg.variants("cuda:1", 352, 16, False)) == ["fp32", "bf16", "fp16", "fp32, side 240"]


def test_without_a_compiler_nothing_is_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    assert not clipseg.can_compile()


def test_prompts_are_different_things() -> None:
    texts = setting.prompts(85)
    assert len(set(texts)) == len(texts) == 85
    assert len({text.split()[1] for text in texts[:17]}) == 17


def test_threads_are_as_before_afterwards() -> None:
    before = torch.get_num_threads()
    with setting.threads(before + 1):
        assert torch.get_num_threads() == before + 1
    with setting.threads(0):
        assert torch.get_num_threads() == before


def test_operations_are_two_for_each_product_of_numbers_also_in_attention() -> None:
    left, right, tokens = torch.ones(2, 3), torch.ones(3, 5), torch.ones(1, 2, 7, 4)
    assert roofline.operations_of(lambda: left @ right) == 2 * 2 * 3 * 5
    attention = roofline.operations_of(lambda: F.scaled_dot_product_attention(tokens, tokens, tokens))
    assert attention == 2 * 2 * (2 * 7 * 7 * 4)
    assert roofline.bytes_of(left, right.half()) == 24 + 30


def test_the_floor_is_what_the_slower_ceiling_allows() -> None:
    assert roofline.Work(2_000_000, 1000).floor_ms(1e9, 1e9) == 2.0
    assert roofline.Work(1000, 3_000_000).floor_ms(1e9, 1e9) == 3.0


def test_the_peak_is_read_from_what_linux_says_of_the_process(tmp_path: Path) -> None:
    (tmp_path / "status").write_text("Name:\tpython\nVmHWM:\t    2000 kB\nVmRSS:\t 1000 kB\n")
    assert memory.resident_peak_mb(tmp_path / "status") == 2.048
    (tmp_path / "status").write_text("Name:\tpython\n")
    with pytest.raises(OSError, match="no VmHWM"):
        memory.resident_peak_mb(tmp_path / "status")


@pytest.mark.parametrize(("name", "parameters"), [("ViT-B/16", 149_620_737), ("ViT-L/14", 427_616_513)])
def test_the_networks_have_as_many_parameters_as_openai_s(name: str, parameters: int) -> None:
    with torch.device("meta"):
        network = CLIPModel(networks.clip_config(name, {"vocab_size": networks.TOKENS}))
    assert sum(weight.numel() for weight in network.parameters()) == parameters


def test_the_clip_in_the_full_size_clipseg_is_vit_b_16() -> None:
    with torch.device("meta"):
        network = CLIPSegForImageSegmentation(networks.clipseg_config("full-size", {"vocab_size": networks.TOKENS}))
    assert sum(weight.numel() for weight in network.clip.parameters()) == 149_620_737


def test_the_full_size_zegclip_is_the_published_one() -> None:
    clip, shape = networks.ZEGCLIPS["full-size"]
    assert clip == "ViT-B/16" and (shape.side, shape.prompts, shape.layers) == (512, 10, 3)
    assert zegclip.COUNTS == (5, 20, 171)


def test_the_plain_way_gives_the_masks_of_transformers_at_the_camera_s_size(tiny_weights: Path) -> None:
    image = setting.frame((48, 64))
    texts = setting.prompts(2)
    every, none = (PlainWay(tiny_weights, "cpu", threshold)(image, texts) for threshold in (0.0, 1.0))
    assert every.shape == (2, 48, 64) and every.all() and not none.any()
    assert PlainWay(tiny_weights, "cpu", 0.0)(image, texts[:1]).shape == (1, 48, 64)


def test_a_process_that_fails_ends_the_benchmark_with_1_and_keeps_what_is_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails(given: setting.Setting):
        yield Row("car", "case", "way", 1.0)
        raise ProcessFailed("node ended with exit code 1")

    monkeypatch.setattr(car, "measure", fails)
    out = tmp_path / "new" / "bench.json"
    assert main(["bench", "--quick", "--only", "car", "--device", "cpu", "--out", str(out)]) == 1
    assert "bench: error: node ended with exit code 1" in capsys.readouterr().err
    assert len(json.loads(out.read_text())["rows"]) == 1


def test_less_than_no_thread_and_no_part_at_all_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "--threads", "-1"]) == 1
    assert "--threads -1: expected 0 or more" in capsys.readouterr().err
    assert main(["bench", "--only"]) == 1
    parts = "clipseg, car, zegclip, ovseg, growth, node, --roofline or --docs"
    assert f"--only without a part: expected some of {parts}" in capsys.readouterr().err
