"""Threads for slow work, such as decoding images, apart from the threads that answer other requests."""

from __future__ import annotations

import asyncio
import os
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

T = TypeVar("T")


class Workers:
    """A fixed number of threads, so that slow work neither takes all memory nor delays other requests.

    The threads are daemons: unlike an executor's threads, they do not delay the end of the process.
    """

    def __init__(self, n_threads: int) -> None:
        self._n_threads = n_threads
        self._start()

    def _start(self) -> None:
        self._process = os.getpid()
        self._threads: list[threading.Thread] = []
        self._tasks: queue.SimpleQueue[tuple[Future[Any], Callable[[], Any]]] = queue.SimpleQueue()

    async def run(self, work: Callable[[], T], seconds: float | None = None) -> T:
        """Return the result of ``work``; raise a `TimeoutError` after some seconds, whether or not it has started.

        Work that has started goes on, and its thread is not free before it ends. Work that has not is given up.
        """
        if self._process != os.getpid():  # threads do not survive a fork
            self._start()
        while len(self._threads) < self._n_threads:
            self._threads.append(threading.Thread(target=self._work, name="gannet-serve", daemon=True))
            self._threads[-1].start()
        future: Future[T] = Future()
        self._tasks.put((future, work))
        return await asyncio.wait_for(asyncio.wrap_future(future), seconds)

    def _work(self) -> None:
        while True:
            future, work = self._tasks.get()
            if future.set_running_or_notify_cancel():
                try:
                    future.set_result(work())
                except BaseException as error:  # it is raised where the result is awaited
                    future.set_exception(error)
            del future, work  # an idle thread keeps no image in memory
