# SPDX-License-Identifier: Apache-2.0
"""Work spread over processes and over Ray: every piece once, wherever it is done."""

from __future__ import annotations

import math
import os
import sys
from functools import partial

import pytest

from clipseg_ros.tools import spread


def test_one_worker_is_this_process() -> None:
    assert list(spread.over(lambda task: (task, os.getpid()), [1, 2], 1, None)) == [(1, os.getpid()), (2, os.getpid())]


def test_every_task_is_done_once_by_other_processes() -> None:
    assert sorted(spread.over(partial(math.pow, 2.0), range(20), 2, None)) == [2.0**power for power in range(20)]


def test_what_a_task_raises_comes_out() -> None:
    with pytest.raises(ValueError, match="math domain error|expected a nonnegative input"):
        list(spread.over(math.sqrt, [1.0, -1.0], 2, None))


def test_ray_does_every_task_once() -> None:
    ray = pytest.importorskip("ray", reason="pip install ray")
    assert sorted(spread.over(partial(math.pow, 2.0), range(20), 1, "local")) == [2.0**power for power in range(20)]
    assert not ray.is_initialized()


def test_a_missing_ray_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ValueError, match="--ray auto: Ray is not installed: pip install ray, or use --workers"):
        list(spread.over(math.sqrt, [1.0], 1, "auto"))
