# SPDX-License-Identifier: Apache-2.0
"""A folder of predictions: one .npz file a sample, written once by any number of processes, and what made them."""

from __future__ import annotations

import hashlib
import json
import os
import re
import time
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

MANIFEST = "manifest.json"
POLL_S = 0.2


def pin(folder: Path, settings: Mapping[str, Any]) -> None:
    """Write what makes the predictions to folder/manifest.json, once.

    Raises ValueError where the folder holds predictions of other settings, and says which.
    """
    path = folder / MANIFEST
    wanted = json.loads(json.dumps(settings))
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        _replace(path, (json.dumps(wanted, indent=1) + "\n").encode())
    try:
        found = json.loads(path.read_text())
    except ValueError as error:
        raise ValueError(f"{path}: damaged ({error}); delete {folder}, or choose another --out") from None
    for key in sorted(wanted.keys() | found.keys()):
        if wanted.get(key) != found.get(key):
            raise ValueError(
                f"{folder} holds predictions with {key} {found.get(key)!r}, not {wanted.get(key)!r}: "
                "choose another --out, or delete that folder"
            )


def weights_digest(weights: str) -> str:
    """SHA-256 over the files of weights in a local folder and those below, so that further training shows; "" for names
    on the hub."""
    digest = hashlib.sha256()
    folder = Path(weights).expanduser()
    paths = sorted(path for path in folder.rglob("*") if path.is_file()) if folder.is_dir() else []
    for path in paths:
        digest.update(f"{path.relative_to(folder).as_posix()} {path.stat().st_size} ".encode())
        with path.open("rb") as file:
            while block := file.read(1 << 22):
                digest.update(block)
    return digest.hexdigest() if paths else ""


class Predictions:
    """Predictions of one pass over one data set: folder/000012_<name>.npz for sample 12.

    A file appears whole or not at all, so that a process may be stopped at any time, and others may look on.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def missing(self, count: int) -> list[int]:
        """The samples below `count` that have no file yet."""
        there = {int(path.name[:6]) for path in self.folder.glob("[0-9]*.npz")}
        return [index for index in range(count) if index not in there]

    def write(self, index: int, name: str, arrays: Mapping[str, np.ndarray]) -> None:
        """Keep the prediction of sample `index`, called `name`."""
        path = self._path(index, name)
        draft = path.with_name(f".{os.getpid()}.tmp")
        with draft.open("wb") as file:
            np.savez_compressed(file, **arrays)
        os.replace(draft, path)

    def read(self, index: int, name: str) -> dict[str, np.ndarray]:
        """What write kept. Raises ValueError where the sample had another name, or its file is damaged."""
        path = self._path(index, name)
        if not path.exists():
            raise ValueError(
                f"{path}: not there, though sample {index} has a prediction: the data set is not the one that was "
                f"predicted; choose another --out, or delete {self.folder}"
            )
        try:
            with np.load(path, allow_pickle=False) as content:
                return dict(content)
        except (zipfile.BadZipFile, ValueError, EOFError, KeyError) as error:
            raise ValueError(f"{path}: damaged ({error}); delete it and run again") from None

    def wait(self, count: int, quiet: bool = False) -> None:
        """Return when all `count` samples have their file: other processes write them."""
        missing = len(self.missing(count))
        if not missing:
            return
        with tqdm(total=count, initial=count - missing, desc="other processes", unit="sample", disable=quiet) as bar:
            while missing:
                time.sleep(POLL_S)
                missing = len(self.missing(count))
                bar.update(count - missing - bar.n)

    def _path(self, index: int, name: str) -> Path:
        safe = re.sub(r"[^\w.-]+", "-", name, flags=re.ASCII)[:80]
        return self.folder / f"{index:06d}_{safe}.npz"


def _replace(path: Path, content: bytes) -> None:
    draft = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    draft.write_bytes(content)
    os.replace(draft, path)
