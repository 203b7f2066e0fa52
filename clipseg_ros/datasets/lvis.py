# SPDX-License-Identifier: Apache-2.0
"""LVIS v1: 1,203 categories on pictures of COCO 2017, and two sets of samples made of them.

Expected: root/lvis_v1_{train,val}.json, and the pictures in root/train2017 and root/val2017. LVIS does not look for
every category in every picture: it knows some to be there, some to be absent, and of the rest nothing.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from clipseg_ros.datasets import DatasetError, Sample
from clipseg_ros.datasets.annotations import NUMBER, check_size, checked, read_json
from clipseg_ros.datasets.labels import below, read_image
from clipseg_ros.datasets.polygons import coco_parts, shrink, union
from clipseg_ros.segmentation import Prompt

FILE = {"images": list, "annotations": list, "categories": list}
CATEGORY = {"id": int, "synonyms": list, "frequency": str}
IMAGE = {
    "id": int, "height": int, "width": int, "coco_url": str, "neg_category_ids": list,
    "not_exhaustive_category_ids": list,
}
ANNOTATION = {"image_id": int, "category_id": int, "area": NUMBER, "segmentation": (list, dict)}
SPLITS = ("train", "val")


class Category(NamedTuple):
    """synonyms, the first of which is its name; frequency: r, c or f, for rare, common, frequent."""

    synonyms: tuple[str, ...]
    frequency: str

    @property
    def name(self) -> str:
        """The first synonym, "bus (vehicle)"."""
        return self.synonyms[0]


class Picture(NamedTuple):
    """A picture of size (H, W): the categories known to be absent, those of which not every instance is marked, and
    for every marked one its area in pixels."""

    path: str
    size: tuple[int, int]
    absent: tuple[int, ...]
    incomplete: frozenset[int]
    areas: dict[int, float]


class Lvis:
    """What the annotation files of `splits` say. categories and pictures by their ids. Raises DatasetError.

    A file is read as a whole, the polygons as arrays: some gigabytes of memory for train.
    """

    def __init__(self, root: Path, splits: Sequence[str] = ("val",)) -> None:
        unknown = [split for split in splits if split not in SPLITS]
        if unknown or not splits:
            raise DatasetError(f"splits {tuple(splits)} of LVIS: expected some of {', '.join(SPLITS)}")
        self._root = root
        self.categories: dict[int, Category] = {}
        self.pictures: dict[int, Picture] = {}
        self._marked: dict[tuple[int, int], list[Any]] = defaultdict(list)
        for split in splits:
            self._read(root / f"lvis_v1_{split}.json")
        self._ids = {category.name: key for key, category in self.categories.items()}

    def find(self, name: str) -> int | None:
        """The id of the category with that name, None where there is none."""
        return self._ids.get(name)

    def prompt(self, category: int) -> Prompt:
        """The category's name as a prompt."""
        return Prompt(self.categories[category].name)

    def image(self, picture: int) -> np.ndarray:
        """(H, W, 3) uint8 RGB. Raises DatasetError where it is missing or of another size."""
        path = below(self._root, self.pictures[picture].path)
        image = read_image(path)
        check_size(path, image.shape[:2], self.pictures[picture].size)
        return image

    def mask(self, picture: int, categories: Collection[int]) -> np.ndarray:
        """(H, W) bool: all instances of all these categories."""
        size = self.pictures[picture].size
        marked = [each for category in categories for each in self._marked.get((picture, category), ())]
        try:
            return union((part for each in marked for part in coco_parts(each, size)), size)
        except DatasetError as error:
            raise DatasetError(f"annotations of LVIS picture {picture}: {error}") from None

    def _read(self, path: Path) -> None:
        content = checked(read_json(path, "LVIS v1 annotations", shrink), FILE, str(path))
        for entry in content["categories"]:
            category = checked(entry, CATEGORY, f"{path}, categories")
            synonyms = tuple(str(name).replace("_", " ") for name in category["synonyms"])
            if not synonyms or not all(synonyms):
                raise DatasetError(f"{path}: category {category['id']} has no name among its synonyms")
            self.categories[category["id"]] = Category(synonyms, category["frequency"])
        for entry in content["images"]:
            image = checked(entry, IMAGE, f"{path}, images")
            name = "/".join(image["coco_url"].split("/")[-2:])
            absent, incomplete = tuple(image["neg_category_ids"]), frozenset(image["not_exhaustive_category_ids"])
            if not self.categories.keys() >= {*absent, *incomplete}:
                raise DatasetError(f"{path}: image {image['id']} speaks of categories that are not listed")
            self.pictures[image["id"]] = Picture(name, (image["height"], image["width"]), absent, incomplete, {})
        for entry in content["annotations"]:
            self._add(checked(entry, ANNOTATION, f"{path}, annotations"), path)

    def _add(self, annotation: dict[str, Any], path: Path) -> None:
        picture, category = annotation["image_id"], annotation["category_id"]
        if picture not in self.pictures or category not in self.categories:
            raise DatasetError(f"{path}: an annotation of image {picture}, category {category}; one is not listed")
        areas = self.pictures[picture].areas
        areas[category] = areas.get(category, 0.0) + annotation["area"]
        self._marked[picture, category].append(annotation["segmentation"])


