# SPDX-License-Identifier: Apache-2.0
"""One training on several processes, as torchrun starts them: equal weights at the start, averaged gradients."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import torch
from torch import distributed, nn

PATIENCE = timedelta(hours=2)  # for what rank 0 does alone: rendering scenes, measuring


@dataclass(frozen=True)
class Group:
    """This process, `rank` of `ranks`; a group of one needs no network."""

    rank: int = 0
    ranks: int = 1

    @torch.no_grad()
    def share(self, module: nn.Module) -> None:
        """Copy rank 0's parameters and buffers to everyone."""
        if self.ranks > 1:
            for tensor in (*module.parameters(), *module.buffers()):
                distributed.broadcast(tensor, src=0)

    @torch.no_grad()
    def average(self, module: nn.Module, loss: torch.Tensor) -> torch.Tensor:
        """The mean loss (scalar, float32); every gradient becomes its mean over the ranks.

        A parameter without gradient counts as 0, and stays without where no rank has one. Everything travels in one
        message.
        """
        loss = loss.detach().float()
        if self.ranks == 1:
            return loss
        parameters = [parameter for parameter in module.parameters() if parameter.requires_grad]
        given = loss.new_tensor([float(parameter.grad is not None) for parameter in parameters])
        gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]
        message = torch.cat([loss[None], given, *(gradient.float().flatten() for gradient in gradients)])
        distributed.all_reduce(message)
        loss, given, flat = message.split([1, len(parameters), len(message) - 1 - len(parameters)])
        sizes = [parameter.numel() for parameter in parameters]
        for parameter, count, mean in zip(parameters, given.tolist(), (flat / self.ranks).split(sizes)):
            parameter.grad = mean.view_as(parameter).to(parameter.dtype) if count else None
        return loss[0] / self.ranks


def share_of(batch: int, ranks: int) -> int:
    """What each of `ranks` processes has of a batch. Raises ValueError where they cannot share it evenly."""
    if batch % ranks:
        raise ValueError(f"batch of {batch}: {ranks} processes cannot share it evenly")
    return batch // ranks


def once(act: Callable[[], object]) -> None:
    """Rank 0 acts, such as to write what all will read, and the others wait until it has; alone, a process just acts.

    Called within `join`.
    """
    together = distributed.is_initialized()
    if not together or distributed.get_rank() == 0:
        act()
    if together:
        distributed.barrier()


def own_device(device: torch.device) -> torch.device:
    """The device of this process: of `cuda`, the GPU that torchrun's LOCAL_RANK counts; any other as it is."""
    if device.type == "cuda" and device.index is None and "LOCAL_RANK" in os.environ:
        return torch.device("cuda", int(os.environ["LOCAL_RANK"]))
    return device


@contextmanager
def join(device: torch.device) -> Iterator[Group]:
    """The group of torchrun's processes (NCCL on GPUs, else Gloo), or a group of one without torchrun."""
    if "RANK" not in os.environ or "WORLD_SIZE" not in os.environ:
        yield Group()
        return
    if device.type == "cuda":
        torch.cuda.set_device(device)
    # A run may have several stages, each with a loop of its own: the outermost group stays.
    outermost = not distributed.is_initialized()
    if outermost:
        distributed.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=PATIENCE)
    try:
        yield Group(distributed.get_rank(), distributed.get_world_size())
    finally:
        if outermost:
            distributed.destroy_process_group()
