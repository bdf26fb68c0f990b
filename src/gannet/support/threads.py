"""The number of threads, and the pool of threads for compiled kernels, which release the interpreter lock."""

from __future__ import annotations

import functools
import math
import os
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar, cast

from gannet.support.cgroups import OWN, ROOT, group_files

S = TypeVar("S")
T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])

_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
"""Variables that libraries read when they are imported. Gannet itself reads the first one."""

_forked_with_torch = False

_turn = threading.RLock()


def cores() -> int:
    """Return the number of threads to use: at most one per core that this process may use.

    ``OMP_NUM_THREADS`` and the CPU quota of a container lower the number.
    """
    most = min(_available(), _quota())
    try:
        chosen = int(os.environ.get(_VARIABLES[0], "").partition(",")[0])
    except ValueError:
        return most
    return min(most, chosen) if chosen > 0 else most


def is_limited() -> bool:
    """Return whether `cores` is below the number of cores that this process may use."""
    return cores() < _available()


def limit_threads(n: int | None) -> None:
    """Use at most ``n`` threads in this process, its child processes and the libraries in it.

    With None, the libraries are limited to `cores`. Call it before threads have been started.
    """
    if n is not None:
        os.environ.update(dict.fromkeys(_VARIABLES, str(min(n, _available()))))
        pool.cache_clear()
    if is_limited():
        for variable in _VARIABLES:
            os.environ.setdefault(variable, str(cores()))
        if "numpy" in sys.modules:  # its libraries have read the variables
            import threadpoolctl

            threadpoolctl.threadpool_limits(cores())


def limit_torch() -> None:
    """Make torch, if it has been imported, use at most `cores` threads.

    In a child of a process that had imported torch it uses one: torch would wait forever for the threads of the parent.
    """
    torch = sys.modules.get("torch")
    if torch is not None:
        most = 1 if _forked_with_torch else cores()
        if torch.get_num_threads() > most:
            torch.set_num_threads(most)


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


def quota(own: Path = OWN, root: Path = ROOT) -> float:
    """Return the number of cores that the control groups of this process allow (cgroup v2), or infinity."""
    return min(map(_cpu_max, group_files(own, root, "cpu.max")), default=math.inf)


def _cpu_max(text: str) -> float:
    """Return the cores that the content of a file ``cpu.max`` allows, "QUOTA PERIOD" in microseconds, or infinity."""
    try:
        most, period = text.split()
        return int(most) / int(period)
    except (ValueError, ZeroDivisionError):  # "max" is no limit
        return math.inf


@functools.cache
def _quota() -> int:
    found = quota()
    return sys.maxsize if math.isinf(found) else max(1, math.ceil(found))


def _available() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _after_fork() -> None:
    """Forget the threads of the parent, which do not survive a fork: a child would wait for them forever."""
    global _forked_with_torch, _turn
    _turn = threading.RLock()  # another thread of the parent may have held it
    pool.cache_clear()
    _forked_with_torch = _forked_with_torch or "torch" in sys.modules


def one_at_a_time(function: F) -> F:
    """Let threads take turns in this function and all others that are marked so.

    It is for learning with torch, whose random generator, number of threads and forward mode are those of the process.
    """

    @functools.wraps(function)
    def in_turn(*arguments: Any, **options: Any) -> Any:
        with _turn:
            return function(*arguments, **options)

    return cast("F", in_turn)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
