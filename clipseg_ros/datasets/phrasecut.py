# SPDX-License-Identifier: Apache-2.0
"""PhraseCut: phrases about Visual Genome pictures and the polygons of what they mean (Wu et al., CVPR 2020).

Expected: root/images/<image_id>.jpg, root/refer_{train,val,test,miniv}.json, and the list of pictures,
root/image_data_split.json or root/image_data_split3000.json; root is usually called VGPhraseCut_v0.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from clipseg_ros.datasets import DatasetError, Sample, expect
from clipseg_ros.datasets.annotations import Hook, checked, image_size, read_json
from clipseg_ros.datasets.labels import read_image
from clipseg_ros.datasets.polygons import outlined, points
from clipseg_ros.segmentation import Prompt

# The 100 pictures of miniv belong to val, but its file leaves them out.
SPLITS = {"train": ("train",), "val": ("val", "miniv"), "test": ("test",), "miniv": ("miniv",)}
PICTURE_LISTS = ("image_data_split.json", "image_data_split3000.json")  # the loader's name, the README's
PICTURE = {"image_id": int, "width": int, "height": int}
TASK = {"task_id": (str, int), "image_id": int, "phrase": str, "Polygons": list}


class Task(NamedTuple):
    """A phrase about a picture of size (H, W), with the polygons (n, 2) int32 of all its instances."""

    name: str
    image_id: int
    phrase: str
    size: tuple[int, int]
    polygons: tuple[np.ndarray, ...]


class PhraseCut:
    """Samples of one phrase each; split: train, val (with miniv, as the paper counts), test or miniv.

    A target is the union of the phrase's polygons. Pictures whose size is not the listed one are left out, as their
    polygons do not fit (17 are known); `wrong_size` holds their ids. Every header is read for that when the data set
    is opened, every picture only when asked for. Raises DatasetError.
    """

    def __init__(self, root: Path, split: str) -> None:
        if split not in SPLITS:
            raise DatasetError(f"split {split!r} of PhraseCut: expected one of {', '.join(SPLITS)}")
        self._pictures = root / "images"
        sizes = _listed_sizes(root)
        tasks: dict[str, Task] = {}  # by name: nothing is counted twice should val come with miniv
        for part in SPLITS[split]:
            path = root / f"refer_{part}.json"
            for number, entry in enumerate(_list(path, "PhraseCut's phrases and polygons", _shrink)):
                task = _task(entry, sizes, f"{path}, entry {number}")
                tasks.setdefault(task.name, task)
        size_of = {task.image_id: task.size for task in tasks.values()}
        self.wrong_size = tuple(key for key, size in size_of.items() if image_size(self._path(key)) != size)
        self._tasks = [task for task in tasks.values() if task.image_id not in self.wrong_size]

    def __len__(self) -> int:
        return len(self._tasks)

    def __getitem__(self, index: int) -> Sample:
        task = self._tasks[index]
        target = outlined(task.polygons, task.size)
        return Sample(read_image(self._path(task.image_id)), (Prompt(task.phrase),), target[None], task.name)

    @property
    def phrases(self) -> tuple[str, ...]:
        """The phrase of each sample."""
        return tuple(task.phrase for task in self._tasks)

    @property
    def image_ids(self) -> tuple[int, ...]:
        """Visual Genome's number of each sample's picture."""
        return tuple(task.image_id for task in self._tasks)

    def only(self, wanted: Callable[[str], bool]) -> PhraseCut:
        """The data set of those samples whose phrase is wanted."""
        fewer = copy.copy(self)
        fewer._tasks = [task for task in self._tasks if wanted(task.phrase)]
        return fewer

    def _path(self, image_id: int) -> Path:
        return self._pictures / f"{image_id}.jpg"


def _listed_sizes(root: Path) -> dict[int, tuple[int, int]]:
    """(H, W) by image id."""
    found = [root / name for name in PICTURE_LISTS if (root / name).exists()]
    path = found[0] if found else expect(root / PICTURE_LISTS[0], f"PhraseCut's pictures (or {PICTURE_LISTS[1]})")
    sizes = {}
    for number, entry in enumerate(_list(path, "PhraseCut's pictures")):
        picture = checked(entry, PICTURE, f"{path}, entry {number}")
        sizes[picture["image_id"]] = (picture["height"], picture["width"])
    return sizes


def _list(path: Path, what: str, hook: Hook | None = None) -> list[Any]:
    entries = read_json(path, what, hook)
    if not isinstance(entries, list):
        raise DatasetError(f"{path}: a {type(entries).__name__}; expected a list of {what}")
    return entries


def _shrink(entry: dict[str, Any]) -> dict[str, Any]:
    """A task without what nobody reads, its polygons as whole pixels: numbers as JSON gives them fill gigabytes."""
    if "Polygons" not in entry:
        return entry
    checked(entry, {"Polygons": list}, "a task")
    if not all(isinstance(instance, list) for instance in entry["Polygons"]):
        raise DatasetError(f"Polygons {str(entry['Polygons'])[:60]}: expected a list of polygons for each instance")
    polygons = [points(polygon).astype(np.int32) for instance in entry["Polygons"] for polygon in instance]
    return {key: entry.get(key) for key in TASK} | {"Polygons": polygons}


def _task(entry: Any, sizes: dict[int, tuple[int, int]], where: str) -> Task:
    task = checked(entry, TASK, where)
    if not task["phrase"].strip():
        raise DatasetError(f"{where}: its phrase is empty")
    if task["image_id"] not in sizes:
        raise DatasetError(f"{where}: picture {task['image_id']} is not in the list of pictures")
    size = sizes[task["image_id"]]
    return Task(str(task["task_id"]), task["image_id"], task["phrase"], size, tuple(task["Polygons"]))
