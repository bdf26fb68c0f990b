"""The threads that share out compiled kernels, which release the interpreter lock."""

from __future__ import annotations

import functools
import os
from concurrent.futures import ThreadPoolExecutor


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@functools.cache
def pool() -> ThreadPoolExecutor:
    """Return the one pool, a thread a core. Starting threads for each search would take as long as a small search."""
    return ThreadPoolExecutor(cores(), thread_name_prefix="gannet")


if hasattr(os, "register_at_fork"):
    # Threads do not survive a fork: a child that inherited the pool would wait for ever.
    os.register_at_fork(after_in_child=pool.cache_clear)
