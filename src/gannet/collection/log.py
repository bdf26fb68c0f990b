"""The write-ahead log beside a collection file: whether it belongs to the file, and whether there is room for it."""

from __future__ import annotations

import contextlib
import errno
import os
import sqlite3
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from gannet.collection import schema
from gannet.collection.errors import foreign_log
from gannet.errors import GannetError

_TRIES = 5
_HEADER, _FRAME = struct.Struct(">8I"), struct.Struct(">6I")
"""Headers of the log and of a frame in it (SQLite's file format, 4.1)."""
_VERSION_AT = 60
"""Position of the schema's version in the first page of a file."""
_INDEX_BYTES = 1 << 15
"""Size of the file in shared memory by which SQLite finds pages in a log."""
_LEAST_FREE_BYTES = 1 << 18


def side_file(path: Path, suffix: str) -> Path:
    """Return the path of the file ``-journal``, ``-wal`` or ``-shm`` beside a collection."""
    return path.with_name(path.name + suffix)


class Base(NamedTuple):
    """Content of a file without its log: the version of its tables and its state, which is empty in older versions."""

    version: int
    state: bytes


def read_base(path: Path) -> Base | None:
    """Return version and state of the file without its log; None if it cannot be read.

    The file is opened by SQLite: if this program closed it after opening it by itself, POSIX systems would release the
    locks of its other connections.
    """
    uri = f"{path.absolute().as_uri()}?mode=ro&immutable=1"
    with contextlib.suppress(sqlite3.Error), contextlib.closing(sqlite3.connect(uri, uri=True)) as db:
        version = schema.version(db)
        if version < schema.VERSION:
            return Base(version, b"")
        (state,) = db.execute("SELECT state FROM collection").fetchone() or (None,)
        if isinstance(state, bytes) and state:
            return Base(version, state)
    return None


def check_log(path: Path) -> None:
    """Raise a `GannetError` if there is a log beside the file that holds changes to another state of the file.

    SQLite itself would apply the log of a killed program to any file of that name, such as a restored copy. Here, every
    change in the log names the state that it follows, so one of them names the state of the file.
    """
    with contextlib.suppress(OSError):
        if side_file(path, "-wal").stat().st_size < _HEADER.size:
            return
    for _ in range(_TRIES):  # the log may change meanwhile
        base = read_base(path)
        if base is None or _follows(path, base):
            return
    if base == read_base(path):
        raise GannetError(foreign_log(path))


def has_state(path: Path, base: Base) -> bool:
    """Return whether the log has a change that made or follows a state."""
    return any(base.state in page for _, _, page in _frames(path))


def _follows(path: Path, base: Base) -> bool:
    """Return whether the log has no complete change, or one that made or follows the state of the file."""
    complete = False
    for number, size, page in _frames(path):
        complete |= size > 0
        if base.version == schema.VERSION:
            if base.state in page:
                return True
        elif number == 1 and int.from_bytes(page[_VERSION_AT : _VERSION_AT + 4], "big") >= schema.VERSION:
            return False
    return not complete or base.version < schema.VERSION


def _frames(path: Path) -> Iterator[tuple[int, int, bytes]]:
    """Yield the number of each page in the log, the size of the file after a complete change or 0, and the page."""
    try:
        log = side_file(path, "-wal").open("rb")
    except OSError:
        return
    with log:
        header = log.read(_HEADER.size)
        if len(header) < _HEADER.size:
            return
        _, _, page_bytes, _, *salts, _, _ = _HEADER.unpack(header)
        if not 512 <= page_bytes <= 65536:
            return
        while len(frame := log.read(_FRAME.size + page_bytes)) == _FRAME.size + page_bytes:
            number, size, *frame_salts, _, _ = _FRAME.unpack_from(frame)
            if frame_salts != salts:  # left from before the log was begun again
                return
            yield number, size, frame[_FRAME.size :]


def check_space(path: Path) -> None:
    """Raise an `OSError` if there is no room for a log: a file in this mode could not be read until there is."""
    if _free_bytes(path) < _LEAST_FREE_BYTES:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def lacks_space_to_read(path: Path) -> bool:
    """Return whether the disk has no room for the file that SQLite needs to read a file with a log."""
    if _free_bytes(path) >= 2 * _INDEX_BYTES:
        return False
    try:
        index = side_file(path, "-shm").stat()
    except OSError:
        return True
    # The file can have holes; to write into one on a full disk would end the process.
    return 512 * index.st_blocks < _INDEX_BYTES


def _free_bytes(path: Path) -> int:
    if not hasattr(os, "statvfs"):
        return _LEAST_FREE_BYTES
    disk = os.statvfs(path.absolute().parent)
    return disk.f_bavail * disk.f_frsize if disk.f_blocks else _LEAST_FREE_BYTES  # some systems report nothing
