# SPDX-License-Identifier: Apache-2.0
"""Independent pieces of work spread over processes, or over a Ray cluster; results come as they are ready."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


def over(work: Callable[[T], R], tasks: Sequence[T], workers: int, ray_address: str | None) -> Iterator[R]:
    """work(task) of each task, once: here where one worker is asked for, in processes, or where Ray has room.

    ray_address: auto (the cluster that this machine is part of), local (one of this machine alone), or an address;
    None for no Ray. On a cluster all paths must mean the same everywhere. Raises ValueError where Ray is missing,
    ConnectionError where it does not answer.
    """
    if ray_address is not None:
        return _over_ray(work, tasks, ray_address)
    if workers == 1:
        return map(work, tasks)
    return _over_processes(work, tasks, workers)


def _over_processes(work: Callable[[T], R], tasks: Sequence[T], workers: int) -> Iterator[R]:
    spawn = multiprocessing.get_context("spawn")  # a forked child cannot use CUDA
    pool = ProcessPoolExecutor(workers, mp_context=spawn, initializer=_share_processors, initargs=(workers,))
    try:
        for future in as_completed([pool.submit(work, task) for task in tasks]):
            yield future.result()
    finally:
        pool.shutdown(cancel_futures=True)


def _share_processors(workers: int) -> None:
    import torch

    torch.set_num_threads(max(1, (os.cpu_count() or 1) // workers))


def _over_ray(work: Callable[[T], R], tasks: Sequence[T], address: str) -> Iterator[R]:
    try:
        import ray
    except ImportError:
        raise ValueError(f"--ray {address}: Ray is not installed: pip install ray, or use --workers") from None
    ray.init(address, log_to_driver=False)
    try:
        gpus = 1 if ray.cluster_resources().get("GPU") else 0
        call = ray.remote(num_cpus=1, num_gpus=gpus)(lambda task: work(task))
        pending = [call.remote(task) for task in tasks]
        while pending:
            done, pending = ray.wait(pending)
            yield ray.get(done[0])
    finally:
        ray.shutdown()
