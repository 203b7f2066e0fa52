# SPDX-License-Identifier: Apache-2.0
"""The command line as a whole: what it lists, what it refuses, what it does not import."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module

import pytest

from clipseg_ros.__main__ import COMMANDS, main


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_describes_itself(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        main([command, "--help"])
    assert exit_.value.code == 0
    described = capsys.readouterr().out
    assert COMMANDS[command][1].split()[0] in described and described.startswith(f"usage: clipseg_ros {command}")


def test_help_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        main(["--help"])
    assert exit_.value.code == 0
    listed = capsys.readouterr().out
    assert all(f"    {command} " in listed for command in COMMANDS)


@pytest.mark.parametrize("words", [[], ["segmnt"], ["segment", "a.png"], ["segment", "a.png", "--treshold", "1"]])
def test_a_wrong_command_line_is_refused_with_the_usage(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        main(words)
    assert exit_.value.code == 2
    assert "usage: clipseg_ros" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["--help"], ["segment", "--help"]])
def test_help_imports_no_torch_and_no_ros(words: list[str]) -> None:
    code = (
        "import sys\nfrom clipseg_ros.__main__ import main\n"
        f"try:\n    main({words})\nexcept SystemExit:\n    print('torch' in sys.modules, 'rclpy' in sys.modules)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert result.stdout.splitlines()[-1] == "False False"


def test_a_bug_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(args: object) -> int:
        raise KeyError("a bug")

    monkeypatch.setattr(import_module("clipseg_ros.tools.download"), "run", broken)
    with pytest.raises(KeyError, match="a bug"):
        main(["download"])


def test_an_interrupt_ends_quietly(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def interrupted(args: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(import_module("clipseg_ros.tools.download"), "run", interrupted)
    assert main(["download"]) == 130
    assert capsys.readouterr() == ("", "")
