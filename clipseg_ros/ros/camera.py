# SPDX-License-Identifier: Apache-2.0
"""The test camera: publishes what a RealSense would, and the truth beside it where the pictures are rendered.

Publishes, all with one stamp (the time of capture) and one frame_id for a capture:
    camera/color/image_raw                   Image rgb8
    camera/color/camera_info                 CameraInfo; K is zero where the camera is not calibrated
    camera/aligned_depth_to_color/image_raw  Image 32FC1, metres, NaN where nothing is hit (scenes only)
    camera/labels                            Image mono8, the class id of every pixel, 0 background (scenes only)
    camera/label_names                       String, latched: {"<class id>": {"kind": ..., "colour": ...}} (scenes only)
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import String

from clipseg_ros.ros import conversions, process, qos
from clipseg_ros.ros.parameter_table import ParameterError, declare, param
from clipseg_ros.ros.sources import Capture, Clip, SourceError, open_source, repeat
from clipseg_ros.segmentation import Frame

DEPTH = 5  # captures that a lagging reliable subscriber may still fetch
RELIABILITY = {"reliable": ReliabilityPolicy.RELIABLE, "sensor_data": ReliabilityPolicy.BEST_EFFORT}


@dataclass(frozen=True)
class CameraParameters:
    """The camera's settings, fixed when it starts."""

    source: str = param("scenes", "scenes (rendered), a folder of pictures, a video file, or a webcam: 0, /dev/video0")
    rate: float = param(10.0, "captures per second", (0.1, 240.0))
    width: int = param(0, "pixels; 0: the source's own, 640 for scenes", (0, 8192))
    height: int = param(0, "pixels; 0: the source's own, 480 for scenes", (0, 8192))
    seed: int = param(90_000_000, "seed of the first scene", (0, 2**31 - 1))
    scenes: int = param(4, "scenes of consecutive seeds, rendered before the first capture", (1, 10_000))
    frames_per_scene: int = param(15, "captures of each scene, the camera moving on", (1, 10_000))
    loop: bool = param(True, "start again after the last picture; false: exit")
    frames: int = param(0, "exit after so many captures; 0: never", (0, 2**31 - 1))
    frame_id: str = param("camera_color_optical_frame", "frame_id of every message")
    qos: str = param(
        "reliable", "what image and depth publishers offer: reliable or sensor_data (best effort)", choices=RELIABILITY
    )

    def __post_init__(self) -> None:
        if bool(self.width) != bool(self.height):
            raise ParameterError(f"width {self.width}, height {self.height}: set both, or neither")


class Camera(Node):
    """Publishes a capture of its source at each tick and ends the program after the last one.

    Raises ParameterError and rclpy's ParameterException for parameters that are refused.
    """

    def __init__(self) -> None:
        super().__init__("camera")
        self._settings = declare(self, CameraParameters)
        offer = QoSProfile(depth=DEPTH, reliability=RELIABILITY[self._settings.qos])
        self._image = self.create_publisher(Image, "camera/color/image_raw", offer)
        self._info = self.create_publisher(CameraInfo, "camera/color/camera_info", offer)
        self._depth = self.create_publisher(Image, "camera/aligned_depth_to_color/image_raw", offer)
        self._labels = self.create_publisher(Image, "camera/labels", DEPTH)
        self._names = self.create_publisher(String, "camera/label_names", qos.LATCHED)
        self._captures: Iterator[Capture] = iter(())
        self._sent = 0

    def start(self) -> bool:
        """Open the source, render its scenes, and let the clock tick; False where the source gives no picture."""
        given = self._settings
        size = (given.height, given.width) if given.width else None
        clip = Clip(given.seed, given.scenes, given.frames_per_scene, given.rate)
        if given.source == "scenes":
            self.get_logger().info(f"rendering {given.scenes} scenes from {given.frames_per_scene} views each")
        try:
            source = open_source(given.source, size, clip)
            first = next(iter(source))
        except (SourceError, ImportError) as error:
            self.get_logger().fatal(str(error))
            return False
        if first.labels is not None:
            self._names.publish(String(data=json.dumps(clip.names())))
        self._captures = repeat(source) if given.loop else iter(source)
        self.create_timer(1.0 / given.rate, self._capture)
        self.get_logger().info(f"publishing {given.source} at {given.rate:g} Hz on {self._image.topic_name}")
        return True

    def stop(self) -> None:
        """Let go of the file or the webcam."""
        self._captures = iter(())

    def _capture(self) -> None:
        try:
            capture = next(self._captures, None)
        except SourceError as error:
            self.get_logger().fatal(str(error))
            raise SystemExit(1) from error
        if capture is None:
            raise SystemExit(0)
        self._publish(capture, Frame(capture.image, self.get_clock().now().nanoseconds, self._settings.frame_id))
        self._sent += 1
        if self._sent == self._settings.frames:
            raise SystemExit(0)

    def _publish(self, capture: Capture, frame: Frame) -> None:
        """Truth first: whoever has the image soon has everything about it."""
        if capture.labels is not None:
            self._labels.publish(conversions.image_to_ros(capture.labels, "mono8", frame))
            self._depth.publish(conversions.image_to_ros(capture.depth, "32FC1", frame))
        self._info.publish(camera_info(capture.intrinsics, frame))
        self._image.publish(conversions.image_to_ros(capture.image, "rgb8", frame))


def camera_info(intrinsics: np.ndarray, frame: Frame) -> CameraInfo:
    """The calibration of a pinhole camera without distortion; intrinsics (3, 3), zeros for an unknown one."""
    height, width = frame.image.shape[:2]
    info = CameraInfo(header=conversions.header_of(frame), height=height, width=width)
    info.distortion_model = "plumb_bob"
    info.d = [0.0] * 5
    info.k = intrinsics.ravel().tolist()
    info.r = np.eye(3).ravel().tolist()
    info.p = np.hstack([intrinsics, np.zeros((3, 1))]).ravel().tolist()
    return info


def main(args: list[str] | None = None) -> int:
    """Run until the source ends or a signal comes; the exit code: 0, or 1 for a bad source or parameter."""
    return process.run(Camera, args)


if __name__ == "__main__":
    sys.exit(main())
