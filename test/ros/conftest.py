# SPDX-License-Identifier: Apache-2.0
"""Real nodes over real DDS: a domain of their own for each test, processes, and waiting with a limit."""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from threading import Condition, Thread

import pytest
import rclpy
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node

TIMEOUT = 120.0  # s: discovery alone takes up to 3, loading a network up to 40 on a busy machine


def _free_domain() -> int:
    """A ROS domain whose first participant's port (DDS-RTPS, 9.6.1.1: 7400 + 250 d + 10) nobody has taken."""
    for domain in random.Random(os.getpid() + time.time_ns()).sample(range(1, 100), 99):
        with closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as probe:
            try:
                probe.bind(("127.0.0.1", 7410 + 250 * domain))
                return domain
            except OSError:
                continue
    raise RuntimeError("no free ROS domain in 1..99")


def _environment(domain: int, logs: Path) -> dict[str, str]:
    return {
        "ROS_DOMAIN_ID": str(domain),
        "ROS_LOG_DIR": str(logs),
        "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST",
        "ROS_PYTHON_CHECK_FIELDS": "1",
        "HF_HUB_OFFLINE": "1",
        "OMP_NUM_THREADS": "1",
    }


def _spin_until(node: Node, condition: Callable[[], object], what: str = "", timeout: float = TIMEOUT) -> object:
    """Spin the node until condition() is true and return its value; fail after timeout seconds, naming `what`."""
    limit = time.monotonic() + timeout
    while not (value := condition()):
        if time.monotonic() > limit:
            pytest.fail(f"{what or 'what was waited for'} did not come within {timeout:.0f} s")
        node.executor.spin_once(timeout_sec=0.02)
    return value


class Process:
    """A Python program and what it writes; `text` grows while it runs."""

    def __init__(self, args: tuple[str, ...], environment: dict[str, str]) -> None:
        self.text = ""
        self._ended = False
        self._grown = Condition()
        self._popen = subprocess.Popen(
            [sys.executable, *args], env={**os.environ, **environment},
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
        )
        self._reader = Thread(target=self._read)
        self._reader.start()

    def wait_for(self, text: str, timeout: float = TIMEOUT) -> None:
        """Until it has written text; fails when it ends before, or after timeout seconds."""
        with self._grown:
            came = self._grown.wait_for(lambda: text in self.text or self._ended, timeout)
        assert came and text in self.text, f"{text!r} not found in:\n{self.text}"

    def send(self, number: signal.Signals) -> None:
        """Send a signal."""
        self._popen.send_signal(number)

    def wait(self, timeout: float = TIMEOUT) -> int:
        """The exit code, once it has ended and all it wrote is in `text`."""
        code = self._popen.wait(timeout)
        self._reader.join(timeout)
        return code

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return self._popen.poll() is None

    def end(self) -> None:
        """End it, whatever it does; asked first, since a killed participant leaves its shared memory behind."""
        self._popen.terminate()
        try:
            self._popen.wait(10.0)
        except subprocess.TimeoutExpired:
            self._popen.kill()
            self._popen.wait()
        self._reader.join()
        self._popen.stdout.close()

    def _read(self) -> None:
        for line in self._popen.stdout:
            with self._grown:
                self.text += line
                self._grown.notify_all()
        with self._grown:
            self._ended = True
            self._grown.notify_all()


class Ros:
    """A domain with a node of the test's own (`node`) in it, and the processes started into it."""

    def __init__(self, domain: int, logs: Path) -> None:
        self.domain = domain
        self._environment = _environment(domain, logs)
        self._context = Context()
        rclpy.init(context=self._context, domain_id=domain)
        self.node = Node("test", context=self._context, enable_rosout=False, start_parameter_services=False)
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self.node)
        self._processes: list[Process] = []

    def start(self, *args: str, environment: dict[str, str] | None = None) -> Process:
        """Run Python as a process in this domain; args: its command line."""
        process = Process(args, {**self._environment, **(environment or {})})
        self._processes.append(process)
        return process

    def collect(self, kind: type, topic: str, profile: object) -> list:
        """A list that grows by each message of the topic."""
        messages: list = []
        self.node.create_subscription(kind, topic, messages.append, profile)
        return messages

    @contextmanager
    def listen(self, kind: type, topic: str, profile: object) -> Iterator[list]:
        """The same for a while, from when there is a publisher."""
        messages: list = []
        subscription = self.node.create_subscription(kind, topic, messages.append, profile)
        self.spin_until(lambda: self.node.count_publishers(topic), f"a publisher of {topic}")
        yield messages
        self.node.destroy_subscription(subscription)

    @contextmanager
    def repeat(self, kind: type, topic: str, profile: object, rate: float, make: Callable[[], object]) -> Iterator:
        """Publish make() at a rate for a while, as a camera does."""
        publisher = self.node.create_publisher(kind, topic, profile)
        timer = self.node.create_timer(1.0 / rate, lambda: publisher.publish(make()))
        yield publisher
        self.node.destroy_timer(timer)
        self.node.destroy_publisher(publisher)

    def spin_until(self, condition: Callable[[], object], what: str = "", timeout: float = TIMEOUT) -> object:
        """Spin the test's node until condition() is true and return its value; fail after timeout seconds."""
        return _spin_until(self.node, condition, what, timeout)

    def spin_for(self, seconds: float) -> None:
        """Listen for a while: for what must not come, and for counting."""
        limit = time.monotonic() + seconds
        while time.monotonic() < limit:
            self._executor.spin_once(timeout_sec=0.02)

    def call(self, kind: type, service: str, request: object, timeout: float = TIMEOUT) -> object:
        """The answer of a service."""
        client = self.node.create_client(kind, service)
        self.spin_until(client.service_is_ready, f"service {service}", timeout)
        future = client.call_async(request)
        self.spin_until(future.done, f"the answer of {service}", timeout)
        self.node.destroy_client(client)
        return future.result()

    def close(self) -> None:
        """End what still runs and leave the domain."""
        for process in self._processes:
            process.end()
        self._executor.shutdown()
        self.node.destroy_node()
        rclpy.try_shutdown(context=self._context)


@pytest.fixture(autouse=True)
def _own_log_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROS_LOG_DIR", str(tmp_path / "log"))
    monkeypatch.setenv("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")


@pytest.fixture
def ros_domain() -> int:
    """A ROS domain that nobody uses."""
    return _free_domain()


@pytest.fixture
def ros(ros_domain: int, tmp_path: Path) -> Iterator[Ros]:
    """A domain, a node and processes of this test's own."""
    with closing(Ros(ros_domain, tmp_path / "log")) as own:
        yield own


@pytest.fixture(scope="module")
def shared_ros(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ros]:
    """The same for all tests of a file, where starting a process for each would take too long."""
    with pytest.MonkeyPatch.context() as patch, closing(_shared(tmp_path_factory.mktemp("log"), patch)) as shared:
        yield shared


def _shared(logs: Path, patch: pytest.MonkeyPatch) -> Ros:
    patch.setenv("ROS_LOG_DIR", str(logs))
    patch.setenv("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    return Ros(_free_domain(), logs)


@pytest.fixture
def start_process(ros: Ros) -> Callable[..., Process]:
    """start_process("-m", "module", ...) runs Python in this test's domain; ended with the test."""
    return ros.start


@pytest.fixture
def spin_until() -> Callable[..., object]:
    """spin_until(node, condition, what, timeout): spin a node that has an executor; fails after the timeout."""
    return _spin_until
