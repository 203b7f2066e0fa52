# SPDX-License-Identifier: Apache-2.0
"""Pixels of messages that nobody should send. What every encoding decodes to: ros/test_conversions."""

from __future__ import annotations

import struct
import zlib
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from clipseg_ros.encodings import ENCODINGS, BadImage, UnsupportedEncoding, decode, decompress

PICTURE = np.arange(6 * 8 * 3, dtype=np.uint8).reshape(6, 8, 3)


def raw(height: int, width: int, encoding: str, step: int, data: object) -> SimpleNamespace:
    return SimpleNamespace(
        height=height, width=width, encoding=encoding, is_bigendian=0, step=step, data=data
    )


def png_of(width: int, height: int) -> bytes:
    """A PNG file that announces this size and holds a few bytes."""
    parts = ((b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)), (b"IDAT", zlib.compress(b"\0" * 100)))
    chunks = (struct.pack(">I", len(d)) + t + d + struct.pack(">I", zlib.crc32(t + d)) for t, d in parts)
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


@pytest.mark.parametrize("data", [PICTURE.tobytes(), bytearray(PICTURE), PICTURE.ravel()])
def test_bytes_and_arrays_are_read_alike_and_left_alone(data: object) -> None:
    image = decode(raw(6, 8, "rgb8", 24, data))
    np.testing.assert_array_equal(image, PICTURE)
    assert not image.flags.writeable


def resized(file: bytes, height: int, width: int) -> bytes:
    """A JPEG file whose header announces another size."""
    place = file.index(b"\xff\xc0") + 5
    return file[:place] + struct.pack(">HH", height, width) + file[place + 4 :]


JPEG = cv2.imencode(".jpg", PICTURE)[1].tobytes()


@pytest.mark.parametrize(
    ("data", "size"),
    [
        (png_of(100_000, 100_000), "100000x100000"),
        (png_of(9000, 8000), "9000x8000"),
        (resized(JPEG, 8000, 9000), "9000x8000"),
    ],
)
def test_a_damaged_header_takes_no_memory(data: bytes, size: str) -> None:
    with pytest.raises(BadImage, match=f"picture file of {size} pixels: expected at most 67108864 in all"):
        decompress(SimpleNamespace(format="x", data=data))


def test_what_opencv_raises_is_a_refusal() -> None:
    data = b"BM" + struct.pack("<IHHIIiiHH", 0, 0, 0, 54, 40, 100_000, 100_000, 1, 24) + bytes(24)
    with pytest.raises(BadImage, match=rf"{len(data)} bytes of format 'bmp': expected a whole JPEG or PNG file \(.*pix"):
        decompress(SimpleNamespace(format="bmp", data=data))


def test_whatever_the_fields_say_it_is_an_image_or_a_refusal() -> None:
    random = np.random.default_rng(5)
    encodings = [*ENCODINGS, "", "RGB8", "32FC1", "nv21"]
    sizes = np.array([0, 1, 2, 3, 5, 8, 2**16, 2**32 - 1])[random.integers(0, 8, (2000, 3))].tolist()
    read = 0
    for height, width, step in sizes:
        encoding, data = encodings[random.integers(len(encodings))], bytes(random.integers(0, 200))
        try:
            image = decode(raw(height, width, encoding, step, data))
        except (BadImage, UnsupportedEncoding):
            continue
        read += 1
        assert image.shape == (height, width, 3) and image.dtype == np.uint8
    assert 50 < read < 1950


@pytest.mark.parametrize("extension", [".png", ".jpg"])
def test_whatever_a_file_holds_it_is_an_image_or_a_refusal(extension: str) -> None:
    random = np.random.default_rng(6)
    whole = cv2.imencode(extension, PICTURE)[1].ravel()
    refused = 0
    for end in random.integers(0, len(whole) + 1, 100):
        data = whole[:end].copy()
        places = random.integers(30, 800, 4)  # behind the size in a PNG: true decoding of millions of pixels is slow
        places = places[places < end]
        data[places] = random.integers(0, 256, len(places))
        try:
            image = decompress(SimpleNamespace(format="x", data=data))
        except BadImage:
            refused += 1
            continue
        assert image.ndim == 3 and image.shape[2] == 3 and image.dtype == np.uint8
    assert refused > 10
