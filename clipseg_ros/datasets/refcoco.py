# SPDX-License-Identifier: Apache-2.0
"""RefCOCO, RefCOCO+ and RefCOCOg: sentences that single out one object of a COCO picture.

Expected, as github.com/lichengunc/refer lays it out: root/<name>/refs(<split_by>).p and root/<name>/instances.json,
with the pictures of COCO's train2014 in root/images/mscoco/images/train2014.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from clipseg_ros.datasets import DatasetError, Sample
from clipseg_ros.datasets.annotations import check_size, checked, read_json
from clipseg_ros.datasets.labels import below, read_image
from clipseg_ros.datasets.pickles import read_pickle
from clipseg_ros.datasets.polygons import coco_parts, covered_once, shrink, union
from clipseg_ros.segmentation import Prompt

# testA shows people, testB other things; the test part of refcocog (google) was never released
SPLITS = {
    ("refcoco", "unc"): ("train", "val", "testA", "testB", "test"),
    ("refcoco", "google"): ("train", "val", "test"),
    ("refcoco+", "unc"): ("train", "val", "testA", "testB", "test"),
    ("refcocog", "umd"): ("train", "val", "test"),
    ("refcocog", "google"): ("train", "val"),
}
UNITS = ("sentence", "ref")
MASKS = {"union": union, "covered_once": covered_once}
REF = {"ref_id": int, "ann_id": int, "image_id": int, "split": str, "sentences": list}
SENTENCE = {"sent_id": int, "raw": str}
IMAGE = {"id": int, "file_name": str, "height": int, "width": int}
ANNOTATION = {"id": int, "image_id": int}


class Ref(NamedTuple):
    """An object and sentences about it: (sentence id, text)."""

    ref_id: int
    ann_id: int
    image_id: int
    sentences: tuple[tuple[int, str], ...]


class RefCoco:
    """Samples of one object each. Raises DatasetError.

    split "test" is everything called test. unit: "sentence" makes a sample of each sentence, "ref" one of each object,
    with all its sentences as prompts; means over the two are different numbers. mask: "union" of the object's
    polygons, or "covered_once", where pixels of two polygons fall out, as in the published loaders. pictures: the
    folder of the pictures where it is not below root.
    """

    def __init__(
        self, root: Path, name: str, split_by: str, split: str, unit: str = "sentence", mask: str = "union",
        pictures: Path | None = None,
    ) -> None:
        if split not in SPLITS.get((name, split_by), ()):
            known = "; ".join(f"{key[0]} {key[1]}: {', '.join(splits)}" for key, splits in SPLITS.items())
            raise DatasetError(f"{name!r} split by {split_by!r}, {split!r}: expected one of {known}")
        if unit not in UNITS or mask not in MASKS:
            raise DatasetError(f"unit {unit!r}, mask {mask!r}: expected of {', '.join(UNITS)}; of {', '.join(MASKS)}")
        self._pictures = pictures or root / "images/mscoco/images/train2014"
        self._mask = MASKS[mask]
        refs = _refs(root / name / f"refs({split_by}).p", split)
        self._instances = root / name / "instances.json"
        self._images, self._annotations = _instances(self._instances, refs)
        if unit == "sentence":
            refs = [ref._replace(sentences=(sentence,)) for ref in refs for sentence in ref.sentences]
            self._items = [(f"{ref.ref_id}_{ref.sentences[0][0]}", ref) for ref in refs]
        else:
            self._items = [(str(ref.ref_id), ref) for ref in refs]

    def __len__(self) -> int:
        return len(self._items)

    def __getitem__(self, index: int) -> Sample:
        name, ref = self._items[index]
        listed = self._images[ref.image_id]
        size = (listed["height"], listed["width"])
        path = below(self._pictures, listed["file_name"])
        image = read_image(path)
        check_size(path, image.shape[:2], size)
        try:
            target = self._mask(coco_parts(self._annotations[ref.ann_id].get("segmentation"), size), size)
        except DatasetError as error:
            raise DatasetError(f"{self._instances}, annotation {ref.ann_id}: {error}") from None
        prompts = tuple(Prompt(text) for _, text in ref.sentences)
        return Sample(image, prompts, np.repeat(target[None], len(prompts), axis=0), name)


def _refs(path: Path, split: str) -> list[Ref]:
    entries = read_pickle(path, "a file of refs, from github.com/lichengunc/refer")
    if not isinstance(entries, list):
        raise DatasetError(f"{path}: a {type(entries).__name__}; expected a list of refs")
    refs = []
    for number, entry in enumerate(entries):
        where = f"{path}, ref {number}"
        ref = checked(entry, REF, where)
        if ref["split"] != split and not (split == "test" and "test" in ref["split"]):
            continue
        sentences = tuple(_sentence(sentence, where) for sentence in ref["sentences"])
        if not sentences:
            raise DatasetError(f"{where}: without sentences")
        refs.append(Ref(ref["ref_id"], ref["ann_id"], ref["image_id"], sentences))
    return refs


def _sentence(entry: Any, where: str) -> tuple[int, str]:
    """Its id and its text as it was typed, which the published loaders use too."""
    sentence = checked(entry, SENTENCE, where)
    if not sentence["raw"].strip():
        raise DatasetError(f"{where}: sentence {sentence['sent_id']} is empty")
    return sentence["sent_id"], sentence["raw"].strip()


def _instances(path: Path, refs: list[Ref]) -> tuple[dict[int, dict[str, Any]], dict[int, dict[str, Any]]]:
    """The images and the annotations that the refs speak of, by id."""
    content = checked(read_json(path, "COCO annotations", shrink), {"images": list, "annotations": list}, str(path))
    images = {entry["id"]: entry for entry in (checked(one, IMAGE, f"{path}, images") for one in content["images"])}
    annotations = {}
    wanted = {ref.ann_id for ref in refs}
    for one in content["annotations"]:
        annotation = checked(one, ANNOTATION, f"{path}, annotations")
        if annotation["id"] in wanted:
            annotations[annotation["id"]] = annotation
    for ref in refs:
        if ref.image_id not in images or annotations.get(ref.ann_id, {}).get("image_id") != ref.image_id:
            raise DatasetError(f"{path}: no annotation {ref.ann_id} of image {ref.image_id}; ref {ref.ref_id} needs it")
    return images, annotations
