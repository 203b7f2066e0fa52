# SPDX-License-Identifier: Apache-2.0
"""The node around an engine with moods, registered as any new engine is: by one line in ENGINES."""

from __future__ import annotations

import re
from signal import SIGINT

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from sensor_msgs.msg import Image

from clipseg_ros.ros import conversions, qos
from clipseg_ros.segmentation import Frame

PROGRAM = """
import sys
import numpy as np
from clipseg_ros import engines
from clipseg_ros.masks import LogitMaps
from clipseg_ros.segmentation import Segmentation

class Moody:
    device, threshold = "cpu", 0.5

    def __init__(self, weights, device, precision, *, mood=""):
        self.mood, self.calls = mood, -1  # the first is to warm up
        if mood == "unborn":
            raise KeyError("no birth")

    def check(self, prompts):
        pass

    def unknown_words(self, text):
        return ()

    def segment_batch(self, images, prompts, memories=()):
        self.calls += 1
        if self.mood == "full" and 1 <= self.calls <= 3:
            raise RuntimeError("out of memory")
        if self.mood == "wrong" and self.calls:
            raise KeyError("a bug")
        maps = [LogitMaps(np.ones((len(prompts), 2, 2), np.float32), image.shape[:2]) for image in images]
        return [Segmentation(tuple(prompts), one, 0.5) for one in maps]

engines.ENGINES["moody"] = "__main__:Moody"
from clipseg_ros.ros.node import main
sys.exit(main())
"""


def start(ros, mood: str):
    args = ("-p", "engine:=moody", "-p", f"engine_options:=mood={mood}", "-p", "queries:=cat")
    return ros.start("-c", PROGRAM, "--ros-args", *args)


def camera(ros):
    image = np.zeros((4, 6, 3), np.uint8)

    def make() -> Image:
        return conversions.image_to_ros(image, "rgb8", Frame(image, ros.node.get_clock().now().nanoseconds))

    return ros.repeat(Image, "/image", qos.OUTPUT, 20.0, make)


def failures(report: DiagnosticArray) -> int:
    """How many frames it says that the engine failed on since the last report."""
    (status,) = report.status
    found = re.fullmatch(r"the engine failed on (\d+) frames", status.message)
    assert (found is not None) == (status.level == DiagnosticStatus.ERROR)
    return int(found[1]) if found else 0


def test_an_engine_that_fails_loses_frames_and_not_the_node(ros) -> None:
    node = start(ros, "full")
    masks = ros.collect(Image, "/segment/mask", qos.OUTPUT)
    reports = ros.collect(DiagnosticArray, "/diagnostics", qos.QUERY)
    with camera(ros):
        ros.spin_until(lambda: masks, "a mask")
        ros.spin_until(lambda: any(failures(report) for report in reports), "the error in the diagnostics")
        ros.spin_until(lambda: reports[-1].status[0].level == DiagnosticStatus.OK, "peace in the diagnostics")
    assert sum(map(failures, reports)) == 3
    assert node.text.count("frame lost: out of memory") == 1  # throttled
    node.send(SIGINT)
    assert node.wait() == 0


@pytest.mark.parametrize("mood, reason", [("wrong", "KeyError: 'a bug'"), ("unborn", "KeyError: 'no birth'")])
def test_a_bug_is_shown_with_its_traceback_and_exit_code_1(ros, mood: str, reason: str) -> None:
    node = start(ros, mood)
    ros.collect(Image, "/segment/mask", qos.OUTPUT)
    with camera(ros):
        ros.spin_until(lambda: not node.running, "the end of the process")
    assert node.wait() == 1
    assert "Traceback" in node.text and reason in node.text
