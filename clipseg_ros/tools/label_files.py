# SPDX-License-Identifier: Apache-2.0
"""A folder of label files as training data: <stem>.png of each picture, names.txt, manifest.json."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np

from clipseg_ros.segmentation import Prompt

BACKGROUND = "background"
MANIFEST, NAMES = "manifest.json", "names.txt"


class LabelFiles:
    """Label files (H, W) uint8: 0 background, i for the i-th prompt; a file appears whole or not at all.

    names.txt: the name of each value, a line each, from 0 on. made: what makes the labels, kept in manifest.json.
    Raises ValueError where the folder holds labels of other prompts or made otherwise.
    """

    def __init__(self, folder: Path, prompts: Sequence[Prompt], made: Mapping[str, object]) -> None:
        self.folder = folder
        names = [BACKGROUND, *(prompt.name for prompt in prompts)]
        wanted = json.loads(json.dumps({"names": names, "thresholds": [p.threshold for p in prompts], **made}))
        manifest = folder / MANIFEST
        if manifest.exists():
            self._compare(json.loads(manifest.read_text(encoding="utf-8")), wanted)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / NAMES).write_text("".join(f"{name}\n" for name in names), encoding="utf-8")
        manifest.write_text(json.dumps(wanted, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")

    def missing(self, pictures: Mapping[Path, str]) -> dict[Path, str]:
        """The pictures, with their stems, that have no label file yet."""
        return {path: stem for path, stem in pictures.items() if not self._path(stem).exists()}

    def write(self, stem: str, labels: np.ndarray) -> None:
        """Keep the labels (H, W) uint8 of the picture of that stem. Raises OSError."""
        draft = self.folder / f".{os.getpid()}.tmp"
        draft.write_bytes(cv2.imencode(".png", labels)[1])
        os.replace(draft, self._path(stem))

    def _path(self, stem: str) -> Path:
        return self.folder / f"{stem}.png"

    def _compare(self, found: Mapping[str, object], wanted: Mapping[str, object]) -> None:
        for key in sorted(wanted.keys() | found.keys()):
            if wanted.get(key) != found.get(key):
                raise ValueError(
                    f"--labels-out {self.folder}: holds labels with {key} {found.get(key)!r}, not {wanted.get(key)!r}; "
                    "name another folder, or delete this one"
                )