class LvisNames:
    """A sample a picture: the names of the categories in it, and with `absent` of those known not to be.

    Categories of which LVIS marked only some instances are left out, since their masks would be wrong.
    """

    def __init__(self, lvis: Lvis, absent: bool = True) -> None:
        self._lvis = lvis
        self._items: list[tuple[int, tuple[int, ...]]] = []
        for key, picture in lvis.pictures.items():
            asked = {*picture.areas, *(picture.absent if absent else ())} - picture.incomplete
            if asked:
                self._items.append((key, tuple(sorted(asked))))

    def __len__(self) -> int:
        return len(self._items)

    def __getitem__(self, index: int) -> Sample:
        picture, asked = self._items[index]
        target = np.stack([self._lvis.mask(picture, (category,)) for category in asked])
        prompts = tuple(self._lvis.prompt(category) for category in asked)
        return Sample(self._lvis.image(picture), prompts, target, str(picture), classes=asked)


class LvisPairs:
    """Pairs of a picture and a category in it, for the experiment of CLIPSeg's Table 2.

    A sample's first prompt is the category, the others are the further ones in the picture: at least three together.
    `count` pairs are drawn by `seed` among those whose category covers more than least_share of the picture. The
    authors' 1,600 pairs count pictures in a folder that they made for themselves, and cannot be found again.
    """

    def __init__(self, lvis: Lvis, count: int = 1600, seed: int = 0, least_share: float = 0.1) -> None:
        self._lvis = lvis
        pairs = [
            (key, category)
            for key, picture in lvis.pictures.items() if len(picture.areas) >= 3
            for category, area in picture.areas.items() if area > least_share * picture.size[0] * picture.size[1]
        ]
        if count < 1 or len(pairs) < count:
            raise DatasetError(f"{count} pairs: expected 1 to {len(pairs)}, the number there are")
        chosen = np.random.default_rng(seed).choice(len(pairs), count, replace=False)
        self._pairs = [pairs[index] for index in chosen.tolist()]

    def __len__(self) -> int:
        return len(self._pairs)

    def __getitem__(self, index: int) -> Sample:
        picture, category = self._pairs[index]
        names = (category, *sorted(self._lvis.pictures[picture].areas.keys() - {category}))
        target = np.stack([self._lvis.mask(picture, (each,)) for each in names])
        prompts = tuple(self._lvis.prompt(each) for each in names)
        return Sample(self._lvis.image(picture), prompts, target, f"{picture}_{category}", classes=names)
