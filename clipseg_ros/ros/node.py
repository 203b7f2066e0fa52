# SPDX-License-Identifier: Apache-2.0
"""The node `segment`: cameras and words in, masks and scores out.

Subscribes (names relative to the node's namespace; remap `image` to the camera)
    image              sensor_msgs/Image, or sensor_msgs/CompressedImage on <image>/compressed with
                       image_transport:=compressed; keep last 1; reliability: parameter image_qos
    camera_info, depth of the same camera, see clipseg_ros.ros.companions
    seg_query, seg_affordance, seg_support/image, seg_support/mask: see clipseg_ros.ros.questions
Publishes
    ~/mask and others  with the header of the source image, see clipseg_ros.ros.outputs
    ~/active_queries   std_msgs/String, latched: JSON, see clipseg_ros.ros.active
    /diagnostics       diagnostic_msgs/DiagnosticArray at 1 Hz, see clipseg_ros.ros.diagnostics
Offers
    enable             std_srvs/SetBool: false rests, as if nobody listened, but at once
Parameters: see clipseg_ros.ros.parameters. With cameras:=[front,wrist] each has topics of its own, front/image and
~/front/mask, and all share queries and model.

It works while it is active and enabled, there is a query and somebody listens; otherwise it gives the camera's
subscription up after a while. Frames come in on the executor's thread and are converted and segmented on one worker
thread, those of several cameras that wait together in one batch; of a camera that is faster the newest frame wins.
Results of queries that have changed meanwhile are dropped.
"""

from __future__ import annotations

import sys
import time

from diagnostic_msgs.msg import DiagnosticArray
from rclpy.clock import Clock, ClockType
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from std_srvs.srv import SetBool

from clipseg_ros import engines
from clipseg_ros.ros import parameter_table, process, qos
from clipseg_ros.ros.camera_port import Arrival, CameraPort
from clipseg_ros.ros.parameters import Parameters
from clipseg_ros.ros.questions import Questions
from clipseg_ros.ros.segmenter import Segmenter
from clipseg_ros.ros.worker import Worker

TICK = 0.2  # s between looks at who listens; more often is most of what an idle node costs


class SegmentNode(LifecycleNode):
    """Configure loads the engine and warms it up, activate starts, deactivate stops, cleanup frees.

    Raises rclpy's ParameterException, ParameterError, QueryError and AffordanceError for initial values that are
    refused.
    """

    def __init__(self) -> None:
        super().__init__("segment")
        self._engine: engines.Engine | None = None
        self._segmenter: Segmenter | None = None
        self._worker: Worker[Arrival] | None = None
        self._enabled = True
        self._ports: tuple[CameraPort, ...] = ()
        settings = parameter_table.declare(self, Parameters)
        self._questions = Questions(self, settings, self._on_tick)
        self._ports = tuple(CameraPort(self, name, self._questions) for name in settings.cameras or ("",))
        self._status = self.create_publisher(DiagnosticArray, "/diagnostics", qos.QUERY)
        self.add_on_set_parameters_callback(self._questions.change)
        self.create_service(SetBool, "enable", self._on_enable)
        # Steady clocks: with use_sim_time the node's own stands still until somebody publishes /clock.
        self.create_timer(1.0, self._on_second, clock=Clock(clock_type=ClockType.STEADY_TIME))
        self.create_timer(TICK, self._on_tick, clock=Clock(clock_type=ClockType.STEADY_TIME))
        process.answer_impossible_transitions(self)
        process.answer_malformed_parameters(self)

    @property
    def settings(self) -> Parameters:
        """The parameters' present values."""
        return self._questions.job.settings

    def start(self) -> bool:
        """Configure and activate unless autostart is off; False where that fails, and the log says why."""
        success = TransitionCallbackReturn.SUCCESS
        if not self.settings.autostart:
            return True
        return self.trigger_configure() == success and self.trigger_activate() == success

    def stop(self) -> None:
        """Stop working and wait for the frames at hand; no result is published afterwards."""
        for port in self._ports:
            port.close()
        if self._worker is not None:
            self._worker.stop()
        self._worker = None

    @process.logged
    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Load the engine and warm it up."""
        wanted, began = self.settings, time.perf_counter()
        self.get_logger().info(f"loading {wanted.engine}: weights {wanted.weights}, device {wanted.device}")
        try:
            engine = engines.create(
                wanted.engine, wanted.weights, wanted.device, wanted.precision, **wanted.options()
            )
            self._questions.adopt_engine(engine)
            self._segmenter = Segmenter(self, engine, self._questions)
            self._segmenter.warm_up(len(self._ports))
        except (OSError, RuntimeError, ValueError) as error:
            self._questions.adopt_engine(None)
            self.get_logger().error(f"cannot configure: {error}")
            return TransitionCallbackReturn.FAILURE
        self._engine = engine
        self.get_logger().info(f"{wanted.engine} is ready on {engine.device} in {time.perf_counter() - began:.1f} s")
        return super().on_configure(state)

    @process.logged
    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Subscribe to the cameras and work."""
        self._worker = Worker(self._segmenter.work, "segment")
        for port in self._ports:
            port.open(self._worker)
        topics, query_topic = ", ".join(port.topic for port in self._ports), self.resolve_topic_name("seg_query")
        self.get_logger().info(f"active: images from {topics}, queries from {query_topic}")
        return super().on_activate(state)

    @process.logged
    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Leave the cameras and rest."""
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
        self._questions.adopt_engine(None)
        if self._engine is not None:
            self._engine.close()
        self._engine = self._segmenter = None

    def _on_enable(self, request: SetBool.Request, response: SetBool.Response) -> SetBool.Response:
        self._enabled = request.data
        self._on_tick()
        response.success, response.message = True, self._state
        return response

    def _on_tick(self) -> None:
        for port in self._ports:
            port.tick(self._enabled)

    @property
    def _state(self) -> str:
        if self._engine is None:
            return "unconfigured"
        return "active" if self._worker is not None and self._enabled else "inactive"

    def _gpu_memory(self) -> str:
        if self._engine is None:
            return ""
        from clipseg_ros.engines.devices import gpu_memory  # brings torch, which a node without an engine has not

        taken = gpu_memory(self._engine.device)
        return "" if taken is None else f"{taken / 1e6:.0f}"

    def _on_second(self) -> None:
        report = DiagnosticArray()
        report.header.stamp = self.get_clock().now().to_msg()
        for port in self._ports:
            words = {
                "state": "unconfigured" if self._engine is None else port.state if self._enabled else "disabled",
                "engine": self.settings.engine,
                "weights": self.settings.weights,
                "device": "" if self._engine is None else self._engine.device,
                "GPU memory (MB)": self._gpu_memory(),
                "queries": str(len(self._questions.job.entries)),
                "dropped queries": self._questions.dropped,
                "listened to": ", ".join(sorted(port.outputs.wanted())),
            }
            name = f"{self.get_fully_qualified_name()}: {port.name or 'segmentation'}"
            report.status.append(
                port.diagnostics.report(name, port.trouble, self._questions.refusal, words)
            )
        self._status.publish(report)


def main(args: list[str] | None = None) -> int:
    """Run the node until a signal; the exit code: 0, or 1 where it could not start."""
    return process.run(SegmentNode, args)


if __name__ == "__main__":
    sys.exit(main())
