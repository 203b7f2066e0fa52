# SPDX-License-Identifier: Apache-2.0
"""Maps that are drawn where their logits lie say what those on the host say."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from clipseg_ros.engines import device_maps
from clipseg_ros.engines.device_maps import DeviceLogitMaps, logit_maps
from clipseg_ros.masks import LogitMaps
from clipseg_ros.segmentation import Frame, Prompt, Segmentation
from clipseg_ros.video import Stream

SIZE = (30, 50)
LOGITS = np.random.default_rng(0).normal(0.0, 2.0, (7, 9, 11)).astype(np.float32)
THRESHOLDS = np.array([0.5, 0.9, 0.2, 0.7, 0.999, 0.5, 1.0], np.float32)


@pytest.fixture(params=[1, 3, 100])
def there(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> DeviceLogitMaps:
    """So many maps are resized at once."""
    monkeypatch.setattr(device_maps, "PIXELS_AT_ONCE", request.param * SIZE[0] * SIZE[1])
    return DeviceLogitMaps(torch.from_numpy(LOGITS), SIZE)


def test_everything_is_as_on_the_host(there: DeviceLogitMaps) -> None:
    here = LogitMaps(LOGITS, SIZE)
    assert (there.labels(THRESHOLDS) == here.labels(THRESHOLDS)).mean() > 0.999  # they are resized by other code
    assert len(np.unique(here.labels(THRESHOLDS))) > 4 and there.labels(THRESHOLDS).dtype == np.uint8
    assert (there.masks(THRESHOLDS) == here.masks(THRESHOLDS)).mean() > 0.999
    np.testing.assert_array_equal(there.present(THRESHOLDS), here.present(THRESHOLDS))
    np.testing.assert_allclose(there.score(), here.score(), atol=1e-5)
    np.testing.assert_allclose(there.scores(), here.scores(), atol=1e-5)


def test_ties_go_to_the_earlier_prompt_and_nan_to_none(there: DeviceLogitMaps) -> None:
    planes = torch.ones(4, 9, 11)
    planes[1] = torch.nan
    maps = DeviceLogitMaps(planes, SIZE)
    assert (maps.labels(np.array([0.9, 0.5, 0.5, 0.5], np.float32)) == 3).all()


def test_half_precision_is_drawn_in_single(there: DeviceLogitMaps) -> None:
    half = DeviceLogitMaps(torch.from_numpy(LOGITS).half(), SIZE)
    np.testing.assert_allclose(half.score(), there.score(), atol=2e-3)
    assert half.logits.dtype == np.float32


def test_without_prompts_everything_is_empty_or_zero() -> None:
    none, thresholds = DeviceLogitMaps(torch.empty(0, 7, 9), SIZE), np.empty(0, np.float32)
    assert none.masks(thresholds).shape == (0, *SIZE) and none.present(thresholds).shape == (0,)
    assert not none.labels(thresholds).any() and not none.score().any()
    assert none.labels(thresholds).shape == none.score().shape == SIZE


def test_a_stream_smooths_them_at_their_grid(there: DeviceLogitMaps) -> None:
    frame, prompts = Frame(np.zeros((*SIZE, 3), np.uint8)), tuple(Prompt(str(index)) for index in range(7))
    found = [Stream().smooth(frame, Segmentation(prompts, maps, 0.5), 0.9).maps.logits
             for maps in (there, LogitMaps(LOGITS, SIZE))]
    np.testing.assert_allclose(found[0], LOGITS, rtol=1e-4)
    np.testing.assert_array_equal(*found)


def test_a_cpu_keeps_its_own_way() -> None:
    assert type(logit_maps(torch.from_numpy(LOGITS), SIZE)) is LogitMaps
    assert type(logit_maps(torch.empty(2, 3, 3, device="meta"), SIZE)) is DeviceLogitMaps
