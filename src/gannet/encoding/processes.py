"""Encoding in this process, or in several processes of this machine."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Generator, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import wait as wait_for

from gannet.encoding.tasks import Task
from gannet.encoding.worker import Shard, ShardEncoder
from gannet.errors import GannetError
from gannet.model import Model
from gannet.support.threads import cores, limit_threads

_encoder: ShardEncoder | None = None


def encode_here(model: Model, tasks: Iterable[Task]) -> Generator[Shard]:
    """Encode tasks in this process, in their order."""
    encoder = ShardEncoder(model)
    for task in tasks:
        yield encoder.encode(task)


def encode_in_processes(model: Model, tasks: Iterable[Task], n_workers: int) -> Generator[Shard]:
    """Encode tasks in several processes, which share the cores, in the order in which they are done."""
    context = multiprocessing.get_context("spawn")  # a forked process could not use torch
    start = (model.to_bytes(), max(1, cores() // n_workers))
    pool = ProcessPoolExecutor(n_workers, context, _start, start)
    waiting: set[Future[Shard]] = set()
    try:
        for task in tasks:
            waiting.add(pool.submit(_encode, task))
            if len(waiting) > 2 * n_workers:
                done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                yield from (future.result() for future in done)
        while waiting:
            done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
            yield from (future.result() for future in done)
    except BrokenProcessPool:
        raise GannetError(
            "a worker process was ended, as when memory runs out: run the same command again, with fewer --workers"
        ) from None
    finally:
        pool.shutdown(cancel_futures=True)


def _start(model: bytes, n_threads: int) -> None:
    """Prepare a worker process, which ends when it is interrupted, or when its parent is killed."""
    global _encoder
    signal.signal(signal.SIGINT, lambda *_: os._exit(130))
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()
    limit_threads(n_threads)
    _encoder = ShardEncoder(Model.from_bytes(model))


def _end_with(sentinel: int) -> None:
    wait_for([sentinel])
    os._exit(1)


def _encode(task: Task) -> Shard:
    assert _encoder is not None
    return _encoder.encode(task)
