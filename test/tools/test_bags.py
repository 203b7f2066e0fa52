# SPDX-License-Identifier: Apache-2.0
"""`segment` on ROS 2 bags that rosbags writes, in both storages: what comes out, what is refused, what is redone."""

from __future__ import annotations

import json
import sqlite3
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from clipseg_ros.__main__ import main

rosbags = pytest.importorskip("rosbags.rosbag2", reason="pip install rosbags")
from rosbags.typesys import Stores, get_typestore  # noqa: E402

STORE = get_typestore(Stores.ROS2_JAZZY)
TYPES = STORE.types
SQLITE, MCAP = rosbags.StoragePlugin.SQLITE3, rosbags.StoragePlugin.MCAP
both_storages = pytest.mark.parametrize("storage", [SQLITE, MCAP], ids=["sqlite3", "mcap"])
TIMES = [1_000_000_000, 1_033_000_001, 1_066_000_002]
Segment = Callable[..., int]
Capture = pytest.CaptureFixture[str]


def picture(height: int = 60, width: int = 80) -> np.ndarray:
    """Black, white in its upper left quarter."""
    image = np.zeros((height, width, 3), np.uint8)
    image[: height // 2, : width // 2] = 255
    return image


def header(index: int) -> object:
    return TYPES["std_msgs/msg/Header"](TYPES["builtin_interfaces/msg/Time"](7 + index, 999_999_999), "optical")


def image_of(index: int, pixels: np.ndarray, encoding: str = "rgb8") -> object:
    height, width = pixels.shape[:2]
    data = np.ascontiguousarray(pixels).reshape(-1).view(np.uint8)
    return TYPES["sensor_msgs/msg/Image"](header(index), height, width, encoding, 0, data.size // height, data)


def file_of(index: int, pixels: np.ndarray) -> object:
    data = cv2.imencode(".png", pixels[..., ::-1])[1].ravel()
    return TYPES["sensor_msgs/msg/CompressedImage"](header(index), "rgb8; png compressed", data)


def record(path: Path, storage: object = SQLITE, images: list | None = None) -> Path:
    """A bag of images on /camera and texts on /words between them."""
    images = [image_of(index, picture()) for index in range(3)] if images is None else images
    kind = images[0].__msgtype__ if images else "sensor_msgs/msg/Image"
    with rosbags.Writer(path, version=9, storage_plugin=storage) as writer:
        camera = writer.add_connection("/camera", kind, typestore=STORE)
        words = writer.add_connection("/words", "std_msgs/msg/String", typestore=STORE)
        for time_ns, image in zip(TIMES, images):
            writer.write(camera, time_ns, STORE.serialize_cdr(image, kind))
            text = TYPES["std_msgs/msg/String"](str(time_ns))
            writer.write(words, time_ns + 5, STORE.serialize_cdr(text, "std_msgs/msg/String"))
    return path


def read(path: Path) -> dict[str, list[tuple[int, object]]]:
    """Topic -> log times and messages."""
    topics: dict[str, list[tuple[int, object]]] = {}
    with rosbags.Reader(path) as reader:
        for connection, time_ns, raw in reader.messages():
            message = STORE.deserialize_cdr(raw, connection.msgtype)
            topics.setdefault(connection.topic, []).append((time_ns, message))
    return topics


def pixels_of(message: object) -> np.ndarray:
    dtype = np.float32 if message.encoding == "32FC1" else np.uint8
    return message.data.view(dtype).reshape(message.height, message.width, -1)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "results"


@pytest.fixture
def segment(bright_weights: Path, out: Path) -> Segment:
    """Runs the command with the network that finds what is bright."""

    def run(*words: object, topic: str = "/camera", query: str = "lamp") -> int:
        common = ["--weights", bright_weights, "--device", "cpu", "--option", "side=160", "--query", query]
        camera = ["--image-topic", topic] if topic else []
        return main([str(word) for word in ("segment", *words, *common, *camera, "--out", out)])

    return run


@both_storages
@pytest.mark.parametrize("make", [image_of, file_of], ids=["raw", "compressed"])
def test_every_image_gets_its_results_with_its_header_and_time(
    segment: Segment, tmp_path: Path, out: Path, capsys: Capture, storage: object, make: Callable[..., object]
) -> None:
    bag = record(tmp_path / "drive", storage, [make(index, picture()) for index in range(3)])
    assert segment(bag, query='[{"text": "lamp", "label": "my lamp", "threshold": 0.5}]') == 0
    topics = read(out)
    assert topics.keys() == {f"/segment/{name}" for name in ("mask", "labels", "score", "overlay", "active_queries")}
    truth = picture()[..., 0] > 0
    for name, encoding in {"mask": "mono8", "labels": "mono8", "score": "32FC1", "overlay": "rgb8"}.items():
        messages = topics[f"/segment/{name}"]
        assert [time_ns for time_ns, _ in messages] == TIMES
        assert [message.header for _, message in messages] == [header(index) for index in range(3)]
        sizes = [(m.encoding, m.height, m.width, m.step * m.height) for _, m in messages]
        assert sizes == [(encoding, 60, 80, messages[0][1].data.size)] * 3
    mask, labels, score = (pixels_of(topics[f"/segment/{name}"][1][1])[..., 0] for name in ("mask", "labels", "score"))
    assert set(np.unique(mask)) == {0, 255} and ((mask > 0) == truth).mean() > 0.95
    np.testing.assert_array_equal(labels, mask // 255)
    assert ((score >= 0.5) == (mask > 0)).all()
    [(_, legend)] = topics["/segment/active_queries"]
    assert json.loads(legend.data)["queries"] == [{"id": 1, "text": "lamp", "label": "my lamp", "threshold": 0.5}]
    assert len(list(out.glob("results*.mcap"))) == (storage is MCAP)
    assert "my lamp    3 of 3" in (printed := capsys.readouterr()).out and "3/3" in printed.err


@both_storages
def test_one_file_of_a_bag_is_enough(segment: Segment, tmp_path: Path, out: Path, storage: object) -> None:
    bag = record(tmp_path / "drive", storage)
    (bag / "metadata.yaml").unlink()
    [file] = bag.iterdir()
    if storage is SQLITE:  # as Humble and Iron wrote it: without the definitions of the messages
        with sqlite3.connect(file) as database:
            database.execute("UPDATE schema SET schema_version = 3")
            database.execute("DROP TABLE message_definitions")
    assert segment(file, "--topics", "mask", "--copy", "/camera", "--copy", "/words") == 0
    topics = read(out)
    assert topics.keys() == {"/segment/mask", "/segment/active_queries", "/camera", "/words"}
    assert [(time_ns, message.data) for time_ns, message in topics["/words"]] == [(t + 5, str(t)) for t in TIMES]
    np.testing.assert_array_equal(pixels_of(topics["/camera"][2][1]), picture())


def test_ros_itself_reads_the_result(segment: Segment, tmp_path: Path, out: Path) -> None:
    pytest.importorskip("rclpy")
    from rclpy.serialization import deserialize_message
    from sensor_msgs.msg import Image

    segment(record(tmp_path / "drive"))
    with rosbags.Reader(out) as reader:
        wanted = [connection for connection in reader.connections if connection.topic == "/segment/score"]
        [raw, *_] = [bytes(raw) for _, _, raw in reader.messages(connections=wanted)]
    message = deserialize_message(raw, Image)
    assert (message.header.stamp.sec, message.header.frame_id, message.encoding) == (7, "optical", "32FC1")
    assert len(message.data) == message.step * message.height == 60 * 80 * 4


def test_unreadable_images_are_left_out(segment: Segment, tmp_path: Path, out: Path, capsys: Capture) -> None:
    images = [image_of(0, picture()), image_of(1, picture(), "nv21"), image_of(2, picture())]
    bag = record(tmp_path / "drive", images=images)
    assert segment(bag) == 1
    assert f"warning: {bag}: 1 images could not be read; the first of 1: encoding 'nv21'" in capsys.readouterr().err
    assert [time_ns for time_ns, _ in read(out)["/segment/mask"]] == [TIMES[0], TIMES[2]]


def test_a_list_goes_on_where_it_stopped(segment: Segment, tmp_path: Path, out: Path, capsys: Capture) -> None:
    first, second = record(tmp_path / "first"), record(tmp_path / "second", MCAP)
    [file] = second.glob("*.mcap")
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    assert segment(first, second, first) == 1
    assert f"error: {second}: not a bag, or a damaged one (" in capsys.readouterr().err
    assert [path.name for path in out.iterdir()] == ["first"]
    before = (out / "first" / "metadata.yaml").stat().st_mtime_ns
    file.write_bytes(whole)
    (out / ".second.part" / "second").mkdir(parents=True)  # as a process leaves it that is killed
    assert segment(first, second) == 0
    assert "1 of 2 bags were finished before" in capsys.readouterr().out
    assert sorted(path.name for path in out.iterdir()) == ["first", "second"]
    assert (out / "first" / "metadata.yaml").stat().st_mtime_ns == before
    assert len(read(out / "second")["/segment/mask"]) == 3
    assert segment(first, second, query="sun") == 1
    assert f"--out {out / 'first'}: exists, made with prompts [['lamp', " in capsys.readouterr().err


def test_bags_are_spread_over_processes(segment: Segment, tmp_path: Path, out: Path, capsys: Capture) -> None:
    bags = [record(tmp_path / name) for name in ("a", "b", "c")]
    (tmp_path / "none.db3").write_bytes(b"no bag")
    assert segment(*bags, tmp_path / "none.db3", "--workers", "2") == 1
    printed = capsys.readouterr()
    assert "lamp      9 of 9" in printed.out and "4/4" in printed.err
    assert f"error: {tmp_path / 'none.db3'}: not a bag, or a damaged one" in printed.err
    assert sorted(path.name for path in out.iterdir()) == ["a", "b", "c"]
    results = [[m.data.tobytes() for _, m in read(out / name)["/segment/score"]] for name in ("a", "b", "c")]
    assert results[0] == results[1] == results[2] and len(results[0]) == 3


@pytest.mark.parametrize(
    ("topic", "message"),
    [
        ("/depth", "drive: no topic '/depth' in it; it has /camera (sensor_msgs/msg/Image, 3 messages), /words (std_"),
        ("/words", "drive: /words holds std_msgs/msg/String, no images; it has /camera (sensor_msgs/msg/Image, 3 "),
        ("", "drive is a bag: name the topic of its images with --image-topic"),
    ],
)
def test_a_topic_that_is_not_there_is_answered_with_those_that_are(
    segment: Segment, tmp_path: Path, out: Path, capsys: Capture, topic: str, message: str
) -> None:
    assert segment(record(tmp_path / "drive"), topic=topic) == 1
    assert message in capsys.readouterr().err
    assert not out.exists() and not list(out.parent.glob(".*.part"))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--topics", "mask,depth"], "--topics 'depth': expected some of mask,labels,score,overlay"),
        (["--copy", "/segment/mask"], "--copy /segment/mask: results are written under /segment/"),
        (["--copy", "/none"], "no topic '/none' in it"),
        (["--workers", "0"], "--workers 0: expected 1 or more"),
        (["--labels-out", "x"], "--labels-out is for pictures"),
        (["--threshold", "2"], "--threshold 2.0: expected above 0 to 1"),
        (["--option", "sidee=3"], "option 'sidee' of engine clipseg"),
    ],
)
def test_a_bad_word_is_one_line_of_error(
    segment: Segment, tmp_path: Path, out: Path, capsys: Capture, words: list[str], message: str
) -> None:
    assert segment(record(tmp_path / "drive"), *words) == 1
    assert message in capsys.readouterr().err and not out.exists()


def test_what_is_no_bag_is_an_error(segment: Segment, tmp_path: Path, out: Path, capsys: Capture) -> None:
    folder = record(tmp_path / "cut")
    (folder / "metadata.yaml").unlink()
    black = record(tmp_path / "odd", images=[image_of(0, picture(), "nv21")])
    (tmp_path / "elsewhere").mkdir()
    twin = record(tmp_path / "elsewhere" / "odd")
    assert segment(tmp_path / "missing") == segment(folder) == segment(black) == segment(black, twin) == 1
    said = capsys.readouterr().err
    assert f"{tmp_path / 'missing'}: no such file or folder" in said and "run `ros2 bag reindex`" in said
    assert f"{black}: no image on /camera that can be read; the first of 1: encoding 'nv21'" in said
    assert "several bags would be written to 'odd' in it" in said and not out.exists()
    out.mkdir()
    assert segment(twin) == 1
    assert f"--out {out}: exists, and is no bag of results" in capsys.readouterr().err


def test_a_missing_library_is_named(
    segment: Segment, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "rosbags", None)
    assert segment(record(tmp_path / "drive")) == 1
    assert "read with rosbags, which is not installed: pip install rosbags" in capsys.readouterr().err
