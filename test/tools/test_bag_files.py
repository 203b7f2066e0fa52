# SPDX-License-Identifier: Apache-2.0
"""Bags with types of their own, and damaged ones."""

from __future__ import annotations

import random
import sqlite3
from pathlib import Path

import numpy as np
import pytest

rosbags = pytest.importorskip("rosbags.rosbag2", reason="pip install rosbags")
from rosbags.typesys import Stores, get_types_from_msg, get_typestore  # noqa: E402

from clipseg_ros.encodings import BadImage  # noqa: E402
from clipseg_ros.tools.bag_files import IMAGE, STORE, BagError, Source, made_of, new_bag  # noqa: E402

TYPES = STORE.types
THING = "my_msgs/msg/Thing"


def record(path: Path, storage: object) -> Path:
    """The one file of a bag of ten images on /camera, and a message of a type of its own on /thing."""
    own = get_typestore(Stores.ROS2_JAZZY)
    own.register(get_types_from_msg("uint8 value", THING))
    header = TYPES["std_msgs/msg/Header"](TYPES["builtin_interfaces/msg/Time"](3, 4), "optical")
    image = TYPES[IMAGE](header, 20, 20, "rgb8", 0, 60, np.zeros(1200, np.uint8))
    with rosbags.Writer(path, version=9, storage_plugin=storage) as writer:
        camera = writer.add_connection("/camera", IMAGE, typestore=own)
        thing = writer.add_connection("/thing", THING, typestore=own)
        writer.write(thing, 1, own.serialize_cdr(own.types[THING](7), THING))
        for time_ns in range(10):
            writer.write(camera, time_ns, own.serialize_cdr(image, IMAGE))
    return next(file for file in path.iterdir() if file.suffix in (".db3", ".mcap"))


def copy(file: Path, target: Path) -> None:
    with Source(file, "/camera", ["/thing"]) as source, new_bag(target, source.is_mcap, {"a": 1}) as bag:
        for connection, time_ns, raw in source.messages():
            bag.copy(connection, time_ns, raw)


@pytest.mark.parametrize("storage", list(rosbags.StoragePlugin), ids=lambda storage: storage.name.lower())
def test_a_type_of_its_own_is_copied_with_its_definition(tmp_path: Path, storage: object) -> None:
    copy(record(tmp_path / "drive", storage), tmp_path / "copy")
    with rosbags.Reader(tmp_path / "copy") as reader:
        [connection] = reader.topics["/thing"].connections
        [(_, time_ns, raw)] = reader.messages(connections=[connection])
    assert (connection.msgtype, time_ns, raw[4]) == (THING, 1, 7) and "uint8 value" in connection.msgdef.data
    assert made_of(tmp_path / "copy") == {"a": 1} and made_of(tmp_path / "drive") is None
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_a_type_without_its_definition_is_refused(tmp_path: Path) -> None:
    file = record(tmp_path / "drive", rosbags.StoragePlugin.SQLITE3)
    with sqlite3.connect(file) as database:  # as before Iron
        database.execute("UPDATE schema SET schema_version = 3")
    with pytest.raises(BagError, match=f"--copy /thing: the bag holds no .msg definition of {THING}"):
        copy(file, tmp_path / "copy")
    assert not (tmp_path / "copy").exists()


@pytest.mark.parametrize("storage", list(rosbags.StoragePlugin), ids=lambda storage: storage.name.lower())
def test_whatever_is_damaged_it_is_read_or_refused(tmp_path: Path, storage: object) -> None:
    file, draw = record(tmp_path / "drive", storage), random.Random(3)
    whole, refused = file.read_bytes(), 0
    for _ in range(40):
        data = bytearray(whole)
        for _ in range(draw.randint(1, 40)):
            data[draw.randrange(len(data))] = draw.randrange(256)
        file.write_bytes(data[: draw.randrange(len(data))] if draw.random() < 0.3 else data)
        try:
            read_all(file)
        except BagError as error:
            refused += 1
            assert f"{file}: " in str(error)
    assert 5 < refused < 40


def read_all(file: Path) -> None:
    with Source(file, "/camera") as source:
        for _, _, raw in source.messages():
            try:
                source.read(raw)
            except BadImage:
                continue
