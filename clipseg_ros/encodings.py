# SPDX-License-Identifier: Apache-2.0
"""The pixels of image messages -> RGB. The encoding decides once, here: inside is RGB, always.

A message is anything with the fields of sensor_msgs/Image or CompressedImage: rclpy's, or those read from a bag.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Protocol

import cv2
import numpy as np

Decoder = Callable[[np.ndarray, bool], np.ndarray]  # (h, w, bytes) uint8 and is_bigendian -> (h, w, 3) uint8 RGB


class BadImage(ValueError):
    """An image message that cannot be read; the text names the value and what is expected."""


class UnsupportedEncoding(BadImage):
    """An encoding that is not one of ENCODINGS."""


class RawImage(Protocol):
    """The fields of sensor_msgs/Image that hold the picture; data: bytes, or a flat array of them."""

    height: int
    width: int
    encoding: str
    is_bigendian: int
    step: int
    data: memoryview


class PictureFile(Protocol):
    """The fields of sensor_msgs/CompressedImage that hold the picture."""

    format: str
    data: memoryview


def _cv(code: int) -> Decoder:
    return lambda pixels, _: cv2.cvtColor(pixels, code)


def _rgb8(pixels: np.ndarray, _: bool) -> np.ndarray:
    return np.ascontiguousarray(pixels)


def _mono16(pixels: np.ndarray, is_bigendian: bool) -> np.ndarray:
    return cv2.cvtColor(np.ascontiguousarray(pixels[..., 0 if is_bigendian else 1]), cv2.COLOR_GRAY2RGB)


# OpenCV names a Bayer pattern by the second row's second and third pixel: its BG is RGGB to everybody else.
_DECODERS: dict[str, tuple[int, Decoder]] = {
    "rgb8": (3, _rgb8),
    "bgr8": (3, _cv(cv2.COLOR_BGR2RGB)),
    "rgba8": (4, _cv(cv2.COLOR_RGBA2RGB)),
    "bgra8": (4, _cv(cv2.COLOR_BGRA2RGB)),
    "mono8": (1, _cv(cv2.COLOR_GRAY2RGB)),
    "mono16": (2, _mono16),
    "yuv422": (2, _cv(cv2.COLOR_YUV2RGB_UYVY)),
    "uyvy": (2, _cv(cv2.COLOR_YUV2RGB_UYVY)),
    "yuv422_yuy2": (2, _cv(cv2.COLOR_YUV2RGB_YUY2)),
    "yuyv": (2, _cv(cv2.COLOR_YUV2RGB_YUY2)),
    "bayer_rggb8": (1, _cv(cv2.COLOR_BayerBG2RGB)),
    "bayer_bggr8": (1, _cv(cv2.COLOR_BayerRG2RGB)),
    "bayer_gbrg8": (1, _cv(cv2.COLOR_BayerGR2RGB)),
    "bayer_grbg8": (1, _cv(cv2.COLOR_BayerGB2RGB)),
}
ENCODINGS = tuple(_DECODERS)
MAX_PIXELS = 1 << 26  # of a picture file: a damaged header may announce gigabytes, and OpenCV would fill them
HEAD_BYTES = 1 << 18  # of a file: EXIF and colour profiles stand before the size
_FRAME_MARKERS = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # ITU-T T.81, table B.1: SOF0 to SOF15
_PAIRED = ("yuv422", "uyvy", "yuv422_yuy2", "yuyv")  # two neighbouring pixels share their colour


def decode(message: RawImage) -> np.ndarray:
    """(H, W, 3) uint8 RGB; 16-bit grey keeps its upper eight bits. It may be a read-only view of message.data.

    Raises BadImage: no pixels, a step shorter than a row, less data than step * height; UnsupportedEncoding.
    """
    if message.height == 0 or message.width == 0:
        raise BadImage(f"image of {message.width}x{message.height} pixels: expected at least 1x1")
    if message.encoding not in _DECODERS:
        raise UnsupportedEncoding(f"encoding {message.encoding!r}: expected one of {', '.join(ENCODINGS)}")
    size, decoder = _DECODERS[message.encoding]
    row = message.width * size
    if message.step < row:
        raise BadImage(f"step {message.step} of a {message.encoding} image {message.width} wide: expected >= {row}")
    if len(message.data) < message.step * message.height:
        raise BadImage(
            f"{len(message.data)} bytes of data: expected step {message.step} x height {message.height} = "
            f"{message.step * message.height}"
        )
    if message.encoding in _PAIRED and message.width % 2:
        raise BadImage(f"{message.encoding} image {message.width} wide: expected an even width")
    rows = np.frombuffer(message.data, np.uint8, message.step * message.height).reshape(message.height, message.step)
    rows.flags.writeable = False
    pixels = rows[:, :row].reshape(message.height, message.width, size)
    return decoder(pixels if size > 1 else pixels[..., 0], bool(message.is_bigendian))


def decompress(message: PictureFile) -> np.ndarray:
    """(H, W, 3) uint8 RGB of a JPEG or PNG file. Raises BadImage where it does not decode."""
    data = np.frombuffer(message.data, np.uint8)
    height, width = _announced(data[:HEAD_BYTES].tobytes())
    if height * width > MAX_PIXELS:
        raise BadImage(f"picture file of {width}x{height} pixels: expected at most {MAX_PIXELS} in all")
    # A camera's pixels stay where they are, whatever EXIF says: masks must lie on the image that was sent.
    flags = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    expected = f"{data.size} bytes of format {message.format!r}: expected a whole JPEG or PNG file"
    try:
        image = cv2.imdecode(data, flags) if data.size else None
    except cv2.error as error:  # a header that announces more pixels than OpenCV is willing to hold
        raise BadImage(f"{expected} ({error.err})") from None
    if image is None:
        raise BadImage(expected)
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def _announced(head: bytes) -> tuple[int, int]:
    """(H, W) that the head of a PNG or JPEG file announces; (0, 0) for another file, or a header that is not there."""
    if head.startswith(b"\x89PNG") and len(head) >= 24:
        width, height = struct.unpack(">II", head[16:24])
        return height, width
    place = 2
    while head.startswith(b"\xff\xd8") and place + 9 <= len(head) and head[place] == 0xFF:
        if head[place + 1] in _FRAME_MARKERS:
            return struct.unpack(">HH", head[place + 5 : place + 9])
        place += 2 + int.from_bytes(head[place + 2 : place + 4], "big")
    return 0, 0
