"""Messages for the errors of SQLite and of the system about a collection file."""

from __future__ import annotations

import contextlib
import errno
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from gannet.errors import GannetError


class DamagedError(Exception):
    """The content of the file is inconsistent; the message says where."""


@contextlib.contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn the errors of SQLite and of the system about the file at ``path`` into a `GannetError`."""
    try:
        yield
    except sqlite3.Error as error:
        raise GannetError(_explain(error, path)) from error
    except DamagedError as error:
        raise GannetError(damaged(path, str(error))) from error
    except UnicodeDecodeError as error:  # the error quotes text that cannot be decoded
        raise GannetError(damaged(path, "it was overwritten")) from error
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        raise GannetError(_full(path) if full else f"cannot use {path}: {error.strerror or error}") from error


def _explain(error: sqlite3.Error, path: Path) -> str:
    code = getattr(error, "sqlite_errorcode", None)
    if code == sqlite3.SQLITE_READONLY_DBMOVED:
        return moved(path)
    if code in (sqlite3.SQLITE_READONLY_ROLLBACK, sqlite3.SQLITE_READONLY_RECOVERY):
        return interrupted(path)
    if code in (sqlite3.SQLITE_IOERR_WRITE, sqlite3.SQLITE_IOERR_SHMSIZE, sqlite3.SQLITE_IOERR_SHMOPEN):
        return _full(path)
    match None if code is None else code & 0xFF:
        case sqlite3.SQLITE_FULL:
            return _full(path)
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return f"{path} is in use by another program; try again when that has finished"
        case sqlite3.SQLITE_NOTADB:
            return foreign(path)
        case sqlite3.SQLITE_CORRUPT:
            return damaged(path, "it was cut short or overwritten")
        case sqlite3.SQLITE_READONLY:
            return read_only(path)
        case sqlite3.SQLITE_CANTOPEN:
            return f"cannot open {path}; check that its folder exists and that you may write there"
        case sqlite3.SQLITE_TOOBIG:
            return f"a value in {path} is too large: at most 1 GB can be stored, and no more read than the file holds"
    return f"cannot use {path}: {error}"


def moved(path: Path) -> str:
    """Say that another file took the place of an open one."""
    return f"{path} was replaced or moved while it was open; open it again"


def interrupted(path: Path) -> str:
    """Say that a change cannot be undone for lack of permissions."""
    return f"a change to {path} was interrupted; open it once with permission to write, to complete or undo the change"


def read_only(path: Path) -> str:
    """Say that the file may not be changed."""
    return f"{path} is open for reading only; open it for writing, and check its permissions"


def being_read(path: Path, seconds: float) -> str:
    """Say that a reader kept a change from starting."""
    return (
        f"{path} is in use by another program; try again when that has finished (nothing was changed: this "
        f"program waited {seconds:g} s for others to finish reading or writing)"
    )


def _full(path: Path) -> str:
    return f"no space left on the disk for {path}; free some and try again (its contents are unchanged)"


def foreign(path: Path) -> str:
    """Say that the file is no collection."""
    return f"{path} is not a Gannet collection; make one with `gannet index`"


def damaged(path: Path, what: str) -> str:
    """Say which part is damaged, and how the file is restored."""
    return (
        f"{path} is damaged: {what}; restore it from a copy (first delete {path.name}-wal and {path.name}-shm, if they "
        "are there: they belong to the damaged file) or make it again with `gannet index`"
    )


def foreign_log(path: Path) -> str:
    """Say that a write-ahead log belongs to another state of the file."""
    return (
        f"{path.name}-wal beside {path} belongs to another file, as after a copy was restored over a collection whose "
        f"last change was interrupted: to use {path} as it is, delete {path.name}-wal and {path.name}-shm (nothing was "
        "read or changed)"
    )
