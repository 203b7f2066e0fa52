# SPDX-License-Identifier: Apache-2.0
"""The node `segment`: a camera and words in, masks and scores out.

Subscribes (names relative to the node's namespace; remap `image` to the camera)
    image              sensor_msgs/Image, or sensor_msgs/CompressedImage on <image>/compressed with
                       image_transport:=compressed; keep last 1; reliability: parameter image_qos
    seg_query          std_msgs/String, reliable, volatile, depth 10: the query language, see clipseg_ros.queries
Publishes, with the header of the source image and at its size
    ~/mask             sensor_msgs/Image mono8: 255 where any prompt is, else 0
    ~/labels           sensor_msgs/Image mono8: the prompt's id of 1..254, 0 background
    ~/score            sensor_msgs/Image 32FC1: the highest score of all prompts, in [0, 1]
    ~/overlay          sensor_msgs/Image rgb8: the labels laid over the image
                       all reliable, volatile, keep last 1
    ~/active_queries   std_msgs/String, latched: JSON, see clipseg_ros.ros.active
    /diagnostics       diagnostic_msgs/DiagnosticArray at 1 Hz
Parameters: see clipseg_ros.ros.parameters.

It works while it is active, there is a query and somebody listens to one of the four image topics; without a query it
publishes no image. Frames come in on the executor's thread and are converted and segmented on one worker thread; a
frame that arrives while another waits takes its place. Results of queries that have changed meanwhile are dropped.
"""

from __future__ import annotations

import sys
import time
from threading import Lock

from diagnostic_msgs.msg import DiagnosticArray
from rcl_interfaces.msg import SetParametersResult
from rclpy.clock import Clock, ClockType
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.parameter import Parameter
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import String

from clipseg_ros import engines, queries
from clipseg_ros.ros import conversions, parameter_table, process, qos
from clipseg_ros.ros.active import ActiveQueries
from clipseg_ros.ros.diagnostics import Diagnostics
from clipseg_ros.ros.image_input import ImageInput
from clipseg_ros.ros.job import Job
from clipseg_ros.ros.outputs import Outputs
from clipseg_ros.ros.parameters import Parameters
from clipseg_ros.ros.worker import Worker
from clipseg_ros.segmentation import PromptError

WARNING_PERIOD = 5.0  # s between two warnings of the same kind


