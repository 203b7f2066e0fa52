# SPDX-License-Identifier: Apache-2.0
"""Annotation files in JSON, read with suspicion, and the sizes of pictures that they speak of."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from PIL import Image

from clipseg_ros.datasets import DatasetError, expect

NUMBER = (int, float)
Hook = Callable[[dict[str, Any]], Any]
Kind = type | tuple[type, ...]


def read_json(path: Path, what: str, hook: Hook | None = None) -> Any:
    """The content of a JSON file. hook: makes something smaller of each object as soon as it is read.

    Raises DatasetError where the file is missing or no JSON.
    """
    with expect(path, what).open(encoding="utf-8") as file:
        try:
            return json.load(file, object_hook=hook)
        except DatasetError as error:
            raise DatasetError(f"{path}: {error}") from None
        except (ValueError, RecursionError) as error:
            raise DatasetError(f"{path}: no JSON ({error}); expected {what}") from None


def checked(entry: Any, fields: Mapping[str, Kind], where: str) -> dict[str, Any]:
    """The entry itself. Raises DatasetError unless it is a dict whose `fields` have these types."""
    if not isinstance(entry, dict):
        raise DatasetError(f"{where}: a {type(entry).__name__}; expected an object with {', '.join(fields)}")
    for key, kind in fields.items():
        value = entry.get(key)
        if not isinstance(value, kind) or isinstance(value, bool):
            names = [one.__name__ for one in (kind if isinstance(kind, tuple) else (kind,))]
            raise DatasetError(f"{where}: {key} is {str(value)[:60]!r}; expected {' or '.join(names)}")
    return entry


def image_size(path: Path) -> tuple[int, int]:
    """(H, W) of a picture, from its header alone. Raises DatasetError where there is none."""
    try:
        with Image.open(expect(path, "a picture")) as picture:
            return picture.height, picture.width
    except (OSError, SyntaxError) as error:
        raise DatasetError(f"{path}: no readable picture ({error})") from None


def check_size(path: Path, found: tuple[int, ...], expected: tuple[int, ...]) -> None:
    """Raise DatasetError unless the two sizes (H, W) are the same."""
    if tuple(found) != tuple(expected):
        raise DatasetError(f"{path}: {found} rows and columns; expected {expected}, as its annotation says")
