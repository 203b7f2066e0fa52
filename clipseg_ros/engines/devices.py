# SPDX-License-Identifier: Apache-2.0
"""Device and precision names -> torch's."""

from __future__ import annotations

import logging
import os
import shutil
import sysconfig
from pathlib import Path

import torch
from torch import nn

PRECISIONS = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}

log = logging.getLogger(__name__)


class DeviceError(RuntimeError):
    """A device that was asked for and is not there; the message names the way out."""


def find_device(name: str) -> torch.device:
    """auto (CUDA where there is one, else the CPU with a warning), cpu, cuda or cuda:N. Raises DeviceError."""
    count = torch.cuda.device_count()
    if name == "auto":
        if count == 0:
            log.warning("no CUDA device: running on the CPU (device:=cpu says so without this warning)")
        return torch.device("cuda" if count else "cpu")
    if name == "cpu":
        return torch.device("cpu")
    head, _, index = name.partition(":")
    if head != "cuda" or not (index.isdigit() or name == "cuda"):
        raise DeviceError(f"device {name!r}: expected auto, cpu, cuda or cuda:N")
    if int(index or 0) >= count:
        seen = f"torch {torch.__version__} sees {count} CUDA devices"
        raise DeviceError(f"device {name!r}: {seen}; use device:=cpu or auto")
    return torch.device(name)


def check_compiler() -> None:
    """Raise DeviceError where torch could not compile a network: it needs a C++ compiler and Python's headers."""
    compiler = os.environ.get("CXX", "g++")
    header = Path(sysconfig.get_path("include")) / "Python.h"
    for missing, there in ((compiler, shutil.which(compiler.partition(" ")[0])), (header, header.is_file())):
        if not there:
            remedy = "apt install g++ python3-dev, or name a compiler in CXX, or leave compiled:=true out"
            raise DeviceError(f"compiled: torch needs {missing}, which is not there: {remedy}")


def release(device: str, *models: nn.Module) -> None:
    """Give the device's memory back; the models are of no use afterwards."""
    for model in models:
        model.to("meta")
    if device.startswith("cuda"):
        torch.cuda.empty_cache()


def gpu_memory(device: str) -> int | None:
    """Bytes that this process's tensors hold on a CUDA device; None for the CPU."""
    return torch.cuda.memory_allocated(device) if device.startswith("cuda") else None


def find_dtype(precision: str, device: torch.device) -> torch.dtype:
    """auto: fp16 on CUDA, fp32 elsewhere. Raises ValueError."""
    if precision == "auto":
        return torch.float16 if device.type == "cuda" else torch.float32
    if precision not in PRECISIONS:
        raise ValueError(f"precision {precision!r}: expected auto, {', '.join(PRECISIONS)}")
    return PRECISIONS[precision]
