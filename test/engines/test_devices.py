# SPDX-License-Identifier: Apache-2.0
"""Names of devices and precisions."""

from pathlib import Path

import pytest
import torch

from clipseg_ros.engines.devices import DeviceError, check_compiler, find_device, find_dtype, gpu_memory

CPU, CUDA = torch.device("cpu"), torch.device("cuda")


def test_auto_takes_cuda_where_it_is_and_else_warns(caplog: pytest.LogCaptureFixture) -> None:
    assert find_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")
    assert ("running on the CPU" in caplog.text) is not torch.cuda.is_available()


def test_the_cpu_is_taken_without_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    assert find_device("cpu") == CPU and not caplog.text


@pytest.mark.parametrize("name", ["gpu", "cuda:", "cuda:x", "cuda0", "cpu:0", ""])
def test_an_unknown_device_is_refused(name: str) -> None:
    with pytest.raises(DeviceError, match=f"device '{name}': expected auto, cpu, cuda or cuda:N"):
        find_device(name)


def test_cuda_asked_and_absent_is_refused() -> None:
    missing = f"cuda:{torch.cuda.device_count()}"
    with pytest.raises(
        DeviceError, match=rf"device '{missing}': torch .* sees \d+ CUDA devices; use device:=cpu or auto"
    ):
        find_device(missing)


def test_precisions() -> None:
    assert find_dtype("auto", CPU) is torch.float32 and find_dtype("auto", CUDA) is torch.float16
    assert [find_dtype(name, CPU) for name in ("fp32", "fp16", "bf16")] == [
        torch.float32,
        torch.float16,
        torch.bfloat16,
    ]


def test_an_unknown_precision_is_refused() -> None:
    with pytest.raises(ValueError, match="precision 'int8': expected auto, fp32, fp16, bf16"):
        find_dtype("int8", CPU)


def test_the_cpu_has_no_gpu_memory() -> None:
    assert gpu_memory("cpu") is None


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_gpu_memory_counts_what_tensors_hold() -> None:
    before = gpu_memory("cuda:0")
    held = torch.zeros(1024, 1024, device="cuda:0")
    assert gpu_memory("cuda:0") - before >= held.nbytes


def test_what_a_compiler_needs_is_named_where_it_is_not_there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler -O2")
    with pytest.raises(DeviceError, match="compiled: torch needs no-such-compiler -O2, which is not there"):
        check_compiler()
    monkeypatch.setenv("CXX", "true")
    monkeypatch.setattr("sysconfig.get_path", lambda name: str(tmp_path))
    with pytest.raises(DeviceError, match="torch needs .*Python.h, which is not there: apt install g.. python3-dev"):
        check_compiler()
    (tmp_path / "Python.h").touch()
    check_compiler()