class SegmentNode(LifecycleNode):
    """Configure loads the engine, activate starts, deactivate stops, cleanup frees.

    Raises rclpy's ParameterException, ParameterError and QueryError for initial values that are refused.
    """

    def __init__(self) -> None:
        super().__init__("segment")
        self._engine: engines.Engine | None = None
        self._input: ImageInput | None = None
        self._worker: Worker[Image | CompressedImage] | None = None
        self._set = queries.QuerySet()
        self._job = Job(parameter_table.declare(self, Parameters), ())
        self._announced = Lock()  # held while telling of a set or publishing its results, so that none comes late
        self._due = 0.0
        self._outputs = Outputs(self)
        self._diagnostics = Diagnostics()
        self._status = self.create_publisher(DiagnosticArray, "/diagnostics", qos.QUERY)
        active = self.create_publisher(String, "~/active_queries", qos.LATCHED)
        self._active = ActiveQueries(lambda text: active.publish(String(data=text)))
        self._adopt(self._job.settings, new_queries=True)
        self.add_on_set_parameters_callback(self._on_parameters)
        self.create_subscription(String, "seg_query", self._on_query, qos.QUERY)
        self.create_timer(1.0, self._on_second, clock=Clock(clock_type=ClockType.STEADY_TIME))
        process.answer_impossible_transitions(self)

    @property
    def settings(self) -> Parameters:
        """The parameters' present values."""
        return self._job.settings

    def start(self) -> bool:
        """Configure and activate unless autostart is off; False where that fails, and the log says why."""
        success = TransitionCallbackReturn.SUCCESS
        if not self.settings.autostart:
            return True
        return self.trigger_configure() == success and self.trigger_activate() == success

    def stop(self) -> None:
        """Stop working and wait for the frame at hand; no result is published afterwards."""
        if self._input is not None:
            self._input.close()
        if self._worker is not None:
            self._worker.stop()
        self._input = self._worker = None

    @process.logged
    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Load the engine."""
        wanted, began = self.settings, time.perf_counter()
        self.get_logger().info(f"loading {wanted.engine}: weights {wanted.weights}, device {wanted.device}")
        try:
            engine = engines.create(
                wanted.engine, wanted.weights, wanted.device, wanted.precision, **wanted.options()
            )
            engine.check(self._job.prompts)
        except (OSError, RuntimeError, ValueError) as error:
            self.get_logger().error(f"cannot configure: {error}")
            return TransitionCallbackReturn.FAILURE
        self._engine = engine
        self._adopt(wanted, new_queries=False)
        self.get_logger().info(f"{wanted.engine} is ready on {engine.device} in {time.perf_counter() - began:.1f} s")
        return super().on_configure(state)

    @process.logged
    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Subscribe to the camera and work."""
        self._worker = Worker(self._segment, "segment")
        self._input = ImageInput(self, self.settings, self._on_image)
        query_topic = self.resolve_topic_name("seg_query")
        self.get_logger().info(f"active: images from {self._input.topic}, queries from {query_topic}")
        return super().on_activate(state)

    @process.logged
    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Leave the camera and rest."""
        self.stop()
        return super().on_deactivate(state)

    @process.logged
    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Forget the engine."""
        self._forget_engine()
        return super().on_cleanup(state)

    @process.logged
    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Both, from any state."""
        self.stop()
        self._forget_engine()
        return super().on_shutdown(state)

    @process.logged
    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Back to where configure can be tried again."""
        return self.on_shutdown(state)

    def _forget_engine(self) -> None:
        if self._engine is not None:
            self._engine.close()
        self._engine = None

    def _on_query(self, message: String) -> None:
        texts = (message.data,) if message.data.strip() else ()
        if texts != self.settings.queries or self._active.refused:  # `ros2 topic pub` repeats itself every second
            value = list(texts) or [""]
            self.set_parameters([Parameter("queries", Parameter.Type.STRING_ARRAY, value)])

    def _on_parameters(self, changes: list[Parameter]) -> SetParametersResult:
        """The one way in for every change while running, the queries of seg_query included."""
        named = {change.name: change.value for change in changes}
        try:
            self._adopt(parameter_table.changed(self.settings, changes), new_queries="queries" in named)
        except ValueError as error:
            if isinstance(error, (queries.QueryError, PromptError)) and "queries" in named:
                self._refuse(named["queries"], str(error))
            return SetParametersResult(successful=False, reason=str(error))
        return SetParametersResult(successful=True)

    def _refuse(self, value: str | list[str], reason: str) -> None:
        text = value if isinstance(value, str) else "; ".join(value)
        with self._announced:
            is_news = self._active.refuse(text, reason)
        if is_news:
            self.get_logger().warning(f"query refused, the old ones stay: {reason}")

    def _adopt(self, settings: Parameters, new_queries: bool) -> None:
        """Check everything, then change everything. Raises QueryError, PromptError."""
        asked = [query for text in settings.queries for query in queries.parse(text)]
        wanted = queries.QuerySet(settings.max_queries)
        wanted.replace(asked)
        if self._engine is not None:
            self._engine.check(wanted.prompts)
        with self._announced:
            self._set.replace(asked)
            self._job = job = Job(settings, self._set.entries)
            self._due = 0.0
            words = self._engine.unknown_words if self._engine is not None else lambda text: ()
            self._active.accept(job.entries, job.prompts, words, forgets_refusal=new_queries)

    def _on_image(self, message: Image | CompressedImage) -> None:
        counters, now, rate = self._diagnostics.counters, time.monotonic(), self.settings.max_rate
        counters.received += 1
        if not self._job.entries or now < self._due or not self._outputs.wanted():
            counters.idle += 1
            return
        if rate > 0.0:  # by a schedule: measured from the last frame, 10 Hz of a 30 Hz camera would become 7.5
            self._due = max(self._due, now - 1.0 / rate) + 1.0 / rate
        counters.replaced += self._worker.put(message)

    def _segment(self, message: Image | CompressedImage) -> None:
        """On the worker's thread: one frame, from the message to the messages."""
        job, counters = self._job, self._diagnostics.counters
        try:
            frame = conversions.frame_from_ros(message)
            self._diagnostics.age_ms.append((self.get_clock().now().nanoseconds - frame.stamp_ns) / 1e6)
            began = time.perf_counter()
            result = self._engine.segment(frame.image, job.prompts)
            self._diagnostics.engine_ms.append((time.perf_counter() - began) * 1e3)
            messages = self._outputs.messages(frame, result, job.entries, job.settings.overlay_opacity)
            with self._announced:
                if job.entries is not self._set.entries:
                    counters.outdated += 1
                    return
                self._outputs.publish(messages)
                self._active.answer(frame.stamp_ns, result.present)
            counters.segmented += 1
        except conversions.BadImage as error:
            counters.bad += 1
            self.get_logger().warning(f"frame dropped: {error}", throttle_duration_sec=WARNING_PERIOD)
        except RuntimeError as error:  # out of memory, say; after a signal every call to ROS raises one, too
            if self.context.ok():
                counters.failed += 1
                self.get_logger().error(f"frame lost: {error}", throttle_duration_sec=WARNING_PERIOD)

    def _on_second(self) -> None:
        trouble, state = "", "unconfigured" if self._engine is None else "inactive"
        if self._input is not None:
            state = "active"
            if self._input.silence > self.settings.frame_timeout:
                trouble = f"no image on {self._input.topic} for {self._input.silence:.0f} s"
        words = {
            "state": state,
            "engine": self.settings.engine,
            "weights": self.settings.weights,
            "device": "" if self._engine is None else self._engine.device,
            "queries": str(len(self._job.entries)),
            "listened to": ", ".join(self._outputs.wanted()),
        }
        report = self._diagnostics.report(self.get_fully_qualified_name(), trouble, words)
        report.header.stamp = self.get_clock().now().to_msg()
        self._status.publish(report)


def main(args: list[str] | None = None) -> int:
    """Run the node until a signal; the exit code: 0, or 1 where it could not start."""
    return process.run(SegmentNode, args)


if __name__ == "__main__":
    sys.exit(main())
