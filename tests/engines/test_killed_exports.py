"""Nothing is lost or doubled by exports that are killed: a few random moments, or as many as GANNET_KILLS says."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from places import Make, Place

from gannet import Collection
from gannet.engines import open_target
from gannet.engines.export import export
from gannet.engines.exportable import CollectionItems

KILLS = int(os.environ.get("GANNET_KILLS", "4"))
N = 3000

# Workers are forked from a process that has imported all modules. Small blocks make many moments different.
WORKERS = """
import json, os, sys
from gannet.engines import get_engine
from gannet.engines.export import export
import duckdb, psycopg, pyarrow.parquet

for line in sys.stdin:
    file, address = json.loads(line)
    worker = os.fork()
    if not worker:
        get_engine(address.partition(":")[0]).block = 256
        print("begun", flush=True)
        export(file, address, sync=True)
        os._exit(0)
    print(worker, flush=True)
    print("ended", os.waitpid(worker, 0)[1], flush=True)
"""


def change(file: Path, rng: random.Random) -> None:
    """Add, remove and rename items."""
    with Collection.open(file) as collection:
        ids = collection.ids.tolist()
        collection.remove(rng.sample(ids, len(ids) // 10))
        renamed = rng.sample(collection.ids.tolist(), 100)
        collection.rename(renamed, [f"{rng.random()}" for _ in renamed])
        codes = np.random.default_rng(rng.randrange(10**9)).integers(0, 256, (N // 10, 8), dtype=np.uint8)
        collection.add(codes, [f"{rng.random()}" for _ in codes])


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_kills_lose_and_double_nothing(place: Place, make_collection: Make) -> None:
    rng = random.Random(KILLS)
    codes = np.random.default_rng(0).integers(0, 256, (N, 8), dtype=np.uint8)
    file = make_collection(codes, 64)
    address, ended = place(), []
    with subprocess.Popen(
        [sys.executable, "-c", WORKERS], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as p:
        assert p.stdin and p.stdout

        def run_worker(seconds: float) -> float:
            """Export in a worker that is killed after some seconds, and return how long it ran."""
            p.stdin.write(json.dumps([str(file), address]) + "\n")
            p.stdin.flush()
            lines = [p.stdout.readline(), p.stdout.readline()]
            (worker,) = (int(line) for line in lines if line != "begun\n")
            begun = time.monotonic()
            if seconds:
                time.sleep(seconds)
                with contextlib.suppress(ProcessLookupError):  # it has ended by itself
                    os.kill(worker, signal.SIGKILL)
            ended.append(p.stdout.readline().split())
            return time.monotonic() - begun

        duration = run_worker(0)
        address = place()
        for _ in range(KILLS):
            run_worker(rng.uniform(0.01, 0.8 * duration))
            if rng.random() < 0.5:
                export(file, address, sync=True)
                check(file, address)
                if rng.random() < 0.3:
                    address = place()
                else:
                    change(file, rng)
        export(file, address, sync=True)
        check(file, address)
        p.stdin.close()
    statuses = [int(status) for _, status in ended]
    assert set(statuses) <= {0, signal.SIGKILL} and statuses[1:].count(signal.SIGKILL) > 0


def check(file: Path, address: str) -> None:
    """Check that a target holds the items of a collection, each once."""
    with Collection.open(file, readonly=True) as collection, open_target(address) as target:
        rows = CollectionItems(collection).rows(0, 1 << 62)
        assert len(target) == len(rows)
        found = target.engine.read(rows.ids)
        assert found.ids.tolist() == rows.ids.tolist() and found.marks.tolist() == rows.marks.tolist()
        ids = target.radius(rows.codes[:1], 64)[0][1]
        assert np.sort(ids).tolist() == rows.ids.tolist()
