# SPDX-License-Identifier: Apache-2.0
"""Image messages -> frames, arrays -> image messages. The encoding decides once, here: inside is RGB, always.

A frame's image may be a read-only view of the memory of the message that it came from: keep the frame as long as
you like, but do not resize or refill that message meanwhile.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

import cv2
import numpy as np
from builtin_interfaces.msg import Time
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from clipseg_ros.segmentation import Frame

Decoder = Callable[[np.ndarray, bool], np.ndarray]  # (h, w, bytes) uint8 and is_bigendian -> (h, w, 3) uint8 RGB


class BadImage(ValueError):
    """An image message that cannot be read; the message names the value and what is expected."""


class UnsupportedEncoding(BadImage):
    """An encoding that neither this package nor an installed cv_bridge turns into RGB."""


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
_PAIRED = ("yuv422", "uyvy", "yuv422_yuy2", "yuyv")  # two neighbouring pixels share their colour
_OUTPUTS = {"rgb8": (np.uint8, (3,)), "mono8": (np.uint8, ()), "32FC1": (np.float32, ())}


def frame_from_ros(message: Image | CompressedImage) -> Frame:
    """The message's picture in RGB with its stamp and frame_id; 16-bit grey keeps its upper eight bits.

    Raises BadImage: no pixels, a step shorter than a row, less data than step * height, a file that does not decode;
    UnsupportedEncoding.
    """
    image = _decompress(message) if isinstance(message, CompressedImage) else _decode(message)
    return Frame(image, stamp_to_ns(message.header.stamp), message.header.frame_id)


def image_to_ros(array: np.ndarray, encoding: str, frame: Frame) -> Image:
    """A fresh message with the stamp and frame_id of `frame` and no padding.

    encoding: rgb8 (H, W, 3) uint8, mono8 (H, W) uint8 or 32FC1 (H, W) float32. Raises ValueError for another array.
    """
    dtype, channels = _OUTPUTS[encoding]
    if array.dtype != dtype or array.ndim < 2 or array.shape[2:] != channels:
        raise ValueError(
            f"array of shape {array.shape} and dtype {array.dtype} as {encoding}: expected {dtype.__name__} of shape "
            f"(H, W{', 3' if channels else ''})"
        )
    message = Image(header=header_of(frame), height=array.shape[0], width=array.shape[1], encoding=encoding)
    message.is_bigendian = int(sys.byteorder == "big")
    message.step = array.shape[1] * array.itemsize * int(np.prod(channels))
    message.data.frombytes(np.ascontiguousarray(array).reshape(-1).view(np.uint8))
    return message


def header_of(frame: Frame) -> Header:
    """The header that the frame came with."""
    return Header(stamp=stamp_from_ns(frame.stamp_ns), frame_id=frame.frame_id)


def stamp_to_ns(stamp: Time) -> int:
    """Nanoseconds, exactly."""
    return stamp.sec * 1_000_000_000 + stamp.nanosec


def stamp_from_ns(nanoseconds: int) -> Time:
    """The inverse of stamp_to_ns."""
    seconds, rest = divmod(nanoseconds, 1_000_000_000)
    return Time(sec=seconds, nanosec=rest)


def _decode(message: Image) -> np.ndarray:
    if message.height == 0 or message.width == 0:
        raise BadImage(f"image of {message.width}x{message.height} pixels: expected at least 1x1")
    if message.encoding not in _DECODERS:
        return _decode_with_cv_bridge(message)
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


def _decompress(message: CompressedImage) -> np.ndarray:
    data = np.frombuffer(message.data, np.uint8)
    # A camera's pixels stay where they are, whatever EXIF says: masks must lie on the image that was sent.
    flags = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    image = cv2.imdecode(data, flags) if data.size else None
    if image is None:
        raise BadImage(f"{data.size} bytes of format {message.format!r}: expected a whole JPEG or PNG file")
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def _decode_with_cv_bridge(message: Image) -> np.ndarray:
    unsupported = f"encoding {message.encoding!r}: expected one of {', '.join(ENCODINGS)}"
    try:
        from cv_bridge import CvBridge, CvBridgeError
    except ImportError as error:
        raise UnsupportedEncoding(f"{unsupported} (others need cv_bridge, which does not import: {error})") from None
    try:
        return np.ascontiguousarray(CvBridge().imgmsg_to_cv2(message, "rgb8"))
    except (CvBridgeError, KeyError, TypeError, ValueError) as error:
        raise UnsupportedEncoding(f"{unsupported}; cv_bridge says: {error}") from error
