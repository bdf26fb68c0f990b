"""Files that appear complete or not at all."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

from gannet.errors import GannetError

_PREFIX, _SUFFIX = ".gannet-", ".tmp"


@contextlib.contextmanager
def temporary_beside(path: Path) -> Iterator[Path]:
    """Yield a new path from which a file can be renamed to ``path``.

    It lies in a hidden folder beside ``path``, which is removed afterwards. This program holds a lock on the folder, by
    which others see that it is in use; folders that killed programs left are removed first.
    """
    _remove_leftovers(path.parent)
    while True:
        folder = path.with_name(f"{_PREFIX}{secrets.token_hex(8)}{_SUFFIX}")
        folder.mkdir()
        with contextlib.suppress(FileNotFoundError, BlockingIOError):  # taken for a leftover before it was locked
            lock = _lock(folder)
            break
    try:
        yield folder / path.name
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        if lock is not None:
            os.close(lock)


def replace_file(path: Path, data: bytes) -> None:
    """Replace the contents of the file at ``path`` in one step; raise an `OSError` if it cannot be written."""
    path = Path(os.path.realpath(path))  # unlike `Path.resolve`, it accepts a link to itself
    with temporary_beside(path) as temporary:
        with temporary.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        sync_folder(path.parent)


def write_atomically(path: Path, data: bytes) -> None:
    """Do what `replace_file` does, but raise a `GannetError` if the file cannot be written."""
    try:
        replace_file(path, data)
    except OSError as error:
        raise GannetError(f"cannot write {os.path.realpath(path)}: {error.strerror}") from None


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable, so that a new file is still there after a power cut."""
    with contextlib.suppress(PermissionError):  # a folder cannot be opened on Windows
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _remove_leftovers(folder: Path) -> None:
    """Remove the temporary folders that no running program has locked; none if the system has no locks."""
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        names = [entry.name for entry in entries if entry.name.startswith(_PREFIX) and entry.name.endswith(_SUFFIX)]
        for name in names:
            with contextlib.suppress(OSError):
                lock = _lock(folder / name)
                if lock is not None:
                    shutil.rmtree(folder / name, ignore_errors=True)
                    os.close(lock)


def _lock(folder: Path) -> int | None:
    """Lock a folder until the returned descriptor is closed; None where the system has no such locks.

    Raises a `BlockingIOError` if it is locked.
    """
    try:
        import fcntl
    except ImportError:
        return None
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        folder.stat()  # it may have been removed before it was locked
    except (BlockingIOError, FileNotFoundError):
        os.close(descriptor)
        raise
    except OSError:  # as on some network drives
        os.close(descriptor)
        return None
    return descriptor
