# SPDX-License-Identifier: Apache-2.0
"""Image messages -> frames, arrays -> image messages. The encoding decides once, here: inside is RGB, always.

A frame's image may be a read-only view of the memory of the message that it came from: keep the frame as long as
you like, but do not resize or refill that message meanwhile.
"""

from __future__ import annotations

import sys

import cv2
import numpy as np
from builtin_interfaces.msg import Time
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from clipseg_ros.encodings import BadImage, UnsupportedEncoding, decode, decompress
from clipseg_ros.segmentation import Frame

# How image_transport's plugin names what it compressed, to the blank at the end; labels survive PNG alone.
_FILES = {
    "rgb8": (".jpg", "rgb8; jpeg compressed bgr8", [cv2.IMWRITE_JPEG_QUALITY, 95]),
    "mono8": (".png", "mono8; png compressed ", [cv2.IMWRITE_PNG_COMPRESSION, 3]),
}


def frame_from_ros(message: Image | CompressedImage) -> Frame:
    """The message's picture in RGB with its stamp and frame_id; 16-bit grey keeps its upper eight bits.

    Raises BadImage: no pixels, a step shorter than a row, less data than step * height, a file that does not decode,
    a stamp that no clock shows; UnsupportedEncoding.
    """
    stamp = message.header.stamp
    if stamp.nanosec >= 1_000_000_000:
        raise BadImage(f"stamp of {stamp.sec} s and {stamp.nanosec} ns: expected less than 1000000000 ns")
    image = decompress(message) if isinstance(message, CompressedImage) else _decode(message)
    return Frame(image, stamp_to_ns(stamp), message.header.frame_id)


def image_to_ros(array: np.ndarray, encoding: str, frame: Frame) -> Image:
    """A fresh message with the stamp and frame_id of `frame` and no padding.

    encoding: rgb8 (H, W, 3) uint8, mono8 (H, W) uint8, 32FCn (H, W, n) float32 of n channels, of one also (H, W).
    Raises ValueError for another array.
    """
    dtype, channels = _layout(encoding)
    given = array.shape[2] if array.ndim == 3 else 1
    if array.dtype != dtype or array.ndim not in (2, 3) or given != channels:
        raise ValueError(
            f"array of shape {array.shape} and dtype {array.dtype} as {encoding}: expected {dtype.__name__} of shape "
            f"(H, W{f', {channels}' if channels > 1 else ''})"
        )
    message = Image(header=header_of(frame), height=array.shape[0], width=array.shape[1], encoding=encoding)
    message.is_bigendian = int(sys.byteorder == "big")
    message.step = array.shape[1] * array.itemsize * channels
    message.data.frombytes(np.ascontiguousarray(array).reshape(-1).view(np.uint8))
    return message


def compressed_to_ros(array: np.ndarray, encoding: str, frame: Frame) -> CompressedImage:
    """What image_transport's plugin would send beside the raw image: rgb8 as JPEG, mono8 as PNG, which loses nothing.

    encoding and array: as of image_to_ros.
    """
    extension, name, settings = _FILES[encoding]
    message = CompressedImage(header=header_of(frame), format=name)
    picture = cv2.cvtColor(array, cv2.COLOR_RGB2BGR) if encoding == "rgb8" else array
    message.data.frombytes(cv2.imencode(extension, picture, settings)[1])
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


def _layout(encoding: str) -> tuple[type, int]:
    """dtype and channels."""
    if encoding.startswith("32FC"):
        return np.float32, int(encoding.removeprefix("32FC"))
    return np.uint8, {"rgb8": 3, "mono8": 1}[encoding]


def _decode(message: Image) -> np.ndarray:
    try:
        return decode(message)
    except UnsupportedEncoding as error:
        return _decode_with_cv_bridge(message, str(error))


def _decode_with_cv_bridge(message: Image, unsupported: str) -> np.ndarray:
    try:
        from cv_bridge import CvBridge, CvBridgeError
    except ImportError as error:
        raise UnsupportedEncoding(f"{unsupported} (others need cv_bridge, which does not import: {error})") from None
    try:
        return np.ascontiguousarray(CvBridge().imgmsg_to_cv2(message, "rgb8"))
    except (CvBridgeError, KeyError, TypeError, ValueError) as error:
        raise UnsupportedEncoding(f"{unsupported}; cv_bridge says: {error}") from error
