# SPDX-License-Identifier: Apache-2.0
"""Passes over a data set: resumed, shared among processes, averaged over folds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from clipseg_ros.datasets import Sample
from clipseg_ros.evaluation.masks_protocol import Masks
from clipseg_ros.evaluation.passes import Job, Outcome, Pass, Passes
from clipseg_ros.evaluation.results import AUTHORS
from clipseg_ros.segmentation import Prompt


class Stripes:
    """`count` samples of 8 x 8 pixels; the target of sample i are its first i + 1 columns, which are white."""

    def __init__(self, count: int) -> None:
        self.count = count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Sample:
        target = np.broadcast_to(np.arange(8) <= index, (8, 8))
        image = np.repeat(target[..., None], 3, axis=2).astype(np.uint8) * 255
        return Sample(image, (Prompt("stripe"),), target[None], f"stripe {index}")


class Bright:
    """Finds what is white, all but `lost` columns on the left; counts its calls, fails from call `breaks` on."""

    def __init__(self, lost: int = 0, breaks: int = 100) -> None:
        self.lost, self.breaks, self.calls, self.closed = lost, breaks, 0, False

    def segment(self, image: np.ndarray, prompts: Sequence[Prompt]) -> SimpleNamespace:
        self.calls += 1
        if self.calls > self.breaks:
            raise RuntimeError("power cut")
        scores = image[..., 0].astype(np.float32)[None] / 255
        scores[:, :, : self.lost] = 0
        return SimpleNamespace(scores=scores)

    def close(self) -> None:
        self.closed = True


def passes(engine: object, parts: dict[str, Stripes], *several: Pass) -> Passes:
    return Passes(lambda root: parts, several or (Pass(Masks(0.5)),), lambda job, options: engine)


def values(outcome: Outcome) -> dict[str, float]:
    return {row.name: row.values["mIoU"] for row in outcome.rows}


@pytest.fixture
def job(tmp_path: Path) -> Job:
    return Job("clipseg", "demo", tmp_path / "out")


def test_the_honest_row_comes_first_and_the_authors_count_by_name(job: Job) -> None:
    engine = Bright()
    outcome = passes(engine, {"": Stripes(3)}).run(job)
    assert list(values(outcome)) == ["ours", f"ours, {AUTHORS}"]
    assert values(outcome)["ours"] == 1.0 > values(outcome)[f"ours, {AUTHORS}"] > 0.8
    assert (outcome.samples, outcome.available, engine.closed) == (3, 3, True)


def test_a_run_that_broke_goes_on_where_it_stopped_and_scoring_again_needs_no_engine(job: Job) -> None:
    with pytest.raises(RuntimeError, match="power cut"):
        passes(Bright(breaks=2), {"": Stripes(5)}).run(job)
    second = Bright()
    first_result = passes(second, {"": Stripes(5)}).run(job)
    assert second.calls == 3
    assert passes(None, {"": Stripes(5)}).run(job) == first_result


def test_a_try_out_is_a_part_of_the_whole_and_is_continued(job: Job) -> None:
    engine = Bright()
    outcome = passes(engine, {"": Stripes(5)}).run(replace(job, limit=2))
    assert (outcome.samples, outcome.available, engine.calls) == (2, 5, 2)
    passes(engine, {"": Stripes(5)}).run(job)
    assert engine.calls == 5


def test_processes_share_the_samples_and_the_first_one_scores(job: Job) -> None:
    engines = [Bright(), Bright()]
    other = passes(engines[1], {"": Stripes(5)}).run(replace(job, rank=1, world=2))
    outcome = passes(engines[0], {"": Stripes(5)}).run(replace(job, world=2))
    assert other is None and outcome.samples == 5
    assert [engine.calls for engine in engines] == [3, 2]


def test_a_row_is_the_mean_over_folds_whatever_their_size_and_the_folds_follow(job: Job) -> None:
    outcome = passes(Bright(lost=1), {"fold 0": Stripes(1), "fold 1": Stripes(2)}).run(job)
    found = values(outcome)
    assert (found["ours, fold 0"], found["ours, fold 1"]) == (0.0, 0.25)
    assert found["ours"] == 0.125 and outcome.samples == 3


def test_each_pass_has_its_row_and_its_own_predictions(job: Job) -> None:
    several = (Pass(Masks(0.5), "a photo of {}"), Pass(Masks(0.2), "{}"), Pass(Masks(0.2), "{}."))
    outcome = passes(Bright(), {"": Stripes(1)}, *several).run(job)
    assert [name for name in values(outcome) if "counted" not in name] == [each.name for each in several]
    assert len(list((job.folder / "predictions").rglob("*.npz"))) == 3


def test_predictions_of_other_settings_are_refused(job: Job) -> None:
    passes(Bright(), {"": Stripes(1)}).run(replace(job, settings={"weights": "demo"}))
    with pytest.raises(ValueError, match="holds predictions with weights 'demo', not 'mine'"):
        passes(Bright(), {"": Stripes(1)}).run(replace(job, settings={"weights": "mine"}))


def test_an_option_that_the_benchmark_sets_is_not_the_users() -> None:
    job = Job("clipseg", "demo", Path(), options={"side": 128, "template": "{}"})
    assert job.joined({"side": 128}) == {"side": 128, "template": "{}"}
    with pytest.raises(ValueError, match="--option side=128: this benchmark sets it to 352"):
        job.joined({"side": 352})


def test_an_empty_data_set_is_refused(job: Job) -> None:
    with pytest.raises(ValueError, match="no sample in fold 1: nothing to score"):
        passes(Bright(), {"fold 0": Stripes(1), "fold 1": Stripes(0)}).run(job)
