"""No confirmed change is lost by kills at 50 random moments and by full disks."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from gannet.collection.changes import Encoded
from gannet.collection.collection import Collection
from gannet.collection.indexing import build_collection
from gannet.errors import GannetError
from tiny_model import tiny_model

KILLS = 50

# Workers are forked from a process that has imported all modules. Before each change, a worker logs the contents that
# the collection should have after it, and after the change, that it is done; paths and contents are numbers.
WORKERS = """
import hashlib, json, os, random, sys, time
import numpy as np
from gannet.collection.changes import Encoded, merge
from gannet.collection.collection import Collection

def code(content):
    return list(hashlib.sha256(b"%d" % content).digest()[:3])

def encoded(items):
    codes = np.array([code(content) for content in items.values()], np.uint8).reshape(-1, 3)
    return Encoded(codes, [f"/{path}" for path in items], [b"%d" % content for content in items.values()], ())

def work(file, seed, log):
    rng = random.Random(seed)
    say = lambda *words: (log.write(" ".join(words) + "\\n"), log.flush())
    number = lambda: rng.randrange(10**9)
    collection = Collection.open(file)
    while True:
        collection._db.execute("PRAGMA cache_size = 10")  # so that pages reach the disk before the end
        items = {int(item.path[1:]): item for item in collection.items_under("/")}
        held = {path: int(item.digest) for path, item in items.items()}
        some = lambda share: rng.sample(sorted(held), int(share * len(held)))
        action = rng.choice(["add", "remove", "sync", "sync"])
        target = dict(held)
        if action == "remove":
            gone = some(0.2)
            for path in gone:
                del target[path]
        elif action == "sync":
            for path in some(0.3):
                target[number()] = target.pop(path)  # moved
            for path in rng.sample(sorted(target), len(target) // 4):
                del target[path]  # gone
            for path in rng.sample(sorted(target), len(target) // 5):
                target[path] = number()  # changed
        new = {number(): number() for _ in range(rng.randrange(1, 200))} if action != "remove" else {}
        target |= new
        say("try", json.dumps(target))
        if action == "add":
            batch = encoded(new)
            collection.add(batch.codes, batch.paths, batch.digests)
        elif action == "remove":
            collection.remove([items[path].id for path in gone])
        else:
            known = set(held.values())
            fresh = encoded({path: content for path, content in target.items() if content not in known})
            digests = [b"%d" % content for content in target.values()]
            merge(collection, [f"/{path}" for path in target], digests, fresh, [f"/{path}" for path in held])
        say("done")
        if rng.random() < 0.3:
            collection.close()
            collection = Collection.open(file)

for line in sys.stdin:
    file, seed, name = json.loads(line)
    worker = os.fork()
    if not worker:
        with open(name, "w") as log:
            work(file, seed, log)
    print(worker, flush=True)
    os.waitpid(worker, 0)
    print("ended", flush=True)
"""


def code(content: int) -> list[int]:
    return list(hashlib.sha256(b"%d" % content).digest()[:3])


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_50_kills_lose_nothing_that_was_confirmed(tmp_path: Path) -> None:
    file, rng = tmp_path / "c", random.Random(0)
    Collection.create(file, tiny_model(24)).close()
    held: dict[str, int] = {}
    confirmed = unconfirmed = logs = 0
    command = [sys.executable, "-c", WORKERS]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as workers:
        assert workers.stdin and workers.stdout
        for kill in range(KILLS):
            log = tmp_path / f"log {kill}"
            workers.stdin.write(json.dumps([str(file), kill, str(log)]) + "\n")
            workers.stdin.flush()
            worker = int(workers.stdout.readline())
            while not log.exists() or not log.stat().st_size:
                time.sleep(0.001)
            time.sleep(rng.uniform(0, 0.2))
            os.kill(worker, signal.SIGKILL)
            assert workers.stdout.readline() == "ended\n"
            logs += file.with_name("c-wal").exists()
            possible = held
            for line in log.read_text().splitlines():
                if line == "done":
                    held = possible
                    confirmed += 1
                else:
                    with contextlib.suppress(ValueError):  # the line itself was cut off, so its change never began
                        possible = json.loads(line.removeprefix("try "))
            with Collection.open(file) as collection:
                collection.check()
                items = collection.items_under("/")
                codes = collection.codes([item.id for item in items]).tolist()
            stored = {item.path[1:]: int(item.digest or b"") for item in items}
            assert len(stored) == len(items)
            # A change that was begun but not confirmed is done completely or not at all.
            assert stored in (held, possible)
            assert codes == [code(content) for content in stored.values()]
            unconfirmed += possible != held
            held = stored
            assert not file.with_name("c-wal").exists()
        workers.stdin.close()
    # Kills hit changes both before and after they were confirmed.
    assert confirmed >= KILLS // 4 and unconfirmed >= KILLS // 4 and logs >= KILLS // 4, (confirmed, unconfirmed, logs)


# A full disk --------------------------------------------------------------------------------------


@contextlib.contextmanager
def files_of_at_most(n_bytes: int) -> Iterator[None]:
    """Limit the size of all files, as a full disk does."""
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("share", [0.1, 0.3, 0.5, 0.7, 0.9, 0.99])
def test_no_part_of_a_collection_appears_on_a_full_disk(tmp_path: Path, share: float) -> None:
    n = 12_000
    names = [f"/a folder/{i:06}.jpg" for i in range(n)]
    encoded = Encoded(np.zeros((n, 3), np.uint8), names, [name.encode() for name in names], ())
    build_collection(tmp_path / "whole", tiny_model(24), encoded, batch_size=n // 4)
    with Collection.open(tmp_path / "whole") as collection:
        collection.check()
        assert len(collection) == n
    limit = int(share * (tmp_path / "whole").stat().st_size)
    with files_of_at_most(limit), pytest.raises(GannetError):
        build_collection(tmp_path / "part", tiny_model(24), encoded, batch_size=n // 4)
    assert [path.name for path in tmp_path.iterdir()] == ["whole"]


def test_a_change_that_only_the_log_had_room_for_is_kept(tmp_path: Path) -> None:
    file = tmp_path / "c"
    with Collection.create(file, tiny_model(24)) as collection:
        collection.add(np.zeros((5000, 3), np.uint8), ["a" * 100] * 5000)
    size = file.stat().st_size
    with files_of_at_most(size):
        with Collection.open(file) as collection:
            collection.add(np.zeros((1000, 3), np.uint8), ["b" * 100] * 1000)
            assert len(collection) == 6000
        with Collection.open(file) as collection:
            assert len(collection) == 6000
    assert file.stat().st_size == size  # it did not fit
    with Collection.open(file) as collection:
        collection.check()
        assert len(collection) == 6000
    assert list(tmp_path.iterdir()) == [file] and file.stat().st_size > size
