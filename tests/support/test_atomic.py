"""Files that appear complete or not at all, and what killed programs leave of them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from gannet.errors import GannetError
from gannet.support.atomic import replace_file, temporary_beside, write_atomically

WRITE_HALF = """
import os, signal, sys
from pathlib import Path
from gannet.support.atomic import temporary_beside
with temporary_beside(Path(sys.argv[1])) as temporary:
    temporary.write_bytes(b"half")
    print("written", flush=True)
    sys.stdin.read()
"""


def writer(path: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", WRITE_HALF, str(path)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout and process.stdout.readline() == "written\n"
    return process


def test_the_next_run_removes_only_the_leftovers_of_killed_ones(tmp_path: Path) -> None:
    pytest.importorskip("fcntl")
    mine = [tmp_path / name for name in (".gannet-mine", ".0123456789abcdef.tmp", "notes.tmp")]
    for path in mine:
        path.write_text("mine")
    with writer(tmp_path / "a") as killed, writer(tmp_path / "b") as running:
        killed.send_signal(signal.SIGKILL)
        killed.wait()
        assert len(list(tmp_path.iterdir())) == 5
        replace_file(tmp_path / "c", b"c")
        left = {path for path in tmp_path.iterdir() if path.is_dir()}
        assert len(left) == 1 and [path.read_bytes() for path in left.pop().iterdir()] == [b"half"]
        assert running.stdin
        running.stdin.close()
        assert running.wait() == 0
    assert sorted(tmp_path.iterdir()) == sorted([*mine, tmp_path / "c"])


def test_a_file_is_synced_with_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[Path] = []
    fsync = os.fsync

    def record(descriptor: int) -> None:
        synced.append(Path(f"/proc/self/fd/{descriptor}").readlink())
        fsync(descriptor)

    if not Path("/proc/self/fd").exists():
        pytest.skip("needs /proc")
    monkeypatch.setattr(os, "fsync", record)
    write_atomically(tmp_path / "file", b"data")
    assert [path.parent.name.startswith(".gannet-") for path in synced] == [True, False]
    assert synced[1] == tmp_path and (tmp_path / "file").read_bytes() == b"data"


def test_an_error_leaves_the_existing_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("old")
    with pytest.raises(RuntimeError), temporary_beside(tmp_path / "file") as temporary:
        temporary.write_text("new")
        raise RuntimeError
    (tmp_path / "folder").mkdir()
    for target in (tmp_path / "folder", tmp_path / "none" / "file"):
        with pytest.raises(GannetError, match="cannot write"):
            write_atomically(target, b"data")
    assert {path.name for path in tmp_path.iterdir()} == {"file", "folder"}
    assert (tmp_path / "file").read_text() == "old"
