"""Threads for compiled kernels, which release the interpreter lock."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

S = TypeVar("S")
T = TypeVar("T")


def cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@functools.cache
def pool() -> ThreadPoolExecutor:
    """Return the shared pool, one thread per core: starting threads takes as long as a small search."""
    return ThreadPoolExecutor(cores(), thread_name_prefix="gannet")


def share(tasks: Sequence[S], work: Callable[[Iterator[S]], T]) -> list[T]:
    """Call ``work`` once per thread and return the results; each call takes tasks until none is left.

    There are at most as many threads as cores and as tasks; the calling thread is one of them.
    """
    shared = iter(tasks)  # several threads may advance the iterator of a list or range at once
    others = [pool().submit(work, shared) for _ in range(min(cores(), len(tasks)) - 1)]
    return [work(shared), *(other.result() for other in others)]


if hasattr(os, "register_at_fork"):
    # Threads do not survive a fork: a child that inherited the pool would wait forever.
    os.register_at_fork(after_in_child=pool.cache_clear)
