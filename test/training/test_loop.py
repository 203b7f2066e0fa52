# SPDX-License-Identifier: Apache-2.0
"""The training loop: what it seeds, keeps, continues and shares between processes; on a network of a few numbers."""

from __future__ import annotations

import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from clipseg_ros.training import distributed, log, loop
from clipseg_ros.training.schedule import Schedule

CPU = torch.device("cpu")
SCHEDULE = Schedule(steps=10, learning_rate=1e-2, final_rate=1e-4, warm_up=2, clip=1.0, seed=3)

# A process of its own, so that it can be killed, or be one of two: folder, dropout, the step that kills it (or -1).
PROGRAM = '''
import os, signal, sys
from pathlib import Path
sys.path.insert(0, {here!r})
import torch
from test_loop import SCHEDULE, Regression
from clipseg_ros.training import loop

class Mortal(Regression):
    def loss(self, batch):
        if batch[2] == int(sys.argv[3]):
            os.kill(os.getpid(), signal.SIGKILL)
        return super().loss(batch)

torch.set_num_threads(1)
task = Mortal(float(sys.argv[2]), seed=int(os.environ.get("RANK", 0)))
loop.run(task, SCHEDULE, Path(sys.argv[1]), torch.device("cpu"), checkpoint_every=4)
'''


class Regression:
    """Two layers and dropout; the batch of a step is 8 rows, of which every rank takes its share."""

    def __init__(self, dropout: float = 0.3, seed: int = 0) -> None:
        torch.manual_seed(seed)
        self.module = nn.Sequential(nn.Linear(5, 16), nn.Tanh(), nn.Dropout(dropout), nn.Linear(16, 1))
        self.unused = nn.Parameter(torch.ones(2))
        self.module.register_parameter("unused", self.unused)
        self.drawn: list[int] = []

    def draw(self, step: int, rank: int, ranks: int) -> tuple[torch.Tensor, torch.Tensor, int]:
        self.drawn.append(step)
        rows = torch.from_numpy(np.random.default_rng(step).standard_normal((8, 5), np.float32))[rank::ranks]
        return rows, rows.sum(1, keepdim=True), step

    def loss(self, batch: tuple[torch.Tensor, torch.Tensor, int]) -> torch.Tensor:
        return (self.module(batch[0]) - batch[1]).square().mean()


def able() -> dict[str, bool]:
    """What torch says of a CPU that multiplies in bfloat16."""
    return {"avx512_bf16": True}


def weights(out: Path) -> dict[str, torch.Tensor]:
    return torch.load(out / "checkpoint.pt", weights_only=True)["module"]


def same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(first[name], second[name]) for name in first | second)


def program(tmp_path: Path, *arguments: str, launcher: tuple[str, ...] = ()) -> subprocess.CompletedProcess:
    script = tmp_path / "program.py"
    script.write_text(PROGRAM.format(here=str(Path(__file__).parent)))
    command = [sys.executable, *launcher, str(script), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=Path(__file__).parents[2])


@pytest.fixture
def one_thread() -> None:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def test_a_killed_run_ends_bit_for_bit_where_the_whole_run_ends(tmp_path: Path, one_thread: None) -> None:
    loop.run(Regression(), SCHEDULE, tmp_path / "whole", CPU)
    killed = program(tmp_path, str(tmp_path / "cut"), "0.3", "6")
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert torch.load(tmp_path / "cut" / "checkpoint.pt", weights_only=True)["step"] == 4
    assert [int(row[0]) for row in log.read(tmp_path / "cut" / "log.csv")] == [0, 1, 2, 3, 4, 5]
    loop.run(Regression(seed=9), SCHEDULE, tmp_path / "cut", CPU)
    assert same(weights(tmp_path / "whole"), weights(tmp_path / "cut"))
    whole, cut = (log.read(tmp_path / name / "log.csv") for name in ("whole", "cut"))
    assert [row[:2] for row in whole] == [row[:2] for row in cut] and len(cut) == SCHEDULE.steps
    assert all(before[2] <= after[2] for before, after in zip(cut, cut[1:]))


