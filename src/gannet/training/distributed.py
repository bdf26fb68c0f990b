"""Several processes that train one network, each with a part of every batch.

``torchrun`` starts the processes and names them in the environment. Each holds the network and an equal part of both
sides of every batch of n + n items: process r of p holds the rows from ``r n/p`` to ``(r + 1) n/p`` of each side. Codes
are gathered, so that pairs are formed over the whole batch, and every process computes the same derivatives of all
codes. Each process passes the derivatives of its own rows back through the network, and the gradients are added. As the
loss is divided by the n of the whole batch, the sum is the gradient that one process would compute from the whole
batch. Each process draws its own dropout masks.
"""

from __future__ import annotations

import atexit
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
from torch import Tensor
from torch import distributed as dist

from gannet.errors import GannetError

_PATIENCE = timedelta(hours=12)
"""Longest wait for other processes: one may encode a large collection while the others wait."""


@dataclass(frozen=True)
class Processes:
    """The processes of a training: the rank of this one, and their number."""

    rank: int = 0
    count: int = 1

    def own(self, rows: Tensor) -> Tensor:
        """Return this process's part of both sides of ``rows (2n, ...)``: ``(2n / count, ...)``.

        Raises a `GannetError` if n is not a multiple of the number of processes.
        """
        if self.count == 1:
            return rows
        part, rest = divmod(len(rows) // 2, self.count)
        if rest or not part:
            raise GannetError(
                f"{self.count} processes cannot share a batch of {len(rows) // 2} items per side: set batch_size to a "
                f"multiple of {self.count}, with at least twice as many images"
            )
        return torch.cat([side[self.rank * part : (self.rank + 1) * part] for side in rows.chunk(2)])

    def gather(self, rows: Tensor) -> Tensor:
        """Return the rows of all processes, ``(2n, ...)``: the inverse of `own`."""
        if self.count == 1:
            return rows
        parts = [torch.empty_like(rows, memory_format=torch.contiguous_format) for _ in range(self.count)]
        dist.all_gather(parts, rows.contiguous())
        return torch.cat([part.chunk(2)[side] for side in (0, 1) for part in parts])

    def add(self, tensors: Iterable[Tensor]) -> None:
        """Replace each tensor by its sum over the processes."""
        if self.count > 1:
            self._together(tensors, lambda flat: dist.all_reduce(flat))

    def share(self, tensors: Iterable[Tensor]) -> None:
        """Replace each tensor by the first process's."""
        if self.count > 1:
            self._together(tensors, lambda flat: dist.broadcast(flat, 0))

    def _together(self, tensors: Iterable[Tensor], operation: Callable[[Tensor], Any]) -> None:
        """Apply a collective operation to all tensors in one message, which is faster than many messages."""
        tensors = list(tensors)
        flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
        operation(flat)
        parts = torch.split(flat, [tensor.numel() for tensor in tensors])
        for tensor, values in zip(tensors, parts, strict=True):
            tensor.copy_(values.view(tensor.shape))


def is_first() -> bool:
    """Return whether this process is the first that ``torchrun`` started, or the only one."""
    return not _started_by_torchrun() or os.environ.get("RANK", "0") == "0"


def _started_by_torchrun() -> bool:
    return _number("WORLD_SIZE", 1) > 1


def _number(name: str, default: int) -> int:
    """Return a number that ``torchrun`` put into the environment."""
    value = os.environ.get(name)
    try:
        return int(value) if value else default
    except ValueError:
        raise GannetError(f"${name} must be a whole number, as torchrun sets it, not {value!r}") from None


def training_device() -> torch.device:
    """Return the device of this process: its own GPU, or the CPU if there is none."""
    if not torch.cuda.is_available():
        return torch.device("cpu")
    return torch.device("cuda", _number("LOCAL_RANK", 0) % torch.cuda.device_count())


def join_processes(device: torch.device) -> Processes:
    """Join the processes that ``torchrun`` started until this one ends; without ``torchrun``, it is alone."""
    if not _started_by_torchrun():
        return Processes()
    if not dist.is_initialized():
        if device.type == "cuda":
            torch.cuda.set_device(device)
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=_PATIENCE)
        # Not earlier: processes that leave and join again may use the old addresses and wait forever.
        atexit.register(dist.destroy_process_group)
    return Processes(dist.get_rank(), dist.get_world_size())
