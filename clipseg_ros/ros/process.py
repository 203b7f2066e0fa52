# SPDX-License-Identifier: Apache-2.0
"""A node as a process: start, spin, signals, exit code; and what rclpy does not tell of lifecycle transitions."""

from __future__ import annotations

import logging
import signal
import sys
import traceback
from collections.abc import Callable
from functools import wraps
from types import FrameType
from typing import Protocol, TypeVar

import rclpy
from lifecycle_msgs.srv import ChangeState
from rcl_interfaces.msg import SetParametersResult
from rcl_interfaces.srv import SetParameters, SetParametersAtomically
from rclpy.exceptions import ParameterException
from rclpy.executors import ExternalShutdownException
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.logging import get_logger
from rclpy.node import Node

Transition = Callable[[LifecycleNode, LifecycleState], TransitionCallbackReturn]


class Runnable(Protocol):
    """A Node with a beginning and an end of its own."""

    def start(self) -> bool:
        """Called once before it spins; False where it cannot work, and the log says why."""

    def stop(self) -> None:
        """Called at the end, before the node is destroyed: end threads, release devices."""


NodeType = TypeVar("NodeType", bound=Runnable)


def run(create: Callable[[], NodeType], args: list[str] | None = None) -> int:
    """Create the node, start it, spin until a signal. Returns the exit code: 0, or 1 where it could not start."""
    signal.signal(signal.SIGINT, _interrupt_once)
    try:
        rclpy.init(args=args)
    except RuntimeError as error:  # arguments that ROS cannot read
        print(error, file=sys.stderr)
        return 1
    node = None
    try:
        node = create()
        logging.getLogger("clipseg_ros").addHandler(LogToNode(node))
        if not node.start():
            return int(rclpy.ok())
        rclpy.spin(node)
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    except (ParameterException, ValueError) as error:
        if node is not None:
            raise
        get_logger("clipseg_ros").fatal(f"cannot start: {error}")
        return 1
    except RuntimeError:
        if rclpy.ok():  # otherwise a signal came in the middle of a call to ROS
            raise
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        if node is not None:
            node.stop()
            node.destroy_node()
        _shut_down()
    return 0


def _shut_down() -> None:
    try:
        rclpy.try_shutdown()
    except RuntimeError:
        if rclpy.ok():  # otherwise the thread that rclpy starts at a signal did it between two lines
            raise


def _interrupt_once(number: int, frame: FrameType | None) -> None:
    """The first SIGINT ends the program, later ones (launch sends it twice) do not disturb it while it ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    raise KeyboardInterrupt


def logged(transition: Transition) -> Transition:
    """Log what a transition raises, since rclpy swallows it, and report an error."""

    @wraps(transition)
    def guarded(node: LifecycleNode, state: LifecycleState) -> TransitionCallbackReturn:
        try:
            return transition(node, state)
        except Exception:
            if node.context.ok():  # otherwise a signal came in the middle
                node.get_logger().error(f"{transition.__name__} failed:\n{traceback.format_exc()}")
            return TransitionCallbackReturn.ERROR

    return guarded


def answer_impossible_transitions(node: LifecycleNode) -> None:
    """Let a request for a transition that the node's state does not have fail, where rclpy would end the process."""
    service = next(service for service in node.services if service.srv_type is ChangeState)
    change_state = service.callback

    def guarded(request: ChangeState.Request, response: ChangeState.Response) -> ChangeState.Response:
        try:
            return change_state(request, response)
        except RuntimeError as error:
            if not node.context.ok():
                raise
            node.get_logger().warning(f"transition {request.transition.label or request.transition.id}: {error}")
            response.success = False
            return response

    service.callback = guarded


def answer_malformed_parameters(node: Node) -> None:
    """Let a request with a value of no known type fail, where rclpy would end the process."""
    services = {service.srv_type: service for service in node.services}
    one_by_one, at_once = services[SetParameters].callback, services[SetParametersAtomically].callback

    def set_each(request: SetParameters.Request, response: SetParameters.Response) -> SetParameters.Response:
        for parameter in request.parameters:
            try:
                one_by_one(SetParameters.Request(parameters=[parameter]), response)
            except ValueError as error:
                response.results.append(_refused(parameter.name, error))
        return response

    def set_all(
        request: SetParametersAtomically.Request, response: SetParametersAtomically.Response
    ) -> SetParametersAtomically.Response:
        try:
            return at_once(request, response)
        except ValueError as error:
            response.result = _refused(", ".join(parameter.name for parameter in request.parameters), error)
            return response

    services[SetParameters].callback, services[SetParametersAtomically].callback = set_each, set_all


def _refused(name: str, error: ValueError) -> SetParametersResult:
    return SetParametersResult(successful=False, reason=f"{name}: {error}")


class LogToNode(logging.Handler):
    """Passes what the package's other rooms say through Python's logging on to the node's log."""

    def __init__(self, node: Node) -> None:
        super().__init__()
        self._logger = node.get_logger()

    def emit(self, record: logging.LogRecord) -> None:
        """At the record's severity, on a line of its own: rclpy lets a line of code log at one severity only."""
        text = self.format(record)
        if record.levelno >= logging.ERROR:
            self._logger.error(text)
        elif record.levelno >= logging.WARNING:
            self._logger.warning(text)
        else:
            self._logger.info(text)
