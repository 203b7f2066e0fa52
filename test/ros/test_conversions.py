# SPDX-License-Identifier: Apache-2.0
"""Conversions, with arrays small enough to read."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from builtin_interfaces.msg import Time
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from clipseg_ros.encodings import ENCODINGS
from clipseg_ros.ros.conversions import (
    BadImage,
    UnsupportedEncoding,
    compressed_to_ros,
    frame_from_ros,
    header_of,
    image_to_ros,
)
from clipseg_ros.segmentation import Frame

HEADER = Header(stamp=Time(sec=7, nanosec=999_999_999), frame_id="optical")
COLOURS = np.array([[[255, 0, 0], [0, 255, 0], [0, 0, 255]], [[1, 2, 3], [40, 50, 60], [250, 240, 230]]], np.uint8)
GREY = np.array([[0, 1, 2], [127, 128, 255]], np.uint8)


def message_of(pixels: np.ndarray, encoding: str, padding: int = 0, is_bigendian: bool = False) -> Image:
    """An image message of (h, w) or (h, w, c) pixels, each row followed by `padding` bytes of 99."""
    rows = np.ascontiguousarray(pixels).reshape(len(pixels), -1).view(np.uint8)
    rows = np.pad(rows, ((0, 0), (0, padding)), constant_values=99)
    message = Image(header=HEADER, height=pixels.shape[0], width=pixels.shape[1], encoding=encoding)
    message.step, message.is_bigendian = rows.shape[1], int(is_bigendian)
    message.data.frombytes(np.ascontiguousarray(rows))
    return message


def grey(values: np.ndarray) -> np.ndarray:
    return np.repeat(values[..., None], 3, axis=2)


ALPHA = np.full((2, 3, 1), 77, np.uint8)
WORDS = np.array([[0, 256, 65535], [255, 511, 32768]], np.uint16)  # upper bytes 0 1 255 / 0 1 128
UPPER = np.array([[0, 1, 255], [0, 1, 128]], np.uint8)
EXACT = {
    "rgb8": (COLOURS, "rgb8", False, COLOURS),
    "bgr8": (COLOURS[..., ::-1], "bgr8", False, COLOURS),
    "rgba8": (np.dstack([COLOURS, ALPHA]), "rgba8", False, COLOURS),
    "bgra8": (np.dstack([COLOURS[..., ::-1], ALPHA]), "bgra8", False, COLOURS),
    "mono8": (GREY, "mono8", False, grey(GREY)),
    "little-endian mono16": (WORDS.astype("<u2"), "mono16", False, grey(UPPER)),
    "big-endian mono16": (WORDS.astype(">u2"), "mono16", True, grey(UPPER)),
}


@pytest.mark.parametrize("padding", [0, 1, 5])
@pytest.mark.parametrize("case", EXACT)
def test_every_plain_encoding_becomes_rgb_with_and_without_padding(case: str, padding: int) -> None:
    pixels, encoding, is_bigendian, expected = EXACT[case]
    image = frame_from_ros(message_of(pixels, encoding, padding, is_bigendian)).image
    np.testing.assert_array_equal(image, expected)


@pytest.mark.parametrize("padding", [0, 6])
@pytest.mark.parametrize(
    "encoding, order", [("yuv422", "UYVY"), ("uyvy", "UYVY"), ("yuv422_yuy2", "YUYV"), ("yuyv", "YUYV")]
)
def test_yuv_channels_stand_where_the_encoding_says(encoding: str, order: str, padding: int) -> None:
    # ITU-R BT.601 in its studio range: (Y, U, V) of red, green and grey, two pixels each; the second half as bright
    yuv = {"red": (82, 90, 240), "green": (145, 54, 34), "grey": (126, 128, 128)}
    pixels = []
    for y, u, v in yuv.values():
        pair = {"U": iter([u]), "V": iter([v]), "Y": iter([y, y])}
        pixels.append(np.array([next(pair[letter]) for letter in order], np.uint8).reshape(1, 2, 2))
    image = frame_from_ros(message_of(np.concatenate(pixels, axis=1), encoding, padding)).image
    expected = np.array([[255, 0, 0]] * 2 + [[0, 255, 0]] * 2 + [[128, 128, 128]] * 2)
    np.testing.assert_allclose(image[0].astype(int), expected, atol=2)


@pytest.mark.parametrize("pattern", ["rggb", "bggr", "gbrg", "grbg"])
def test_a_bayer_mosaic_keeps_the_colour_it_was_made_of(pattern: str) -> None:
    colour = {"r": 200, "g": 100, "b": 50}
    tile = np.array([colour[letter] for letter in pattern], np.uint8).reshape(2, 2)
    image = frame_from_ros(message_of(np.tile(tile, (4, 5)), f"bayer_{pattern}8", padding=3)).image
    np.testing.assert_array_equal(image, np.broadcast_to(np.array([200, 100, 50], np.uint8), (8, 10, 3)))


def test_every_encoding_that_is_announced_is_tested() -> None:
    tested = {encoding for _, encoding, _, _ in EXACT.values()} | {"yuv422", "uyvy", "yuv422_yuy2", "yuyv"}
    assert tested | {f"bayer_{pattern}8" for pattern in ("rggb", "bggr", "gbrg", "grbg")} == set(ENCODINGS)


@pytest.mark.parametrize("extension, tolerance", [(".png", 0), (".jpg", 4)])
def test_compressed_images_become_rgb(extension: str, tolerance: int) -> None:
    image = np.zeros((32, 64, 3), np.uint8)
    image[:, :32] = (200, 40, 90)
    data = cv2.imencode(extension, image[..., ::-1])[1]
    message = CompressedImage(header=HEADER, format="rgb8; compressed")
    message.data.frombytes(data)
    frame = frame_from_ros(message)
    inside = np.s_[:, 8::16]  # JPEG blurs colours over edges
    np.testing.assert_allclose(frame.image[inside].astype(int), image[inside], atol=tolerance)
    assert (frame.stamp_ns, frame.frame_id) == (7_999_999_999, "optical")


@pytest.mark.parametrize("stamp", [(0, 0), (7, 999_999_999), (-1, 5), (2**31 - 1, 1)])
def test_stamp_and_frame_id_survive_exactly(stamp: tuple[int, int]) -> None:
    message = message_of(COLOURS, "rgb8")
    message.header.stamp = Time(sec=stamp[0], nanosec=stamp[1])
    assert image_to_ros(GREY, "mono8", frame_from_ros(message)).header == message.header


@pytest.mark.parametrize(
    "array, encoding",
    [
        (COLOURS, "rgb8"),
        (GREY, "mono8"),
        (np.float32([[0.0, 0.25, 1.0]]), "32FC1"),
        (np.float32([[[0.0], [0.25], [1.0]]]), "32FC1"),
        (np.arange(42, dtype=np.float32).reshape(2, 3, 7), "32FC7"),
    ],
)
def test_what_goes_out_is_tight_and_comes_back(array: np.ndarray, encoding: str) -> None:
    message = image_to_ros(array[:, ::-1], encoding, Frame(COLOURS, 5, "optical"))  # a view against the grain
    assert (message.height, message.width, message.encoding) == (*array.shape[:2], encoding)
    assert message.step * message.height == len(message.data) == array.nbytes
    assert message.is_bigendian == (sys.byteorder == "big")
    back = np.frombuffer(message.data, array.dtype).reshape(array.shape)
    np.testing.assert_array_equal(back, array[:, ::-1])


@pytest.mark.parametrize(
    "array, encoding",
    [
        (GREY, "rgb8"),
        (COLOURS, "mono8"),
        (GREY, "32FC1"),
        (GREY.astype(float), "32FC1"),
        (COLOURS.astype(np.float32), "32FC2"),
        (COLOURS[None], "rgb8"),
    ],
)
def test_an_array_of_another_shape_or_type_is_refused(array: np.ndarray, encoding: str) -> None:
    with pytest.raises(ValueError, match=f"as {encoding}: expected"):
        image_to_ros(array, encoding, Frame(COLOURS))


@pytest.mark.parametrize(
    "array, encoding, name", [(COLOURS, "rgb8", "rgb8; jpeg compressed bgr8"), (GREY, "mono8", "mono8; png compressed ")]
)
def test_a_compressed_image_goes_out_as_image_transport_names_it(array: np.ndarray, encoding: str, name: str) -> None:
    large = np.repeat(np.repeat(array, 16, axis=0), 16, axis=1)  # JPEG blurs colours over edges
    frame = Frame(COLOURS, 5, "optical")
    message = compressed_to_ros(large, encoding, frame)
    assert (message.format, message.header) == (name, header_of(frame))
    inside = frame_from_ros(message).image[8::16, 8::16].astype(int)
    expected = array if encoding == "rgb8" else grey(array)
    np.testing.assert_allclose(inside, expected, atol=6 if encoding == "rgb8" else 0)


def test_a_frame_cannot_write_into_its_message() -> None:
    message = message_of(COLOURS, "rgb8")
    with pytest.raises(ValueError, match="read-only"):
        frame_from_ros(message).image[0, 0] = 0


def test_two_output_messages_share_no_memory() -> None:
    array = GREY.copy()
    message = image_to_ros(array, "mono8", Frame(COLOURS))
    array[:] = 9
    np.testing.assert_array_equal(np.frombuffer(message.data, np.uint8), GREY.ravel())


def test_a_stamp_that_no_clock_shows_is_refused() -> None:
    message = message_of(COLOURS, "rgb8")
    message.header = Header(stamp=Time(sec=2**31 - 1, nanosec=1_000_000_000))
    with pytest.raises(BadImage, match="stamp of 2147483647 s and 1000000000 ns: expected less than 1000000000 ns"):
        frame_from_ros(message)


@pytest.mark.parametrize("size", [(0, 3), (2, 0)])
def test_an_image_without_pixels_is_refused(size: tuple[int, int]) -> None:
    message = message_of(COLOURS, "rgb8")
    message.height, message.width = size
    with pytest.raises(BadImage, match=f"{size[1]}x{size[0]} pixels: expected at least 1x1"):
        frame_from_ros(message)


def test_a_step_shorter_than_a_row_is_refused() -> None:
    message = message_of(COLOURS, "rgb8")
    message.step = 8
    with pytest.raises(BadImage, match="step 8 of a rgb8 image 3 wide: expected >= 9"):
        frame_from_ros(message)


def test_truncated_data_is_refused() -> None:
    message = message_of(COLOURS, "rgb8", padding=1)
    del message.data[-2:]
    with pytest.raises(BadImage, match=r"18 bytes of data: expected step 10 x height 2 = 20"):
        frame_from_ros(message)


def test_paired_pixels_need_an_even_width() -> None:
    with pytest.raises(BadImage, match="yuv422 image 3 wide: expected an even width"):
        frame_from_ros(message_of(np.zeros((2, 3, 2), np.uint8), "yuv422"))


@pytest.mark.parametrize("data", [b"", b"no picture", cv2.imencode(".png", COLOURS)[1].tobytes()[:40]])
def test_a_broken_picture_file_is_refused(data: bytes) -> None:
    message = CompressedImage(header=HEADER, format="jpeg")
    message.data.frombytes(data)
    with pytest.raises(BadImage, match=f"{len(data)} bytes of format 'jpeg': expected a whole JPEG or PNG file"):
        frame_from_ros(message)


def test_an_unknown_encoding_is_named_with_those_expected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cv_bridge", None)  # as where it is not installed
    with pytest.raises(UnsupportedEncoding, match="encoding 'nv21': expected one of rgb8, bgr8, .*need cv_bridge"):
        frame_from_ros(message_of(GREY, "nv21"))


class _Bridge:
    """Stands for cv_bridge, which is no wheel: the test below shows only that its door is knocked at."""

    def imgmsg_to_cv2(self, message: Image, encoding: str) -> np.ndarray:
        if message.encoding != "nv21":
            raise KeyError(message.encoding)
        return COLOURS[:, ::-1]


def test_other_encodings_go_through_cv_bridge_where_it_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cv_bridge", SimpleNamespace(CvBridge=_Bridge, CvBridgeError=TypeError))
    np.testing.assert_array_equal(frame_from_ros(message_of(GREY, "nv21")).image, COLOURS[:, ::-1])
    with pytest.raises(UnsupportedEncoding, match="encoding 'weird': expected one of .*; cv_bridge says: 'weird'"):
        frame_from_ros(message_of(GREY, "weird"))


def test_the_real_cv_bridge_reads_what_we_do_not() -> None:
    pytest.importorskip("cv_bridge", reason="comes with a ROS 2 installation, not from PyPI")
    words = COLOURS.astype(np.uint16) * 257
    np.testing.assert_allclose(frame_from_ros(message_of(words, "rgb16")).image.astype(int), COLOURS, atol=1)
