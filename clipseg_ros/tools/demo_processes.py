# SPDX-License-Identifier: Apache-2.0
"""Processes of one ROS 2 domain of their own: started together, watched, and ended by SIGINT as a terminal would."""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

PROFILES = "fastdds_large_images.xml"
END_LIMIT, LOOK_PERIOD = 15.0, 0.1  # seconds: from SIGINT to the end, between two looks at the processes
LAST_LINES = 12
FIRST_PORT, PORTS_OF_A_DOMAIN = 7410, 250  # where a domain's first participant listens (DDSI-RTPS 2.2, 9.6.1)


class ProcessFailed(RuntimeError):
    """A process that ended too early, too late or with an error; the message holds the last lines of its log."""


class Processes:
    """Python modules run as processes in a free ROS domain; a context that leaves none of them behind.

    logs: the folder for what they say, <name>.txt, and for ROS's own logs; it must exist.
    """

    def __init__(self, logs: Path) -> None:
        self.domain = free_domain()
        self._logs = logs
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> Processes:
        return self

    def __exit__(self, *reason: object) -> None:
        running = [process for process in self._running.values() if process.poll() is None]
        for process in running:
            process.send_signal(signal.SIGINT)  # a killed participant would leave its shared memory behind
        for process in running:
            try:
                process.wait(END_LIMIT)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def start(self, name: str, words: Sequence[str], threads: int = 1) -> None:
        """Run `python -m` with these words, with so many threads for arithmetic."""
        with open(self._logs / f"{name}.txt", "wb") as log:
            self._running[name] = subprocess.Popen(
                [sys.executable, "-m", *words], env=self._environment(threads), stdout=log, stderr=subprocess.STDOUT
            )

    def wait_for(self, name: str, limit: float) -> None:
        """Until this one ends well. Raises ProcessFailed: it does not within `limit` seconds, or another one ends."""
        end = time.monotonic() + limit
        while (code := self._running[name].poll()) is None:
            for other, process in self._running.items():
                if process.poll() is not None:
                    raise self._failure(other, f"ended with exit code {process.returncode} while it was needed")
            if time.monotonic() > end:
                raise self._failure(name, f"did not end within {limit:.0f} s")
            time.sleep(LOOK_PERIOD)
        if code != 0:
            raise self._failure(name, f"ended with exit code {code}")

    def end(self) -> None:
        """Send SIGINT to all that run and wait for them. Raises ProcessFailed where one does not exit with 0."""
        for process in self._running.values():
            process.send_signal(signal.SIGINT)
        for name, process in self._running.items():
            try:
                code = process.wait(END_LIMIT)
            except subprocess.TimeoutExpired:
                raise self._failure(name, f"still ran {END_LIMIT:.0f} s after SIGINT") from None
            if code != 0:
                raise self._failure(name, f"ended with exit code {code} after SIGINT")

    def _environment(self, threads: int) -> dict[str, str]:
        environment = {
            **os.environ,
            "ROS_DOMAIN_ID": str(self.domain),
            "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST",
            "ROS_LOG_DIR": str(self._logs.absolute()),
            "OMP_NUM_THREADS": str(threads),
        }
        if profiles := find_profiles():
            environment.setdefault("FASTRTPS_DEFAULT_PROFILES_FILE", str(profiles))
        return environment

    def _failure(self, name: str, what: str) -> ProcessFailed:
        log = self._logs / f"{name}.txt"
        lines = log.read_text(errors="replace").splitlines()[-LAST_LINES:]
        return ProcessFailed("\n    ".join([f"{name} {what}; the end of {log}:", *lines]))


def free_domain() -> int:
    """A ROS domain in 1..99 that nobody uses on this machine. Raises OSError where there is none."""
    domains = list(range(1, 100))
    random.shuffle(domains)
    for domain in domains:
        with closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as probe:
            try:
                probe.bind(("", FIRST_PORT + PORTS_OF_A_DOMAIN * domain))
                return domain
            except OSError:
                continue
    raise OSError("every ROS domain from 1 to 99 is in use on this machine: end other ROS programs")


def find_profiles() -> Path | None:
    """The Fast DDS profile that large images need: beside the sources, or where the package was installed."""
    for folder in Path(__file__).resolve().parents:
        for file in (folder / "config" / PROFILES, folder / "share" / "clipseg_ros" / "config" / PROFILES):
            if file.is_file():
                return file
    return None
