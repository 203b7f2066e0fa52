# SPDX-License-Identifier: Apache-2.0
"""From the messages that wait to the messages that answer them: all on the worker's thread."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np
from rclpy.node import Node

from clipseg_ros.engines import Engine
from clipseg_ros.ros import conversions
from clipseg_ros.ros.answer import Answer
from clipseg_ros.ros.camera_port import Arrival
from clipseg_ros.ros.job import Job
from clipseg_ros.ros.questions import Questions
from clipseg_ros.segmentation import Frame, Prompt, Segmentation

WARNING_PERIOD = 5.0  # s between two warnings of the same kind
WARM_UP_SIZE = (480, 640)  # pixels


class Segmenter:
    """Segments the frames of one or several cameras that came together in one batch of the engine."""

    def __init__(self, node: Node, engine: Engine, questions: Questions) -> None:
        self._node = node
        self._engine = engine
        self._questions = questions

    def warm_up(self, cameras: int) -> None:
        """The first passes of a network are slow: take them now, of one frame and of one of each camera."""
        prompts = self._questions.job.searched or (Prompt("object"),)
        for count in sorted({1, cameras}):
            images = [np.zeros((*WARM_UP_SIZE, 3), np.uint8)] * count
            for result in self._engine.segment_batch(images, prompts):
                result.labels()

    def work(self, arrivals: Sequence[Arrival]) -> None:
        """One frame of each camera that has one. Frames that cannot be read or segmented are counted and told of."""
        job = self._questions.job
        read = [(arrival, frame) for arrival in arrivals if (frame := self._frame(arrival)) is not None]
        if not job.entries or not read:
            return
        try:
            results = self._segment(read, job)
            published = [self._publish(*one, result, job) for one, result in zip(read, results)]
        except RuntimeError as error:  # out of memory, say; after a signal every call to ROS raises one, too
            if self._node.context.ok():
                for arrival, _ in read:
                    arrival.port.diagnostics.counters.failed += 1
                    arrival.port.diagnostics.last_error = f"frame lost: {error}"
                self._node.get_logger().error(f"frame lost: {error}", throttle_duration_sec=WARNING_PERIOD)
            return
        if any(published):
            self._questions.close(job)

    def _frame(self, arrival: Arrival) -> Frame | None:
        diagnostics = arrival.port.diagnostics
        try:
            frame = conversions.frame_from_ros(arrival.message)
        except conversions.BadImage as error:
            diagnostics.counters.bad += 1
            diagnostics.last_error = f"frame dropped: {error}"
            self._node.get_logger().warning(f"frame dropped: {error}", throttle_duration_sec=WARNING_PERIOD)
            return None
        diagnostics.age_ms.append((self._node.get_clock().now().nanoseconds - frame.stamp_ns) / 1e6)
        return frame

    def _segment(self, read: Sequence[tuple[Arrival, Frame]], job: Job) -> list[Segmentation]:
        began = time.perf_counter()
        memories = [arrival.port.regions for arrival, _ in read]
        results = self._engine.segment_batch([frame.image for _, frame in read], job.searched, memories)
        elapsed_ms = (time.perf_counter() - began) * 1e3
        for arrival, _ in read:
            arrival.port.diagnostics.engine_ms.append(elapsed_ms)
        return results

    def _publish(self, arrival: Arrival, frame: Frame, found: Segmentation, job: Job) -> bool:
        """False where the queries changed meanwhile. found: the engine's, of all that is searched."""
        port, counters = arrival.port, arrival.port.diagnostics.counters
        result = job.fused(port.stream.smooth(frame, found, job.settings.smoothing))
        answer = Answer(frame, result, job.entries, job.settings, arrival.belongings)
        present, told = result.present, False  # present is computed here, not while others wait for the lock
        for messages in port.outputs.messages(answer):
            with self._questions.announced:
                if not self._questions.is_current(job):
                    counters.outdated += not told
                    return told
                port.outputs.publish(messages)
                if not told:
                    self._questions.answer(port.name, frame.stamp_ns, present, result.verdicts)
            counters.segmented += not told
            told = True
        return told
