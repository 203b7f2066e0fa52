# SPDX-License-Identifier: Apache-2.0
"""The smallest planner: asks the node `segment` for something, waits for a fresh answer and prints a grasp point.

    python examples/pick_target.py --query "something to drink from"

With depth and camera_info the point is that of ~/target: x, y and z in metres in the camera's optical frame. Without,
it is the middle of the mask in pixels, and the output says so. Exit code 0 with a point, 1 where nothing came in time.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable

import numpy as np
import rclpy
from geometry_msgs.msg import PointStamped
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile
from rclpy.utilities import remove_ros_args
from sensor_msgs.msg import Image
from std_msgs.msg import String

LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
RESEND = 1.0  # s: the first message may be sent before the node has ears
TARGET_PATIENCE = 2.0  # s that a target may come after its mask


class NoTarget(RuntimeError):
    """Nothing to grasp; the message says what was missing."""


class Planner(Node):
    """Subscribes to the node's answers; remap segment/... where it runs in a namespace."""

    def __init__(self) -> None:
        super().__init__("pick_target")
        self._active: dict[str, list] = {"queries": []}
        self._mask: Image | None = None
        self._target: PointStamped | None = None
        self._query = self.create_publisher(String, "seg_query", 10)
        self.create_subscription(String, "segment/active_queries", self._on_active, LATCHED)
        self.create_subscription(Image, "segment/mask", self._on_mask, 1)
        self.create_subscription(PointStamped, "segment/target", self._on_target, 1)

    def pick(self, query: str, patience: float) -> str:
        """A grasp point in words. Raises NoTarget after so many seconds."""
        end = time.monotonic() + patience
        self._ask(query, end)
        # The node drops results of earlier queries, so whatever was captured from now on answers this one.
        since = self.get_clock().now().nanoseconds
        if not self._wait(lambda: self._mask is not None and _stamp(self._mask) > since and any(self._mask.data), end):
            raise NoTarget(f"no {query!r} in sight within {patience:g} s")
        fresh = lambda: self._target is not None and _stamp(self._target) > since  # noqa: E731
        if self._wait(fresh, min(end, time.monotonic() + TARGET_PATIENCE)):
            point, frame = self._target.point, self._target.header.frame_id
            return f"grasp at x {point.x:.3f} y {point.y:.3f} z {point.z:.3f} m in {frame}"
        u, v = centre(self._mask)
        return f"no target on segment/target (it needs depth and camera_info); the mask's middle: pixel {u:.0f} {v:.0f}"

    def _ask(self, query: str, end: float) -> None:
        while time.monotonic() < end:
            self._query.publish(String(data=query))
            if self._wait(lambda: [entry["text"] for entry in self._active["queries"]] == [query], _soon(RESEND, end)):
                return
        raise NoTarget(f"the node did not take up {query!r}; is it running? It says: {self._active.get('refused')}")

    def _wait(self, condition: Callable[[], bool], end: float) -> bool:
        while not condition():
            if time.monotonic() > end:
                return False
            rclpy.spin_once(self, timeout_sec=0.05)
        return True

    def _on_active(self, message: String) -> None:
        self._active = json.loads(message.data)

    def _on_mask(self, message: Image) -> None:
        self._mask = message

    def _on_target(self, message: PointStamped) -> None:
        self._target = message


def centre(mask: Image) -> tuple[float, float]:
    """Column and row of the mask pixel nearest to the mask's centroid, which may itself lie beside a bent shape."""
    pixels = np.frombuffer(mask.data, np.uint8).reshape(mask.height, mask.step)[:, : mask.width]
    places = np.argwhere(pixels > 0)
    row, column = places[np.square(places - places.mean(axis=0)).sum(axis=1).argmin()]
    return float(column), float(row)


def _stamp(message: Image | PointStamped) -> int:
    return message.header.stamp.sec * 1_000_000_000 + message.header.stamp.nanosec


def _soon(seconds: float, end: float) -> float:
    return min(end, time.monotonic() + seconds)


def main() -> int:
    """Ask, wait, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--query", default="something to drink from", help="what to pick (default: %(default)s)")
    parser.add_argument("--patience", type=float, default=30.0, help="seconds to wait (default: %(default)s)")
    given = parser.parse_args(remove_ros_args(sys.argv)[1:])
    rclpy.init()
    planner = Planner()
    try:
        print(planner.pick(given.query, given.patience), flush=True)
    except NoTarget as error:
        print(error, file=sys.stderr)
        return 1
    except (KeyboardInterrupt, ExternalShutdownException):
        return 130
    finally:
        planner.destroy_node()
        rclpy.try_shutdown()
    return 0


if __name__ == "__main__":
    sys.exit(main())
