# SPDX-License-Identifier: Apache-2.0
"""Where weights are looked for, and what is said when they are nowhere."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from clipseg_ros.models import hub
from clipseg_ros.models.hub import WeightsError

FIND = "import sys; from clipseg_ros.models import hub; print(hub.find(sys.argv[1]))"


def find(name: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """hub.find in a process of its own: the hub's settings are read once, when it is imported."""
    return subprocess.run(
        [sys.executable, "-c", FIND, name],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.fixture
def hub_cache(tiny_copy: Path, tmp_path: Path) -> Path:
    """A hub cache that holds `some/model`."""
    model = tmp_path / "hub" / "models--some--model"
    (model / "refs").mkdir(parents=True)
    (model / "snapshots").mkdir()
    (model / "refs" / "main").write_text("0123abcd")
    tiny_copy.rename(model / "snapshots" / "0123abcd")
    return tmp_path / "hub"


def test_a_folder_is_found_where_it_is(tiny_weights: Path) -> None:
    assert hub.find(str(tiny_weights)) == tiny_weights


def test_the_demo_model_lies_in_the_package() -> None:
    assert hub.find("demo") == Path(hub.__file__).parents[1] / "data" / "demo_model"


def test_a_cached_model_is_found_without_a_network(hub_cache: Path) -> None:
    found = find("some/model", HF_HUB_CACHE=str(hub_cache), HF_HUB_OFFLINE="1")
    assert Path(found.stdout.strip()) == hub_cache / "models--some--model" / "snapshots" / "0123abcd", found.stderr


def test_a_model_neither_cached_nor_reachable_names_the_ways_out(hub_cache: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    found = find("other/model", HF_HUB_CACHE=str(hub_cache), HF_ENDPOINT=f"http://127.0.0.1:{port}")
    for word in ("'other/model'", str(hub_cache), "ConnectError", "clipseg_ros download other/model", "weights:=demo"):
        assert word in found.stderr.splitlines()[-1]


def test_a_hub_that_never_answers_is_given_up(hub_cache: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        found = find("a/b", HF_HUB_CACHE=str(hub_cache), HF_ENDPOINT=f"http://127.0.0.1:{server.getsockname()[1]}")
    assert "ReadTimeout" in found.stderr.splitlines()[-1] and "download a/b" in found.stderr.splitlines()[-1]


def test_what_is_neither_a_folder_nor_a_name_is_refused() -> None:
    with pytest.raises(WeightsError, match="'no/such/folder': no such folder, and no name of a model on the hub"):
        hub.find("no/such/folder")
