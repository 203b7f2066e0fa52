# SPDX-License-Identifier: Apache-2.0
"""`download` against a hub of our own on this machine."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def handler(folder: Path) -> type[BaseHTTPRequestHandler]:
    """Serves a folder as the model `some/model` in the way of the Hugging Face hub, as far as a download needs it."""

    class Hub(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = self.path.split("?")[0]
            files = sorted(file.name for file in folder.iterdir())
            if path.startswith("/api/models/some/model/tree/"):
                rows = [
                    {"type": "file", "path": n, "size": (folder / n).stat().st_size, "oid": "0" * 40} for n in files
                ]
                self._send(json.dumps(rows).encode())
            elif path.startswith("/api/models/some/model"):
                info = {"id": "some/model", "sha": COMMIT, "siblings": [{"rfilename": name} for name in files]}
                self._send(json.dumps(info).encode())
            elif path.startswith(f"/some/model/resolve/{COMMIT}/"):
                self._send((folder / path.rsplit("/", 1)[1]).read_bytes())
            else:
                self.send_error(404)

        do_HEAD = do_GET

        def _send(self, content: bytes) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.send_header("X-Repo-Commit", COMMIT)
            self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    return Hub


@pytest.fixture
def hub(tiny_copy: Path) -> Iterator[str]:
    """Address of a hub that has `some/model`: the golden network in both formats, and a file that nobody needs."""
    torch.save(load_file(tiny_copy / "model.safetensors"), tiny_copy / "pytorch_model.bin")
    (tiny_copy / "flax_model.msgpack").write_text("nothing")
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler(tiny_copy))
    threading.Thread(target=server.serve_forever).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def download(model: str, hub: str, cache: Path) -> subprocess.CompletedProcess[str]:
    """The command, in a process of its own: the hub's address is read once, when its client is imported."""
    return subprocess.run(
        [sys.executable, "-m", "clipseg_ros", "download", model],
        env={**os.environ, "HF_ENDPOINT": hub, "HF_HUB_CACHE": str(cache)},
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_a_download_brings_what_is_needed_and_no_more(hub: str, tmp_path: Path) -> None:
    result = download("some/model", hub, tmp_path / "cache")
    folder = tmp_path / "cache" / "models--some--model" / "snapshots" / COMMIT
    assert result.returncode == 0, result.stderr
    assert result.stdout == f"some/model: 1 MB in {folder}\n"
    assert {file.name for file in folder.iterdir()} == {
        "config.json",
        "processor_config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
        "vocab.json",
        "merges.txt",
    }


def test_a_model_without_safetensors_comes_in_pytorchs_format(hub: str, tiny_copy: Path, tmp_path: Path) -> None:
    (tiny_copy / "model.safetensors").unlink()
    assert download("some/model", hub, tmp_path / "cache").returncode == 0
    assert (tmp_path / "cache" / "models--some--model" / "snapshots" / COMMIT / "pytorch_model.bin").is_file()


def test_a_model_that_the_hub_lacks_is_one_line_of_error(hub: str, tmp_path: Path) -> None:
    result = download("other/model", hub, tmp_path / "cache")
    assert result.returncode == 1 and result.stdout == ""
    assert result.stderr.startswith("clipseg_ros: error: weights 'other/model'") and result.stderr.count("\n") == 1
    assert "404" in result.stderr
