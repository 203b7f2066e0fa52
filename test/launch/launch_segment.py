# SPDX-License-Identifier: Apache-2.0
"""segment.launch.py in launch_testing: `launch_test test/launch/launch_segment.py`, or test_launch_testing.py."""

from __future__ import annotations

import time
import unittest
from pathlib import Path

import launch_testing.actions
import launch_testing.asserts
import numpy as np
import rclpy
from launch import LaunchDescription
from launch.actions import IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource
from rclpy.qos import DurabilityPolicy, QoSProfile
from sensor_msgs.msg import Image
from std_msgs.msg import String

ROOT = Path(__file__).resolve().parents[2]
TINY = ROOT / "test" / "golden" / "clipseg" / "hf_tiny_refined"
TIMEOUT = 120.0  # s
LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)


def generate_test_description() -> LaunchDescription:
    """The launch file as a robot would start it: a namespace, a camera and a query topic of another name."""
    given = {
        "namespace": "robot", "image": "/cam/color", "query_topic": "words", "weights": str(TINY), "device": "cpu",
    }
    source = PythonLaunchDescriptionSource(str(ROOT / "launch" / "segment.launch.py"))
    include = IncludeLaunchDescription(source, launch_arguments=list(given.items()))
    return LaunchDescription([include, launch_testing.actions.ReadyToTest()])


class TestRunning(unittest.TestCase):
    """While it runs."""

    @classmethod
    def setUpClass(cls) -> None:
        rclpy.init()
        cls.node = rclpy.create_node("planner")

    @classmethod
    def tearDownClass(cls) -> None:
        cls.node.destroy_node()
        rclpy.shutdown()

    def test_the_node_listens_where_the_arguments_say(self, proc_output) -> None:
        proc_output.assertWaitFor("active: images from /cam/color, queries from /robot/words", timeout=TIMEOUT)

    def test_an_image_and_a_query_give_a_mask(self) -> None:
        masks: list[Image] = []
        self.node.create_subscription(Image, "/robot/segment/mask", masks.append, 1)
        told: list[String] = []
        self.node.create_subscription(String, "/robot/segment/active_queries", told.append, LATCHED)
        camera = self.node.create_publisher(Image, "/cam/color", 1)
        words = self.node.create_publisher(String, "/robot/words", 10)
        picture = Image(height=48, width=64, encoding="rgb8", step=192)
        picture.data.frombytes(np.zeros(48 * 192, np.uint8))
        end = time.monotonic() + TIMEOUT
        while not masks and time.monotonic() < end:
            words.publish(String(data="red mug"))
            camera.publish(picture)
            rclpy.spin_once(self.node, timeout_sec=0.2)
        self.assertTrue(masks, "no mask came")
        self.assertEqual((masks[0].height, masks[0].width, masks[0].encoding), (48, 64, "mono8"))
        self.assertIn('"red mug"', told[-1].data)


@launch_testing.post_shutdown_test()
class TestEnded(unittest.TestCase):
    """After launch ended it, as Ctrl-C does."""

    def test_the_node_ended_in_peace(self, proc_info) -> None:
        launch_testing.asserts.assertExitCodes(proc_info)
