# SPDX-License-Identifier: Apache-2.0
"""The demo client: asks the node one query after another and compares its masks with the camera's truth.

    python -m clipseg_ros.ros.client --queries queries.json --frames 24 --out build/demo

Publishes
    seg_query                   std_msgs/String
Subscribes
    camera/color/image_raw, camera/labels                     what the node sees, and the truth of it
    segment/mask, segment/labels, segment/active_queries      what the node answers
Writes
    report.json                 see tools.demo
    shown.npz                   for the i-th query images_i, labels_i, truths_i: the frames to show, at half size

Frames are paired by their exact stamps. A query's frames are those captured after the node said that it is active, so
none of them was segmented with the query before.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import QoSProfile
from rclpy.utilities import get_rmw_implementation_identifier, remove_ros_args
from sensor_msgs.msg import Image
from std_msgs.msg import String

from clipseg_ros.evaluation import metrics
from clipseg_ros.masks import resize_image
from clipseg_ros.ros import conversions, process, qos, scoring

SETTLE_LIMIT, RESEND = 2.0, 1.0  # seconds: for the last masks of a query; between two tries to send one
WARM_UP = 5  # masks before the first frame that counts: the first passes of a network are slow
SHOWN = 6  # frames of a query for the picture
DEPTH = QoSProfile(depth=20)


class NoAnswer(RuntimeError):
    """The camera or the node did not do its part in time; the message says which."""


@dataclass(eq=False)
class Seen:
    """All about one stamp: image (H, W, 3) uint8 RGB; truth, mask and labels (H, W) uint8; the mask's latency."""

    image: np.ndarray | None = None
    truth: np.ndarray | None = None
    mask: np.ndarray | None = None
    labels: np.ndarray | None = None
    latency_ms: float = 0.0

    @property
    def captured(self) -> bool:
        """Whether the camera's part is complete."""
        return self.image is not None and self.truth is not None

    @property
    def answered(self) -> bool:
        """Whether the node's part is complete."""
        return self.mask is not None and self.labels is not None


class Client(Node):
    """Asks queries, and collects by stamp what camera and node publish from then on.

    queries: text and kind of each. count: frames of each. patience: seconds to wait for camera and node, at each
    step. out: the folder to write to.
    """

    def __init__(self, queries: Sequence[tuple[str, str]], count: int, patience: float, out: Path) -> None:
        super().__init__("demo_client")
        self._queries, self._count, self._patience, self._out = queries, count, patience, out
        self._seen: dict[int, Seen] = {}
        self._since = sys.maxsize  # stamps up to this one are of no interest
        self._masks = 0
        self._active: dict[str, object] = {"queries": [], "refused": None}
        self._ears = SingleThreadedExecutor()
        self._ears.add_node(self)
        self._query = self.create_publisher(String, "seg_query", qos.QUERY)
        for topic, part in (
            ("camera/color/image_raw", "image"),
            ("camera/labels", "truth"),
            ("segment/mask", "mask"),
            ("segment/labels", "labels"),
        ):
            self.create_subscription(Image, topic, partial(self._on_image, part), DEPTH)
        self.create_subscription(String, "segment/active_queries", self._on_active, qos.LATCHED)

    def start(self) -> bool:
        """Ask everything, report, end the program; False where camera or node do not answer, and the log says why."""
        tour = Tour()
        try:
            self.warm_up(self._queries[0][0])
            for text, kind in self._queries:
                frames = self.ask(text, self._count)
                tour.add(text, kind, frames)
                self.get_logger().info(f"{text}: {sum(frame.answered for frame in frames)} of {len(frames)} frames")
        except NoAnswer as error:
            self.get_logger().fatal(str(error))
            return False
        tour.write(self._out)
        raise SystemExit(0)

    def stop(self) -> None:
        """Leave the executor, which would keep the node."""
        self._ears.shutdown()

    def warm_up(self, text: str) -> None:
        """Wait until the node answers a first query steadily. Raises NoAnswer."""
        self._activate(text)
        if not self._wait(lambda: self._masks >= WARM_UP, self._patience):
            raise NoAnswer(f"{self._masks} masks on segment/mask in {self._patience:g} s: expected {WARM_UP}")

    def ask(self, text: str, count: int) -> list[Seen]:
        """The first `count` frames captured with the query active, answered or not, in order. Raises NoAnswer."""
        self._activate(text)
        self._seen.clear()
        self._since = self.get_clock().now().nanoseconds
        if not self._wait(lambda: len(self._captured()) >= count, self._patience):
            captured = len(self._captured())
            raise NoAnswer(f"{captured} frames from the camera with labels in {self._patience:g} s: expected {count}")
        frames = [self._seen[stamp] for stamp in self._captured()[:count]]
        self._wait(lambda: all(frame.answered for frame in frames), SETTLE_LIMIT)
        ids = [query["id"] for query in self._active["queries"]]
        for frame in (frame for frame in frames if frame.answered):
            frame.labels = scoring.in_order(frame.labels, ids)
        return frames

    def _captured(self) -> list[int]:
        return sorted(stamp for stamp, seen in self._seen.items() if seen.captured)

    def _activate(self, text: str) -> None:
        """Send the query until the node says that it is active: the first message may come before its ears."""
        wanted = [part.strip() for part in text.split(";")]
        for _ in range(max(1, round(self._patience / RESEND))):
            self._query.publish(String(data=text))
            if self._wait(lambda: [query["text"] for query in self._active["queries"]] == wanted, RESEND):
                return
            if self._active["refused"]:
                raise NoAnswer(f"query {text!r} was refused: {self._active['refused']['reason']}")
        raise NoAnswer(f"query {text!r} on {self._query.topic_name} was not active after {self._patience:g} s")

    def _wait(self, condition: Callable[[], bool], limit: float) -> bool:
        """Take messages until the condition holds; False after `limit` seconds."""
        end = self.get_clock().now().nanoseconds + limit * 1e9
        while not condition():
            if self.get_clock().now().nanoseconds > end:
                return False
            self._ears.spin_once(timeout_sec=0.05)
        return True

    def _on_image(self, part: str, message: Image) -> None:
        arrival, stamp = self.get_clock().now().nanoseconds, conversions.stamp_to_ns(message.header.stamp)
        self._masks += part == "mask"
        if stamp <= self._since:
            return
        seen = self._seen.setdefault(stamp, Seen())
        if part == "mask":
            seen.latency_ms = (arrival - stamp) / 1e6
        pixels = np.frombuffer(message.data, np.uint8).reshape(message.height, message.width, -1)
        setattr(seen, part, pixels if part == "image" else pixels[..., 0])

    def _on_active(self, message: String) -> None:
        self._active = json.loads(message.data)