def test_two_ranks_with_half_the_batch_equal_one_with_all_of_it(tmp_path: Path, one_thread: None) -> None:
    launcher = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2")
    ran = program(tmp_path, str(tmp_path / "two"), "0.0", "-1", launcher=launcher)
    assert ran.returncode == 0, ran.stderr
    loop.run(Regression(0.0), SCHEDULE, tmp_path / "one", CPU)
    one, two = weights(tmp_path / "one"), weights(tmp_path / "two")
    for name, tensor in one.items():
        torch.testing.assert_close(two[name], tensor, rtol=1e-4, atol=1e-6)
    losses = [np.array(log.read(tmp_path / name / "log.csv"))[:, 1] for name in ("one", "two")]
    np.testing.assert_allclose(*losses, atol=2e-5)
    assert len(losses[1]) == SCHEDULE.steps


def test_a_finished_run_draws_nothing_and_changes_nothing(tmp_path: Path) -> None:
    loop.run(Regression(), SCHEDULE, tmp_path, CPU)
    before, again = weights(tmp_path), Regression(seed=1)
    loop.run(again, SCHEDULE, tmp_path, CPU)
    assert not again.drawn and same(before, weights(tmp_path)) and same(before, again.module.state_dict())


def test_every_step_is_drawn_once(tmp_path: Path) -> None:
    task = Regression()
    loop.run(task, SCHEDULE, tmp_path, CPU)
    assert task.drawn == list(range(SCHEDULE.steps))


def test_the_seed_decides_the_dropout(tmp_path: Path) -> None:
    for name, seed in (("a", 0), ("again", 0), ("b", 1)):
        loop.run(Regression(), replace(SCHEDULE, seed=seed), tmp_path / name, CPU)
    assert same(weights(tmp_path / "a"), weights(tmp_path / "again"))
    assert not same(weights(tmp_path / "a"), weights(tmp_path / "b"))


def test_a_parameter_without_gradient_stays_as_it_is(tmp_path: Path) -> None:
    task = Regression()
    loop.run(task, SCHEDULE, tmp_path, CPU)
    assert torch.equal(task.unused, torch.ones(2))


def test_a_steps_seed_differs_by_seed_step_and_rank_and_stays_over_processes() -> None:
    seeds = {loop.step_seed(*key) for key in [(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1)]}
    assert len(seeds) == 4 and loop.step_seed(0, 0, 0) == 15793235383387715774


def test_groups_have_rates_and_decays_of_their_own_and_the_first_that_fits_counts(tmp_path: Path) -> None:
    def steps(*groups: tuple[str, float, float]) -> dict[str, torch.Tensor]:
        schedule = replace(SCHEDULE, steps=1, warm_up=0, weight_decay=0.5, groups=groups)
        task = Regression(0.0)
        before = {name: weight.clone() for name, weight in task.module.state_dict().items()}
        loop.run(task, schedule, tmp_path / str(len(list(tmp_path.iterdir()))), CPU)
        return {name: weight - before[name] for name, weight in task.module.state_dict().items()}

    plain, still = steps(), steps(("bias$", 0.0, 1.0), ("^0", 2.0, 0.0))
    assert not still["0.bias"].any() and not still["3.bias"].any() and plain["0.bias"].any()
    torch.testing.assert_close(still["3.weight"], plain["3.weight"])
    # AdamW's first step is the rate times the gradient's sign; the decay comes on top.
    torch.testing.assert_close(still["0.weight"].abs(), torch.full((16, 5), 2e-2), rtol=1e-3, atol=1e-5)


def test_a_checkpoint_from_before_a_field_was_there_goes_on(tmp_path: Path) -> None:
    loop.run(Regression(), SCHEDULE, tmp_path, CPU)
    state = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    for field in ("epsilon", "power", "warm_up_from", "groups"):
        del state["schedule"][field]
    for group in state["optimisers"][0]["param_groups"]:
        del group["times"]
    torch.save(state | {"step": 8}, tmp_path / "checkpoint.pt")
    loop.run(Regression(), SCHEDULE, tmp_path, CPU)
    assert torch.load(tmp_path / "checkpoint.pt", weights_only=True)["step"] == SCHEDULE.steps


