"""A write-ahead log that a killed program left: it is applied to its own file, and to no other."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from gannet.collection import Collection
from gannet.errors import GannetError
from tiny_model import tiny_model

DATA = Path(__file__).parents[1] / "data_v01"

# A reader keeps the change in the log; then the program is killed.
CHANGE_AND_DIE = """
import os, signal, sys, numpy as np
from gannet.collection import Collection
with Collection.open(sys.argv[1]) as collection, Collection.open(sys.argv[1], readonly=True) as reader:
    width = -(-collection.n_bits // 8)
    for step in range(int(sys.argv[2])):
        collection.add(np.zeros((500, width), np.uint8), [f"before {step}"] * 500)
    with reader.snapshot():
        len(reader)
        for step in range(int(sys.argv[3])):
            collection.remove(collection.ids[:50])
            collection.add(np.full((300, width), step, np.uint8), [f"killed {step}"] * 300)
        os.kill(os.getpid(), signal.SIGKILL)
"""


def change_and_die(file: Path, before: int = 1, n: int = 2) -> None:
    command = [sys.executable, "-c", CHANGE_AND_DIE, str(file), str(before), str(n)]
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
    assert wal(file).stat().st_size > 0


def wal(file: Path) -> Path:
    return file.with_name(file.name + "-wal")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "c"
    with Collection.create(path, tiny_model(24)) as collection:
        collection.add(np.ones((2000, 3), np.uint8), [f"{i}.jpg" for i in range(2000)])
    return path


@pytest.mark.parametrize("n", [1, 4])
def test_a_log_is_applied_to_its_own_file(file: Path, n: int) -> None:
    change_and_die(file, n=n)
    with Collection.open(file, readonly=True) as collection:
        collection.check()
        assert len(collection) == 2500 + 250 * n
    assert not wal(file).exists()


def test_a_log_and_its_file_are_moved_together(file: Path, tmp_path: Path) -> None:
    change_and_die(file)
    (tmp_path / "new").mkdir()
    for path in (file, wal(file)):
        shutil.copy(path, tmp_path / "new")
    with Collection.open(tmp_path / "new" / "c") as collection:
        collection.check()
        assert len(collection) == 3000


@pytest.mark.parametrize("restore", [shutil.copy, os.replace])
@pytest.mark.parametrize("made", ["closed", "opened", "older", "other"])
def test_a_copy_restored_beside_a_log_is_refused(
    file: Path, tmp_path: Path, restore: Callable[[Path, Path], object], made: str
) -> None:
    copy = tmp_path / "copy"
    if made == "other":
        with Collection.create(copy, tiny_model(24, seed=1)) as collection:
            collection.add(np.ones((10, 3), np.uint8), ["other"] * 10)
    elif made == "opened":  # while a program uses a log, which is empty between changes
        with Collection.open(file) as collection, Collection.open(file) as reader:
            len(reader)
            collection.remove(range(100))
            shutil.copy(file, copy)
            collection.remove(range(100, 200))
    else:
        shutil.copy(file, copy)
        if made == "older":
            with Collection.open(file) as collection:
                collection.remove(range(100))
    with Collection.open(copy) as collection:
        n = len(collection)
    kept = copy.read_bytes()
    change_and_die(file)
    restore(copy, file)
    for readonly in (True, False):
        with pytest.raises(
            GannetError, match=r"c-wal beside .* belongs to another file.*delete c-wal and c-sh"
        ) as error:
            Collection.open(file, readonly=readonly)
        assert "\n" not in str(error.value)
    assert file.read_bytes() == kept and wal(file).exists()
    for suffix in ("-wal", "-shm"):
        file.with_name(file.name + suffix).unlink(missing_ok=True)
    with Collection.open(file) as collection:
        collection.check()
        assert len(collection) == n


def test_files_of_version_01_and_logs(tmp_path: Path) -> None:
    file = tmp_path / "c"
    shutil.copy(DATA / "vectors.gannet", file)
    change_and_die(file)  # upgrades it first
    with Collection.open(file) as collection:
        collection.check()
    change_and_die(file)
    shutil.copy(DATA / "vectors.gannet", file)
    with pytest.raises(GannetError, match="belongs to another file"):
        Collection.open(file)


def test_messages_about_damage_say_how_a_copy_is_restored(file: Path) -> None:
    with file.open("r+b") as stream:
        stream.truncate(5000)
    with pytest.raises(GannetError, match=r"restore it from a copy \(first delete c-wal and c-shm"):
        Collection.open(file)


@pytest.mark.parametrize("used", [False, True])
@pytest.mark.parametrize("what", ["older copy", "other collection", "renamed"])
def test_a_file_replaced_under_an_open_writer_is_not_changed(file: Path, tmp_path: Path, used: bool, what: str) -> None:
    copy = tmp_path / "copy"
    shutil.copy(file, copy)
    if what == "other collection":
        copy.unlink()
        with Collection.create(copy, tiny_model(24, seed=3)) as collection:
            for _ in range(5):
                collection.add(np.zeros((50, 3), np.uint8), ["other"] * 50)
    with Collection.open(file) as collection:
        collection.remove([7])
    with Collection.open(file) as writer:
        if used:
            writer.remove([8])
        (os.replace if what == "renamed" else shutil.copy)(copy, file)
        before = file.read_bytes()
        for _ in range(2):
            with pytest.raises(GannetError, match="replaced or moved while it was open; open it again"):
                writer.add(np.zeros((1, 3), np.uint8), ["lost"])
        assert file.read_bytes() == before


def test_a_long_reader_is_named_when_a_change_gives_up(file: Path) -> None:
    with Collection.open(file, readonly=True) as reader, Collection.open(file, timeout=0.3) as writer:
        with reader.snapshot():
            len(reader)
            with pytest.raises(GannetError, match=r"in use by another program; try again .*waited 0.3 s") as error:
                writer.remove([0])
            assert "\n" not in str(error.value)
        writer.remove([0])


def test_a_change_waits_for_a_long_reader(file: Path) -> None:
    with Collection.open(file, readonly=True) as reader:
        held, done = threading.Event(), []

        def read() -> None:
            with reader.snapshot():
                len(reader)
                held.set()
                time.sleep(6)
                done.append(True)

        thread = threading.Thread(target=read)
        thread.start()
        held.wait()
        with Collection.open(file) as writer:
            writer.remove([0])
            assert done
        thread.join()


@pytest.mark.parametrize("readonly", [True, False])
def test_a_harmless_journal_goes(file: Path, readonly: bool) -> None:
    journal = file.with_name("c-journal")
    journal.write_bytes(bytes(1024))
    with Collection.open(file, readonly=readonly) as collection:
        assert len(collection) == 2000
    assert not journal.exists()


def test_the_journal_of_a_running_program_stays(file: Path) -> None:
    other = sqlite3.connect(file, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    other.execute("UPDATE collection SET created = 'x'")
    journal = file.with_name("c-journal")
    assert journal.exists()
    with Collection.open(file) as collection:
        assert len(collection) == 2000
    assert journal.exists()
    other.close()
