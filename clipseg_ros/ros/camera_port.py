# SPDX-License-Identifier: Apache-2.0
"""One camera of the node: its topics in and out, taken while somebody needs them, and what is counted of it."""

from __future__ import annotations

import time
from dataclasses import dataclass

from rclpy.lifecycle import LifecycleNode
from sensor_msgs.msg import CompressedImage, Image

from clipseg_ros.ros.companions import Belongings, Companions
from clipseg_ros.ros.diagnostics import Diagnostics
from clipseg_ros.ros.image_input import ImageInput
from clipseg_ros.ros.outputs import Outputs
from clipseg_ros.ros.questions import Questions
from clipseg_ros.ros.worker import Worker
from clipseg_ros.video import RegionMemory, Stream


@dataclass(frozen=True)
class Arrival:
    """A camera's message on its way to the worker; belongings: the camera_info and depth that come with it."""

    port: CameraPort
    message: Image | CompressedImage
    belongings: Belongings


class CameraPort:
    """name: "" for `image` and ~/mask, "front" for front/image and ~/front/mask.

    While it is open it listens to the camera; after parameter idle_timeout seconds in which nobody listened to its
    outputs or nothing was looked for it gives the subscription up, and takes it again when both are there.
    """

    def __init__(self, node: LifecycleNode, name: str, questions: Questions) -> None:
        self.name = name
        self.outputs = Outputs(node, f"~/{name}" if name else "~")
        self.diagnostics = Diagnostics()
        self.stream, self.regions = Stream(), RegionMemory()  # for the worker's thread alone
        self._node = node
        self._questions = questions
        self._prefix = f"{name}/" if name else ""
        self._worker: Worker[Arrival] | None = None
        self._input: ImageInput | None = None
        self._companions: Companions | None = None
        self._needed = 0.0  # when it last was, by time.monotonic
        self._due = 0.0  # when the next frame may be segmented, by max_rate
        self._entries: object = None  # those of the job that _due was reckoned for

    @property
    def topic(self) -> str:
        """The camera's topic, resolved."""
        return self._node.resolve_topic_name(f"{self._prefix}image")

    @property
    def state(self) -> str:
        """For people: what it does."""
        if self._worker is None:
            return "inactive"
        return "active" if self._input is not None else "active, the camera is not needed"

    @property
    def trouble(self) -> str:
        """What keeps the camera's frames away, "" for nothing."""
        if self._input is None or self._input.silence <= self._questions.job.settings.frame_timeout:
            return ""
        return f"no image on {self._input.topic} for {self._input.silence:.0f} s"

    def open(self, worker: Worker[Arrival]) -> None:
        """Listen to the camera and hand its messages to the worker."""
        self._worker = worker
        self.stream.reset()
        self.regions.reset()
        self._needed = time.monotonic()
        self._take()

    def close(self) -> None:
        """Leave the camera."""
        self._worker = None
        self._give_up()

    def tick(self, enabled: bool) -> None:
        """Take the camera or give it up; to be called some times a second, and when something changed."""
        if self._worker is None:
            return
        wanted = self.outputs.wanted()
        settings, now = self._questions.job.settings, time.monotonic()
        if enabled and wanted and self._questions.job.entries:
            self._needed = now
            self._take()
        elif not enabled or now - self._needed >= settings.idle_timeout:
            self._give_up()
        if self._companions is not None:
            self._companions.follow(wanted)

    def _take(self) -> None:
        if self._input is None:
            settings, prefix = self._questions.job.settings, self._prefix
            self._companions = Companions(self._node, settings, f"{prefix}camera_info", f"{prefix}depth")
            self._input = ImageInput(self._node, f"{prefix}image", settings, self._on_image)

    def _give_up(self) -> None:
        if self._input is not None:
            self._input.close()
            self._companions.close()
        self._input = self._companions = None

    def _on_image(self, message: Image | CompressedImage) -> None:
        counters, now, job = self.diagnostics.counters, time.monotonic(), self._questions.job
        counters.received += 1
        if job.entries is not self._entries:
            self._entries, self._due = job.entries, 0.0  # a new query is answered at once
        if not job.entries or now < self._due or not self.outputs.wanted():
            counters.idle += 1
            return
        if job.settings.max_rate > 0.0:  # by a schedule: from the last frame on, 10 Hz of a 30 Hz camera became 7.5
            period = 1.0 / job.settings.max_rate
            self._due = max(self._due, now - period) + period
        arrival = Arrival(self, message, self._companions.saw(message.header))
        counters.replaced += self._worker.put(arrival, self.name)
