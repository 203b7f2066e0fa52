# SPDX-License-Identifier: Apache-2.0
"""The commands: `python -m clipseg_ros COMMAND`. Each is a module of tools, imported when asked for."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module

COMMANDS = {
    "segment": ("segment", "search pictures, a video or ROS 2 bags for prompts"),
    "check": ("check", "compare this package with transformers on your weights"),
    "download": ("download", "copy a model of the Hugging Face hub into the local cache"),
    "convert": ("convert_weights", "turn the .pth file of CLIPSeg's or ZegCLIP's authors into a folder of our own"),
    "demo": ("demo", "camera, node and client over ROS 2, with a report at the end"),
    "train": ("train", "train a model: the demo's, or a paper's"),
    "evaluate": ("evaluate", "measure a model on a benchmark, beside the papers' numbers"),
    "bench": ("bench", "measure times and memory, beside what a user would write"),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; 0 if all went well, 1 for what could not be done, 2 for a wrong command line."""
    words = sys.argv[1:] if argv is None else list(argv)
    parser = argparse.ArgumentParser(prog="clipseg_ros", description="Open-vocabulary segmentation")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, (module, summary) in COMMANDS.items():
        command = commands.add_parser(name, help=summary, description=summary)
        if words[:1] == [name]:  # the others are not imported: --help and a typo answer at once
            tool = import_module(f"clipseg_ros.tools.{module}")
            tool.add_arguments(command)
    args = parser.parse_args(words)
    try:
        return tool.run(args)
    except KeyboardInterrupt:
        return 130
    except _expected() as error:
        print(f"clipseg_ros: error: {error}", file=sys.stderr)
        return 1


def _expected() -> tuple[type[Exception], ...]:
    """Errors that say all there is to say; anything else is a bug and keeps its traceback."""
    from clipseg_ros.engines.devices import DeviceError  # imported on an error alone: it imports torch
    from clipseg_ros.models.hub import WeightsError

    return ValueError, OSError, DeviceError, WeightsError


if __name__ == "__main__":
    sys.exit(main())
