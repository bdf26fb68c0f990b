"""A full disk: a change is refused, and reading goes on without writing a byte."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from gannet.collection import Collection, log
from gannet.errors import GannetError
from gannet.retrieval.live import LiveCollection
from tiny_model import tiny_model

N = 1000

CHANGE = """
import os, sys, numpy as np
from gannet.collection import Collection
with Collection.open(sys.argv[1]) as collection, Collection.open(sys.argv[1], readonly=True) as reader:
    collection.remove(0)  # starts the log
    with reader.snapshot():
        len(reader)
        if sys.argv[2] == "in the log":
            collection.add(np.zeros((3, 3), np.uint8), ["new"] * 3)
            os._exit(0)
    collection.add(np.zeros((3, 3), np.uint8), ["new"] * 3)
    os._exit(0)
"""


@pytest.fixture(params=["tmpfs", "ext4"])
def disk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """A small disk; on the ext4, a block is smaller than a page of memory."""
    folder = tmp_path / "disk"
    folder.mkdir()
    commands = [["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(folder)]]
    if request.param == "ext4":
        (tmp_path / "image").write_bytes(bytes(8 << 20))
        commands = [
            ["mkfs.ext4", "-q", "-b", "1024", "-O", "^has_journal", "-m", "0", str(tmp_path / "image")],
            ["mount", "-o", "loop", str(tmp_path / "image"), str(folder)],
        ]
    for command in commands:
        try:
            subprocess.run(command, check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError):
            pytest.skip("no disk can be mounted here")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def fill(disk: Path, left: int = 0) -> None:
    """Fill a disk up to a number of bytes."""
    with (disk / "fill").open("ab", buffering=0) as file:
        state = os.statvfs(disk)
        n = state.f_bavail * state.f_frsize - left
        try:
            while n > 0:
                n -= file.write(bytes(min(n, 1024)))
        except OSError:
            pass


def read(file: Path, n: int) -> None:
    """Read a collection in two connections at once, as a server does."""
    with Collection.open(file, readonly=True) as collection:
        assert len(collection) == n and collection.path(3) == "a" * 30
        collection.check()


@pytest.fixture
def file(disk: Path) -> Path:
    with Collection.create(disk / "c", tiny_model(24)) as collection:
        collection.add(np.zeros((N, 3), np.uint8), ["a" * 30] * N)
    return disk / "c"


@pytest.mark.parametrize("left", [0, 1024, 4096, 20_000, 70_000, 300_000, 400_000])
def test_a_change_is_refused_and_reading_goes_on(disk: Path, file: Path, left: int) -> None:
    fill(disk, left)
    with Collection.open(file) as collection:
        with pytest.raises(GannetError, match="no space left on the disk") as error:
            collection.add(np.zeros((5000, 3), np.uint8), ["b" * 400] * 5000)
        assert "\n" not in str(error.value)
        assert len(collection) == N
        fill(disk)
        read(file, N)
    assert {path.name for path in disk.iterdir()} - {"lost+found"} == {"c", "fill"}
    before = file.read_bytes()
    read(file, N)
    assert file.read_bytes() == before
    (disk / "fill").unlink()
    with Collection.open(file) as collection:
        assert collection.add(np.zeros((1, 3), np.uint8), ["b"]).tolist() == [N]


@pytest.mark.parametrize("where", ["in the file", "in the log"])
def test_a_file_that_a_killed_program_left_with_a_log_is_read(disk: Path, file: Path, where: str) -> None:
    assert subprocess.run([sys.executable, "-c", CHANGE, str(file), where], check=True).returncode == 0
    file.with_name("c-shm").unlink()
    assert (file.with_name("c-wal").stat().st_size > 0) == (where == "in the log")
    fill(disk)
    before = file.read_bytes()
    if where == "in the file":
        with Collection.open(file, readonly=True) as one, Collection.open(file, readonly=True) as two:
            assert len(one) == len(two) == N + 2
        read(file, N + 2)
        assert file.read_bytes() == before
    else:
        read(file, N + 2)


def test_a_change_to_a_file_that_is_read_without_locks_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "c"
    with Collection.create(file, tiny_model(24)) as collection:
        collection.add(np.zeros((N, 3), np.uint8), ["a" * 30] * N)
    with monkeypatch.context() as patch:
        patch.setattr(os, "statvfs", lambda _: os.statvfs_result((4096, 4096, 10, 0, 0, 10, 0, 0, 0, 255)))
        assert log.lacks_space_to_read(file)
        reader = Collection.open(file)
        assert len(reader) == N
        with pytest.raises(GannetError, match="no space left"):
            reader.remove(0)
    with Collection.open(file) as collection:
        collection.remove(0)
    with pytest.raises(GannetError, match="was changed while it was read on a full disk; open it again"):
        len(reader)
    reader.close()


def test_a_server_goes_on_when_there_is_space_again(disk: Path, file: Path) -> None:
    fill(disk)
    with contextlib.closing(LiveCollection(file, editable=True)) as live, Collection.open(file) as collection:
        for change in (lambda: live.remove(1), lambda: collection.remove(1)):
            with pytest.raises(GannetError, match="no space left on the disk"):
                change()
        (disk / "fill").unlink()
        with pytest.raises(GannetError, match="was opened on a full disk, for reading only; open it again"):
            collection.remove(1)
        live.remove(1)
        with Collection.open(file) as other:
            other.remove(2)
        assert len(live) == N - 2
        fill(disk)
        with pytest.raises(GannetError, match="no space left on the disk"):
            live.remove(3)
        assert len(live) == N - 2 and live.search(np.zeros(3, np.uint8), 3).ids.tolist() == [0, 3, 4]


def test_a_quota_is_a_full_disk(tmp_path: Path) -> None:
    """The size of each file is limited, which no number of free bytes shows."""
    resource = pytest.importorskip("resource")
    file = tmp_path / "c"
    with Collection.create(file, tiny_model(24)) as collection:
        collection.add(np.zeros((N, 3), np.uint8), ["a" * 30] * N)
    subprocess.run([sys.executable, "-c", CHANGE, str(file), "in the file"], check=True)
    file.with_name("c-shm").unlink()
    old, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, old[1]))
    try:
        read(file, N + 2)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)
        signal.signal(signal.SIGXFSZ, handler)
