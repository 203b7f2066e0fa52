# SPDX-License-Identifier: Apache-2.0
"""Where the test camera's pictures come from: rendered scenes, an image folder, a video file, a webcam.

A source can be iterated any number of times; each pass yields its captures in order (a webcam's pass never ends).
Scenes are rendered before the first capture, since a rendering takes longer than a camera's period.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from clipseg_ros.datasets import tabletop

PICTURES = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff")
SCENE_SIZE = (480, 640)


class SourceError(RuntimeError):
    """A source that gives no picture; the message names it and what was expected."""


class Capture(NamedTuple):
    """One picture and, from scenes, its truth.

    image (H, W, 3) uint8 RGB; depth (H, W) float32 metres, NaN where unknown; labels (H, W) uint8 class ids, 0
    background; intrinsics (3, 3), zeros where the camera is not calibrated.
    """

    image: np.ndarray
    depth: np.ndarray | None = None
    labels: np.ndarray | None = None
    intrinsics: np.ndarray = np.zeros((3, 3))


@dataclass(frozen=True)
class Clip:
    """Which scenes to render: so many, of consecutive seeds from `seed` on, with `rate` views a second of each."""

    seed: int
    scenes: int
    frames_per_scene: int
    rate: float

    def render(self, size: tuple[int, int]) -> list[Capture]:
        """Every capture of the clip at size (H, W), with depth and labels."""
        captures = []
        for seed in range(self.seed, self.seed + self.scenes):
            scene = tabletop.compose(seed)
            for frame in range(self.frames_per_scene):
                view = tabletop.render(scene, *size, phase=frame / self.rate)
                captures.append(Capture(view.image, view.depth, view.labels, view.intrinsics))
        return captures

    @staticmethod
    def names() -> dict[int, dict[str, str]]:
        """Class id in labels -> {"kind": ..., "colour": ...}."""
        return tabletop.class_names()


@dataclass(frozen=True)
class Folder:
    """The pictures of a folder in the order of their names, resized to size (H, W) unless that is None."""

    path: Path
    size: tuple[int, int] | None

    def __post_init__(self) -> None:
        if not self._files():
            raise SourceError(f"source {str(self.path)!r}: no picture in this folder (expected {', '.join(PICTURES)})")

    def __iter__(self) -> Iterator[Capture]:
        for file in self._files():
            picture = cv2.imread(str(file), cv2.IMREAD_COLOR)
            if picture is None:
                raise SourceError(f"source {str(file)!r}: not a picture that OpenCV can read")
            yield _capture(picture, self.size)

    def _files(self) -> list[Path]:
        return sorted(file for file in self.path.iterdir() if file.suffix.lower() in PICTURES)


@dataclass(frozen=True)
class Video:
    """A video file or, for an int, the webcam of that index; resized to size (H, W) unless that is None."""

    name: str | int
    size: tuple[int, int] | None

    def __iter__(self) -> Iterator[Capture]:
        stream = cv2.VideoCapture(self.name)
        try:
            if isinstance(self.name, int) and self.size:
                stream.set(cv2.CAP_PROP_FRAME_HEIGHT, self.size[0])
                stream.set(cv2.CAP_PROP_FRAME_WIDTH, self.size[1])
            ok, picture = stream.read()
            if not ok:
                kind = "webcam" if isinstance(self.name, int) else "video file"
                raise SourceError(f"source {str(self.name)!r}: not a {kind} that OpenCV can read")
            while ok:
                yield _capture(picture, self.size)
                ok, picture = stream.read()
        finally:
            stream.release()


def open_source(name: str, size: tuple[int, int] | None, clip: Clip) -> Iterable[Capture]:
    """The source that a name means: `scenes` (renders the clip now), a folder, a file, `0` or `/dev/video0`.

    size (H, W): None is the source's own, SCENE_SIZE for scenes. Raises SourceError.
    """
    path = Path(name).expanduser()
    if name == "scenes":
        return clip.render(size or SCENE_SIZE)
    if name.removeprefix("/dev/video").isdigit():
        return Video(int(name.removeprefix("/dev/video")), size)
    if path.is_dir():
        return Folder(path, size)
    if path.is_file():
        return Video(str(path), size)
    raise SourceError(f"source {name!r}: expected scenes, a folder of pictures, a video file, or a webcam such as 0")


def repeat(source: Iterable[Capture]) -> Iterator[Capture]:
    """Pass after pass, for ever."""
    while True:
        yield from source


def _capture(picture: np.ndarray, size: tuple[int, int] | None) -> Capture:
    if size and picture.shape[:2] != size:
        picture = cv2.resize(picture, size[::-1], interpolation=cv2.INTER_AREA)
    return Capture(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB))
