# SPDX-License-Identifier: Apache-2.0
"""The benchmark's ears: how long after their images' stamps the node's masks arrive in another process.

    python -m clipseg_ros.ros.stopwatch --seconds 20 --out latency.json

Subscribes
    segment/mask   the latency of each, from the header's stamp to its arrival here
    /diagnostics   what the node says of itself meanwhile, once a second
Writes
    {"latency_ms": [...], "engine_ms": [...], "input_age_ms": [...], "replaced": n, "seconds": s}
    of the time after the first masks; engine_ms: the node's running median at each report; replaced: images that gave
    way to newer ones. All clocks are the system's.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

from diagnostic_msgs.msg import DiagnosticArray
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.utilities import remove_ros_args
from sensor_msgs.msg import Image

from clipseg_ros.ros import conversions, process, qos

WARM_UP = 5  # masks before the time that counts
TICK = 0.1  # s


class Stopwatch(Node):
    """Listens for `seconds` after the first masks, writes `out` and ends the program.

    patience: seconds to wait for the first masks; without them the program ends with 1.
    """

    def __init__(self, seconds: float, patience: float, out: Path) -> None:
        super().__init__("stopwatch")
        self._seconds, self._patience, self._out = seconds, patience, out
        self._masks = 0
        self._began = time.monotonic()  # first of the program, then of the time that counts
        self._latency_ms: list[float] = []
        self._engine_ms: list[float] = []
        self._age_ms: list[float] = []
        self._replaced: list[int] = []
        self.create_subscription(Image, "segment/mask", self._on_mask, qos.OUTPUT)
        self.create_subscription(DiagnosticArray, "/diagnostics", self._on_report, qos.QUERY)
        self.create_timer(TICK, self._on_tick, clock=Clock(clock_type=ClockType.STEADY_TIME))

    def start(self) -> bool:
        """Nothing can go wrong yet."""
        return True

    def stop(self) -> None:
        """Nothing is held."""

    def _on_mask(self, message: Image) -> None:
        arrival = self.get_clock().now().nanoseconds
        self._masks += 1
        if self._masks == WARM_UP:
            self._began = time.monotonic()
        elif self._masks > WARM_UP:
            self._latency_ms.append((arrival - conversions.stamp_to_ns(message.header.stamp)) / 1e6)

    def _on_report(self, message: DiagnosticArray) -> None:
        values = {pair.key: pair.value for pair in message.status[0].values}
        if self._masks < WARM_UP or not values["input age (ms)"]:
            return
        self._engine_ms.append(float(values["engine latency p50 (ms)"]))
        self._age_ms.append(float(values["input age (ms)"]))
        self._replaced.append(int(values["frames replaced"]))

    def _on_tick(self) -> None:
        passed = time.monotonic() - self._began
        if self._masks < WARM_UP and passed > self._patience:
            self.get_logger().fatal(f"{self._masks} masks on segment/mask in {passed:.0f} s: expected {WARM_UP}")
            raise SystemExit(1)
        if self._masks > WARM_UP and len(self._replaced) > 1 and passed > self._seconds:
            self._write(passed)
            raise SystemExit(0)

    def _write(self, seconds: float) -> None:
        self._out.write_text(json.dumps({
            "latency_ms": self._latency_ms, "engine_ms": self._engine_ms, "input_age_ms": self._age_ms,
            "replaced": self._replaced[-1] - self._replaced[0], "seconds": seconds,
        }) + "\n")


def main(args: list[str] | None = None) -> int:
    """Listen; the exit code: 0 with a file or after a signal, 1 where no mask came."""
    parser = argparse.ArgumentParser(prog="python -m clipseg_ros.ros.stopwatch", description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, required=True, help="to listen after the first masks")
    parser.add_argument("--patience", type=float, default=120.0, help="seconds to wait for the first masks")
    parser.add_argument("--out", type=Path, required=True, help="file to write")
    given = parser.parse_args(remove_ros_args(sys.argv if args is None else ["stopwatch", *args])[1:])
    return process.run(lambda: Stopwatch(given.seconds, given.patience, given.out), args)


if __name__ == "__main__":
    sys.exit(main())
