"""Encoding on a Ray cluster."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Generator, Iterable
from typing import Any

from gannet.encoding.tasks import Task
from gannet.encoding.worker import Shard, ShardEncoder
from gannet.errors import GannetError
from gannet.model import Model
from gannet.support.libraries import load
from gannet.support.threads import limit_threads

_SECONDS = 10
NEW = "local"
"""Address that starts a cluster on this machine for the time of the work."""


def encode_on_ray(model: Model, tasks: Iterable[Task], address: str) -> Generator[Shard]:
    """Encode tasks of images on a Ray cluster with Ray Data, in the order in which they are done.

    Every machine of the cluster needs Gannet and reads the images by their paths. There is at most one actor per core
    of the cluster, each with one thread. The files of codes come back as bytes.
    """
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ.setdefault("RAY_AUTH_MODE", "disabled")
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    ray = load("ray", "ray", "encoding on a Ray cluster")
    data = load("ray.data", "ray", "encoding on a Ray cluster")
    was_running = ray.is_initialized()
    if not was_running:
        _start(ray, address)
    try:
        rows = [{"task": task} for task in tasks]
        if rows:
            data.DataContext.get_current().enable_progress_bars = False
            shards = data.from_items(rows, override_num_blocks=len(rows)).map_batches(
                _Actor,
                fn_constructor_args=(model.to_bytes(),),
                batch_size=1,
                num_cpus=1,
                compute=data.ActorPoolStrategy(min_size=1, max_size=max(1, int(ray.cluster_resources()["CPU"]))),
            )
            for row in shards.iter_rows():
                yield Shard(row["number"], row["data"], row["n_items"], row["n_skipped"])
    except ray.exceptions.RayError as error:
        cause = error.__cause__ or error
        line = next(iter(str(cause).strip().splitlines()), type(cause).__name__)
        raise GannetError(f"the Ray cluster {address} failed: {line} (run the same command again)") from None
    finally:
        if not was_running:
            ray.shutdown()


def _start(ray: Any, address: str) -> None:
    """Connect to a cluster, or start one on this machine."""
    logging.getLogger("ray").setLevel(logging.ERROR)
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    options = {"include_dashboard": False} if address == NEW else {}
    host, _, port = address.removeprefix("ray://").rpartition(":")
    try:
        if host and port.isdecimal():  # Ray itself would try for minutes
            socket.create_connection((host, int(port)), _SECONDS).close()
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR, **options)
    except (OSError, ValueError, RuntimeError) as error:
        line = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise GannetError(f"cannot reach the Ray cluster {address}: {line}") from None


class _Actor:
    """Keeps an image network ready in a process of the cluster."""

    def __init__(self, model: bytes) -> None:
        limit_threads(1)
        self._encoder = ShardEncoder(Model.from_bytes(model))

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        made = [self._encoder.encode(task) for task in batch["task"]]
        return {name: [getattr(shard, name) for shard in made] for name in Shard._fields}