def test_validation_is_logged_at_every_checkpoint_in_evaluation_mode(tmp_path: Path) -> None:
    task, modes = Regression(), []

    def validate() -> float:
        modes.append((task.module.training, torch.is_grad_enabled()))
        return 0.25 * len(modes)

    loop.run(task, SCHEDULE, tmp_path, CPU, checkpoint_every=4, validate=validate)
    assert log.read(tmp_path / "validation.csv") == [(3.0, 0.25), (7.0, 0.5), (9.0, 0.75)]
    assert modes == [(False, False)] * 3 and task.module.training


def test_a_line_cut_short_by_a_kill_is_dropped(tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_text("0,1.0,0.5\n1,0.9,1.0\n2,0.8,1.5\n3,0.")
    assert len(log.read(tmp_path / "log.csv")) == 3 and log.read(tmp_path / "none.csv") == []
    log.Log(tmp_path, 2).loss(2, 0.75, 2.0)
    assert (tmp_path / "log.csv").read_text() == "0,1.0,0.5\n1,0.9,1.0\n2,0.75000,2.0\n"


def test_a_checkpoint_of_another_schedule_is_refused(tmp_path: Path) -> None:
    loop.run(Regression(), SCHEDULE, tmp_path, CPU)
    with pytest.raises(ValueError, match="another schedule"):
        loop.run(Regression(), replace(SCHEDULE, steps=11), tmp_path, CPU)


def test_a_loss_that_is_no_number_stops_the_run_and_keeps_the_checkpoint(tmp_path: Path) -> None:
    class Broken(Regression):
        def loss(self, batch: tuple[torch.Tensor, torch.Tensor, int]) -> torch.Tensor:
            return super().loss(batch) * (torch.nan if batch[2] == 5 else 1.0)

    with pytest.raises(FloatingPointError, match="loss nan at step 5: the last checkpoint is kept"):
        loop.run(Broken(), SCHEDULE, tmp_path, CPU, checkpoint_every=4)
    assert torch.load(tmp_path / "checkpoint.pt", weights_only=True)["step"] == 4


def test_under_torchrun_each_process_takes_its_own_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    assert distributed.own_device(torch.device("cuda")) == torch.device("cuda")
    monkeypatch.setenv("LOCAL_RANK", "1")
    names = ["cuda", "cuda:0", "cpu"]
    assert [str(distributed.own_device(torch.device(name))) for name in names] == ["cuda:1", "cuda:0", "cpu"]


@pytest.mark.parametrize("schedule", [SCHEDULE, replace(SCHEDULE, bfloat16=True)])
def test_a_run_stopped_half_way_goes_on_as_the_whole_run(
    tmp_path: Path, one_thread: None, monkeypatch: pytest.MonkeyPatch, schedule: Schedule
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", able, raising=False)
    loop.run(Regression(), schedule, tmp_path / "whole", CPU)
    loop.run(Regression(), schedule, tmp_path / "half", CPU, until=5)
    assert torch.load(tmp_path / "half" / "checkpoint.pt", weights_only=True)["step"] == 5
    half = Regression(seed=9)
    loop.run(half, schedule, tmp_path / "half", CPU, until=5)
    assert not half.drawn and same(weights(tmp_path / "half"), half.module.state_dict())
    loop.run(half, schedule, tmp_path / "half", CPU)
    assert same(weights(tmp_path / "whole"), weights(tmp_path / "half"))


def test_a_cpu_multiplies_in_bfloat16_where_asked_and_able(monkeypatch: pytest.MonkeyPatch) -> None:
    types: list[torch.dtype] = []

    class Watched(Regression):
        def loss(self, batch: tuple[torch.Tensor, torch.Tensor, int]) -> torch.Tensor:
            types.append(self.module(batch[0]).dtype)
            return super().loss(batch)

    asked = replace(SCHEDULE, bfloat16=True)
    for capabilities, schedule in ((able, asked), (able, SCHEDULE), (dict, asked)):
        monkeypatch.setattr(torch.cpu, "get_capabilities", capabilities, raising=False)
        task = Watched()
        loop.Learner(task, schedule, CPU, distributed.Group()).learn(task.draw(0, 0, 1))
        assert all(weight.dtype == torch.float32 for weight in task.module.parameters())
    assert types == [torch.bfloat16, torch.float32, torch.float32]
    assert loop.find_half(asked, torch.device("cuda")) == torch.float16
    assert loop.find_half(replace(asked, amp=False), torch.device("cuda")) is None
