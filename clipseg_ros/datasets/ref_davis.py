# SPDX-License-Identifier: Apache-2.0
"""Ref-DAVIS 2017: expressions for the objects of DAVIS videos (Khoreva et al., ACCV 2018).

Expected is one of two trees. As it was published: root/DAVIS/{JPEGImages,Annotations_unsupervised}/480p/<video>,
root/DAVIS/ImageSets/2017/{train,val}.txt and root/davis_text_annotations/Davis17_annot*.txt. Or in the form of
Ref-YouTube-VOS, as ReferFormer converts it: root/{train,valid}/{JPEGImages,Annotations}/<video> and
root/meta_expressions/{train,valid}/meta_expressions.json.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from clipseg_ros.datasets import DatasetError, Sample, expect
from clipseg_ros.datasets.annotations import checked, read_json
from clipseg_ros.datasets.labels import below, lines, read_pair
from clipseg_ros.segmentation import Prompt

SPLITS = {"train": "train", "val": "valid"}  # the name in the form of Ref-YouTube-VOS
# The four sets in the order of ReferFormer's numbers: two annotators, each after the first frame and the full video
SETS = (
    ("Davis17_annot1.txt", "utf-8-sig"), ("Davis17_annot1_full_video.txt", "utf-8-sig"),
    ("Davis17_annot2.txt", "latin-1"), ("Davis17_annot2_full_video.txt", "latin-1"),
)
MISSPELT = {"clasic-car": "classic-car", "dog-scale": "dogs-scale", "motor-bike": "motorbike"}
LINE = re.compile(r'(\S+)\s+(\d+)\s+"?(.*?)"?')
VOID = 255


class Video(NamedTuple):
    """The folders of its pictures and masks, its frames' names, and (object id, expression) by rising id."""

    name: str
    pictures: Path
    masks: Path
    frames: tuple[str, ...]
    expressions: tuple[tuple[int, str], ...]


class RefDavis:
    """A sample a frame: an expression for each object of the video, in the order of object ids, which are its classes.

    annotations: one of the four sets, 0 to 3: annotator 1 after the first frame, 1 after the full video, 2 after the
    first frame, 2 after the full video. An object that a frame does not show has an empty mask. Names are
    "<video>/<frame>", videos and frames in the order of the lists. Raises DatasetError.
    """

    def __init__(self, root: Path, split: str = "val", annotations: int = 0) -> None:
        if split not in SPLITS:
            raise DatasetError(f"split {split!r} of Ref-DAVIS: expected one of {', '.join(SPLITS)}")
        if not 0 <= annotations < len(SETS):
            raise DatasetError(f"annotations {annotations} of Ref-DAVIS: expected 0 to {len(SETS) - 1}")
        converted = (root / "meta_expressions").exists()
        read = _converted if converted else _published
        self._frames = [(video, frame) for video in read(root, split, annotations) for frame in video.frames]

    def __len__(self) -> int:
        return len(self._frames)

    def __getitem__(self, index: int) -> Sample:
        video, frame = self._frames[index]
        image, ids = read_pair(below(video.pictures, f"{frame}.jpg"), below(video.masks, f"{frame}.png"))
        if ids.dtype != np.uint8:
            raise DatasetError(f"{video.masks / frame}.png: {ids.dtype} values; expected a palette picture")
        objects = tuple(number for number, _ in video.expressions)
        target = np.stack([ids == number for number in objects])
        prompts = tuple(Prompt(text) for _, text in video.expressions)
        return Sample(image, prompts, target, f"{video.name}/{frame}", classes=objects)


def _published(root: Path, split: str, annotations: int) -> Iterable[Video]:
    davis = root / "DAVIS"
    videos = lines(davis / "ImageSets/2017" / f"{split}.txt", "the names of DAVIS 2017's videos")
    path = root / "davis_text_annotations" / SETS[annotations][0]
    found = _expressions(path, SETS[annotations][1])
    for name in videos:
        if name not in found:
            raise DatasetError(f"{path}: no expressions for video {name!r} of {split}.txt")
        pictures, masks = (below(davis / kind / "480p", name) for kind in ("JPEGImages", "Annotations_unsupervised"))
        frames = sorted(picture.stem for picture in expect(pictures, "the video's pictures").glob("*.jpg"))
        yield Video(name, pictures, masks, tuple(frames), _by_id(found[name], f"{path}, {name}"))


def _expressions(path: Path, encoding: str) -> dict[str, list[tuple[int, str]]]:
    """(object id, expression) by video, from lines of: video object "expression"."""
    try:
        text = expect(path, "Ref-DAVIS's expressions").read_text(encoding)
    except UnicodeDecodeError as error:
        raise DatasetError(f"{path}: not in {encoding} ({error})") from None
    found: dict[str, list[tuple[int, str]]] = {}
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        parts = LINE.fullmatch(line.strip())
        if parts is None:
            raise DatasetError(f'{path}, line {number}: {line[:60]!r}; expected video, object and "expression"')
        name = MISSPELT.get(parts[1], parts[1])
        found.setdefault(name, []).append((int(parts[2]), parts[3]))
    return found


def _converted(root: Path, split: str, annotations: int) -> Iterable[Video]:
    folder = root / SPLITS[split]
    path = root / "meta_expressions" / SPLITS[split] / "meta_expressions.json"
    content = checked(read_json(path, "Ref-DAVIS's expressions"), {"videos": dict}, str(path))
    for name, entry in content["videos"].items():
        where = f"{path}, {name}"
        video = checked(entry, {"expressions": dict, "frames": list}, where)
        if not all(isinstance(frame, str) for frame in video["frames"]):
            raise DatasetError(f"{where}: frames are {str(video['frames'])[:60]}; expected names")
        pairs = []
        for key, value in video["expressions"].items():
            expression = checked(value, {"exp": str, "obj_id": (str, int)}, f"{where}, expression {key}")
            if not key.isdecimal() or not str(expression["obj_id"]).isdecimal():
                raise DatasetError(f"{where}: expression {key!r} of object {expression['obj_id']!r}; expected numbers")
            if int(key) % len(SETS) == annotations:  # object by object, each with its four expressions
                pairs.append((int(expression["obj_id"]), expression["exp"]))
        pictures, masks = below(folder / "JPEGImages", name), below(folder / "Annotations", name)
        yield Video(name, pictures, masks, tuple(video["frames"]), _by_id(pairs, where))


def _by_id(pairs: list[tuple[int, str]], where: str) -> tuple[tuple[int, str], ...]:
    """By rising object id. Each is named once, and nothing is asked without words."""
    ids = [number for number, _ in pairs]
    if not ids or len(set(ids)) < len(ids) or not all(0 < number < VOID for number in ids):
        raise DatasetError(f"{where}: expressions for objects {ids}; expected one for each of some from 1 on")
    if not all(text.strip() for _, text in pairs):
        raise DatasetError(f"{where}: an expression is empty")
    return tuple(sorted((number, text.strip()) for number, text in pairs))