class Tour:
    """All queries in turn; what came of them is added up here and written at the end."""

    def __init__(self) -> None:
        self._rows: list[dict[str, object]] = []
        self._latencies: list[float] = []
        self._frames = {"camera": 0, "segmented": 0}
        self._shown: dict[str, np.ndarray] = {}

    def add(self, text: str, kind: str, frames: list[Seen]) -> None:
        """Score a query's frames and keep those to show."""
        answered = [frame for frame in frames if frame.answered]
        self._frames["camera"] += len(frames)
        self._frames["segmented"] += len(answered)
        self._latencies += [frame.latency_ms for frame in answered]
        ids = scoring.classes(text)
        truths = [scoring.target(frame.truth, ids) for frame in answered]
        counts = [metrics.counts(frame.mask > 0, truth) for frame, truth in zip(answered, truths)]
        pixels = answered[0].mask.size if answered else 1
        self._rows.append(scoring.row(text, kind, counts, pixels))
        chosen = scoring.spread(scoring.relevant(kind, counts), SHOWN)
        place = len(self._rows) - 1
        self._shown[f"images_{place}"] = np.array([_halved(answered[index].image) for index in chosen])
        self._shown[f"labels_{place}"] = np.array([answered[index].labels[::2, ::2] for index in chosen])
        self._shown[f"truths_{place}"] = np.array([truths[index][::2, ::2] for index in chosen])

    def write(self, out: Path) -> None:
        """report.json and shown.npz."""
        report = {
            "rmw": get_rmw_implementation_identifier(),
            "queries": [row for row in self._rows if row["kind"] != scoring.TOGETHER],
            "latency_ms": scoring.latency(self._latencies),
            "frames": self._frames,
        }
        (out / "report.json").write_text(json.dumps(report, indent=1) + "\n")
        np.savez(out / "shown.npz", **self._shown)


def main(args: list[str] | None = None) -> int:
    """Make the tour; the exit code: 0 with a report or after a signal, 1 where camera or node did not answer."""
    parser = argparse.ArgumentParser(prog="python -m clipseg_ros.ros.client", description=__doc__.splitlines()[0])
    parser.add_argument("--queries", type=Path, required=True, help="JSON: a list of [text, kind]")
    parser.add_argument("--frames", type=int, required=True, help="frames of each query")
    parser.add_argument("--patience", type=float, default=60.0, help="seconds of waiting at each step")
    parser.add_argument("--out", type=Path, required=True, help="folder for report.json and shown.npz; must exist")
    given = parser.parse_args(remove_ros_args(sys.argv if args is None else ["client", *args])[1:])
    queries = json.loads(given.queries.read_text())
    return process.run(lambda: Client(queries, given.frames, given.patience, given.out), args)


def _halved(image: np.ndarray) -> np.ndarray:
    return resize_image(image, (image.shape[0] // 2, image.shape[1] // 2))


if __name__ == "__main__":
    sys.exit(main())
