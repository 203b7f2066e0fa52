# SPDX-License-Identifier: Apache-2.0
"""ROS 2 bags in and out, through rosbags: a folder with metadata.yaml, or one .db3 or .mcap file; no ROS needed.

The message types are those of rosbags: its Image has the fields of rclpy's, with data as an array.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from rosbags.interfaces import (
    Connection,
    MessageDefinitionFormat,
    Qos,
    QosDurability,
    QosHistory,
    QosLiveliness,
    QosReliability,
    QosTime,
)
from rosbags.rosbag2 import CompressionFormat, CompressionMode, Reader, StoragePlugin, Writer
from rosbags.typesys import Stores, get_types_from_msg, get_typestore

from clipseg_ros.encodings import decode, decompress

IMAGE, COMPRESSED, TEXT = "sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage", "std_msgs/msg/String"
STORE = get_typestore(Stores.ROS2_JAZZY)  # the fields of these three have never changed in ROS 2
VERSION = 8  # of the bag's format: the last one that every distribution since Humble reads
MADE = "clipseg_ros"  # the key of metadata.yaml's custom_data that says what made a bag


class BagError(ValueError):
    """A bag that cannot be read, or not be written; the text names it and the reason."""


class Source:
    """A bag to read: images of one topic, and messages of other topics as they are. Close it, or use `with`.

    Raises BagError: no bag, a damaged one, no such topic, no topic of images.
    """

    def __init__(self, path: Path, topic: str, others: Sequence[str] = ()) -> None:
        self.path, self.topic = path, topic
        if not path.exists():
            raise BagError(f"{path}: no such file or folder")
        if path.is_dir() and not (path / "metadata.yaml").is_file():
            raise BagError(f"{path}: no metadata.yaml in it; give the .db3 or .mcap file, or run `ros2 bag reindex`")
        with _damage(path):
            self._reader = Reader(path)
            self._reader.open()
        try:
            self._images = self._find(topic)
            if self._images[0].msgtype not in (IMAGE, COMPRESSED):
                raise BagError(f"{path}: {topic} holds {self._images[0].msgtype}, no images; {self._listing()}")
            self.others = [connection for name in others for connection in self._find(name)]
        except BagError:
            self.close()
            raise

    def __enter__(self) -> Source:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the files."""
        self._reader.close()

    @property
    def is_mcap(self) -> bool:
        """Whether it is stored as mcap; otherwise as sqlite3."""
        return self.path.suffix == ".mcap" or any(self.path.glob("*.mcap*"))

    @property
    def count(self) -> int:
        """How many images there are."""
        return sum(connection.msgcount for connection in self._images)

    def messages(self) -> Iterator[tuple[Connection, int, bytes]]:
        """Connection, log time in nanoseconds and bytes of each message, in the order of the log. Raises BagError."""
        wanted = {connection.id: connection for connection in (*self._images, *self.others)}
        with _damage(self.path):
            yield from self._reader.messages(connections=list(wanted.values()))

    def is_image(self, connection: Connection) -> bool:
        """Whether its messages are those of the image topic."""
        return connection.topic == self.topic

    def read(self, raw: bytes) -> tuple[np.ndarray, Any]:
        """The image (H, W, 3) uint8 RGB and the header of a message of the image topic. Raises BadImage, BagError."""
        kind = self._images[0].msgtype
        with _damage(self.path):
            message = STORE.deserialize_cdr(raw, kind)
        return (decode if kind == IMAGE else decompress)(message), message.header

    def _find(self, topic: str) -> list[Connection]:
        found = [connection for connection in self._reader.connections if connection.topic == topic]
        if not found:
            raise BagError(f"{self.path}: no topic {topic!r} in it; {self._listing()}")
        return found

    def _listing(self) -> str:
        topics = sorted(self._reader.topics.items())
        lines = [f"{name} ({info.msgtype}, {info.msgcount} messages)" for name, info in topics]
        return f"it has {', '.join(lines) or 'no topic at all'}"


