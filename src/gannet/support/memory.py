"""Memory: the limit of this process, and one budget that several threads share."""

from __future__ import annotations

import contextlib
import functools
import os
import threading
from collections.abc import Iterator
from pathlib import Path

from gannet.support.cgroups import OWN, ROOT, group_files


def memory_limit() -> int:
    """Return the bytes of memory that this process may use: the machine's, its container's or its own limit."""
    limits = [*_machine(), *cgroup_limits(), *_process()]
    return min(limits, default=1 << 32)


def _machine() -> Iterator[int]:
    with contextlib.suppress(AttributeError, ValueError, OSError):
        yield os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _process() -> Iterator[int]:
    with contextlib.suppress(ImportError, OSError):
        import resource

        for kind in (resource.RLIMIT_AS, resource.RLIMIT_DATA):
            soft, _ = resource.getrlimit(kind)
            if soft != resource.RLIM_INFINITY:
                yield soft


def cgroup_limits(own: Path = OWN, root: Path = ROOT) -> Iterator[int]:
    """Yield the memory limits of the control groups that a process is in (versions 1 and 2), up to the root."""
    for text in group_files(own, root, "memory.max", ("memory", "memory.limit_in_bytes")):
        with contextlib.suppress(ValueError):  # "max" is no limit
            yield int(text)


class MemoryBudget:
    """A total of bytes that threads reserve while they work, in the order in which they ask."""

    def __init__(self, total: int) -> None:
        self.total = total
        self._free = total
        self._turn = threading.Lock()
        self._changed = threading.Condition()

    @contextlib.contextmanager
    def reserve(self, n_bytes: int) -> Iterator[None]:
        """Wait until ``n_bytes`` (at most the total) are free, and hold them. A thread reserves once at a time."""
        n_bytes = min(n_bytes, self.total)
        with self._turn, self._changed:
            self._changed.wait_for(lambda: self._free >= n_bytes)
            self._free -= n_bytes
        try:
            yield
        finally:
            with self._changed:
                self._free += n_bytes
                self._changed.notify()


@functools.cache
def decoding_budget() -> MemoryBudget:
    """Return the budget of all image decoders of this process: a quarter of the memory limit."""
    return MemoryBudget(memory_limit() // 4)


if hasattr(os, "register_at_fork"):
    # A child does not have the threads that hold parts of the parent's budget.
    os.register_at_fork(after_in_child=decoding_budget.cache_clear)
