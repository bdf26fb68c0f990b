"""Several processes use one collection: readers never wait for a writer, and never see a part of its change."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from gannet.collection.collection import Collection
from gannet.errors import GannetError
from tiny_model import tiny_model

N = 20_000

READ_UNTIL_CHANGED = """
import sys, time
from gannet.collection.collection import Collection
kept = Collection.open(sys.argv[1], readonly=True)
slowest, counts = 0.0, set()
print("begun", flush=True)
for _ in range(10**6):
    start = time.monotonic()
    with Collection.open(sys.argv[1], readonly=True) as opened:
        for collection in (kept, opened):
            with collection.snapshot():
                ids, codes = collection.ids, collection.codes()
            assert len(collection.find_path("new")) in (0, len(ids))
            counts.add((len(ids), int(codes.max())))
    slowest = max(slowest, time.monotonic() - start)
    if len(counts) > 1 or slowest > 60:
        break
    print(flush=True)
print(slowest, sorted(counts), flush=True)
"""

CHANGE_SLOWLY = """
import sys, time, numpy as np
from gannet.collection.collection import Collection
with Collection.open(sys.argv[1]) as collection:
    collection._db.execute("PRAGMA cache_size = 10")  # so that pages reach the disk before the end
    with collection.atomic():
        n = len(collection)
        for part in range(5):
            collection.add(np.full((n // 5, 3), part + 1, np.uint8), ["new"] * (n // 5))
            print(part, flush=True)
            time.sleep(0.3)
        collection.remove(np.arange(n))
"""


def start(program: str, *arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", program, *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "photos.gannet"
    with Collection.create(path, tiny_model(24)) as collection:
        collection.add(np.zeros((N, 3), np.uint8), [f"{i}.jpg" for i in range(N)])
    return path


def test_readers_go_on_while_a_change_is_made_and_see_it_whole(file: Path) -> None:
    with start(READ_UNTIL_CHANGED, file) as reader, start(CHANGE_SLOWLY, file) as writer:
        assert reader.stdout and writer.stdout
        assert reader.stdout.readline() == "begun\n"
        started = time.monotonic()
        assert writer.wait(60) == 0
        change = time.monotonic() - started
        slowest, counts = reader.stdout.read().split(maxsplit=1)
        assert reader.wait(60) == 0
    assert counts.strip() == f"[({N}, 0), ({N}, 5)]"  # before and after, nothing in between
    assert float(slowest) < 0.8 * change
    with Collection.open(file) as collection:
        collection.check()
        assert len(collection) == N
    assert list(file.parent.iterdir()) == [file]


def test_a_second_writer_is_told_and_then_served(file: Path) -> None:
    with start(CHANGE_SLOWLY, file) as writer, Collection.open(file) as second:
        assert writer.stdout
        assert writer.stdout.readline() == "0\n"
        with (
            Collection.open(file, timeout=0.2) as impatient,
            pytest.raises(GannetError, match=r"in use by another program; try again"),
        ):
            impatient.add(np.zeros((1, 3), np.uint8), ["second"])
        second.add(np.zeros((1, 3), np.uint8), ["second"])  # waits
        assert writer.wait(60) == 0
        assert len(second) == N + 1 and second.find_path("second").size == 1
        second.check()


def test_the_last_to_close_leaves_one_file(file: Path) -> None:
    with Collection.open(file, readonly=True) as reader:
        assert len(reader) == N
        with Collection.open(file) as writer:
            writer.add(np.zeros((1, 3), np.uint8), ["a"])
            assert len(reader) == N + 1
        assert len(reader) == N + 1
    assert list(file.parent.iterdir()) == [file]
    assert (
        file.read_bytes()[18:20] == b"\x01\x01"
    )  # the header announces no log, so the file can be read from any medium


def test_a_copy_of_the_file_alone_has_every_change_while_others_keep_it_open(file: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    with Collection.open(file, readonly=True) as reader, Collection.open(file) as writer:
        for n in range(1, 4):
            writer.add(np.zeros((1, 3), np.uint8), ["a"])
            assert len(reader) == N + n
            shutil.copy(file, copy)
            with Collection.open(copy) as copied:
                copied.check()
                assert len(copied) == N + n


def test_a_snapshot_does_not_change(file: Path) -> None:
    with Collection.open(file, readonly=True) as reader, Collection.open(file) as writer:
        writer.remove([0])
        with reader.snapshot():
            assert len(reader) == N - 1
            writer.remove([1])
            assert len(reader) == N - 1 and reader.path(1) == "1.jpg"
        with pytest.raises(GannetError, match="has no item 1;"):
            reader.path(1)


def test_closing_does_not_touch_the_side_files_of_a_replacement(file: Path, tmp_path: Path) -> None:
    old = Collection.open(file)
    old.add(np.zeros((1, 3), np.uint8), ["old"])
    other = tmp_path / "other"
    Collection.create(other, tiny_model(24)).close()
    other.rename(file)
    log = file.with_name(file.name + "-wal")
    log.write_bytes(b"the log of the new file")
    old.close()
    assert log.read_bytes() == b"the log of the new file"


def test_atomic_keeps_all_or_nothing(file: Path) -> None:
    with Collection.open(file) as collection:
        with pytest.raises(RuntimeError), collection.atomic():
            collection.add(np.ones((2, 3), np.uint8), ["a", "b"])
            collection.remove([0, 1, 2])
            collection.rename([5], ["c"])
            assert len(collection) == N - 1 and collection.path(5) == "c"
            raise RuntimeError
        assert len(collection) == N and collection.path(5) == "5.jpg" and collection.find_path("a").size == 0
        with collection.atomic():
            collection.rename([5], ["c"])
            with pytest.raises(GannetError, match="no item"):
                collection.remove([7, N + 5])  # only this call is undone
        assert collection.path(5) == "c" and len(collection) == N
        collection.check()


def test_rename(file: Path) -> None:
    with Collection.open(file) as collection:
        collection.rename([3, 4], ["4.jpg", "3.jpg"])
        assert collection.paths([3, 4]) == ["4.jpg", "3.jpg"]
        with pytest.raises(GannetError, match="no item 99999"):
            collection.rename([5, 99999], ["a", "b"])
        assert collection.path(5) == "5.jpg"
        collection.check()