class Target:
    """Topics of a new bag, in the middle of writing it."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self._topics: dict[str, Connection] = {}

    def write_image(self, topic: str, array: np.ndarray, encoding: str, header: object, time_ns: int) -> None:
        """An array (H, W) or (H, W, 3) under the header of the image that it was made of."""
        height, width = array.shape[:2]
        data = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
        step = data.size // height
        message = STORE.types[IMAGE](header, height, width, encoding, 0, step, data)
        self._write(topic, IMAGE, QosDurability.VOLATILE, message, time_ns)

    def write_text(self, topic: str, text: str, time_ns: int) -> None:
        """A latched text."""
        self._write(topic, TEXT, QosDurability.TRANSIENT_LOCAL, STORE.types[TEXT](text), time_ns)

    def copy(self, source: Connection, time_ns: int, raw: bytes) -> None:
        """A message of another bag, as it is."""
        if source.topic not in self._topics:
            types, qos = types_of(source), source.ext.offered_qos_profiles
            self._topics[source.topic] = self._writer.add_connection(
                source.topic, source.msgtype, typestore=types, offered_qos_profiles=qos
            )
        self._writer.write(self._topics[source.topic], time_ns, raw)

    def _write(self, topic: str, kind: str, durability: QosDurability, message: object, time_ns: int) -> None:
        if topic not in self._topics:
            self._topics[topic] = self._writer.add_connection(
                topic, kind, typestore=STORE, offered_qos_profiles=[_offer(durability)]
            )
        self._writer.write(self._topics[topic], time_ns, STORE.serialize_cdr(message, kind))


@contextmanager
def new_bag(path: Path, is_mcap: bool, made: Mapping[str, object]) -> Iterator[Target]:
    """A bag that appears at `path` whole, when the block ends well, or not at all; mcap is compressed.

    What an earlier process left of it unfinished is removed. made: kept in metadata.yaml, see `made_of`.
    """
    draft = path.parent / f".{path.name}.part"
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    try:
        storage = StoragePlugin.MCAP if is_mcap else StoragePlugin.SQLITE3
        writer = Writer(draft / path.name, version=VERSION, storage_plugin=storage)
        if is_mcap:
            writer.set_compression(CompressionMode.STORAGE, CompressionFormat.ZSTD)
        writer.set_custom_data(MADE, json.dumps(made))
        with writer:
            yield Target(writer)
        os.replace(draft / path.name, path)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def made_of(path: Path) -> dict[str, object] | None:
    """What `new_bag` was told of the bag at path; None for anything else."""
    try:
        metadata = yaml.safe_load((path / "metadata.yaml").read_text(encoding="utf-8"))
        return json.loads(metadata["rosbag2_bagfile_information"]["custom_data"][MADE])
    except (OSError, KeyError, TypeError, ValueError, yaml.YAMLError):
        return None


def types_of(connection: Connection) -> Any:
    """The type definitions to write a topic with: the bag's own, else those of ROS 2. Raises BagError without any."""
    if connection.msgdef.format == MessageDefinitionFormat.MSG:
        types = get_typestore(Stores.EMPTY)
        types.register(get_types_from_msg(connection.msgdef.data, connection.msgtype))
        return types
    if connection.msgtype not in STORE.fielddefs:
        raise BagError(f"--copy {connection.topic}: the bag holds no .msg definition of {connection.msgtype}")
    return STORE


def _offer(durability: QosDurability) -> Qos:
    """As the node offers: reliable, keep last 1."""
    never = QosTime(9_223_372_036, 854_775_807)  # RMW_DURATION_INFINITE
    liveliness = QosLiveliness.AUTOMATIC
    return Qos(QosHistory.KEEP_LAST, 1, QosReliability.RELIABLE, durability, never, never, liveliness, never, False)


@contextmanager
def _damage(path: Path) -> Iterator[None]:
    """Whatever reading the bag raises is a BagError: SQLite, decompressors and parsers share no exception."""
    try:
        yield
    except Exception as error:
        raise BagError(f"{path}: not a bag, or a damaged one ({type(error).__name__}: {error})") from error
