"""The SQLite file under a collection: its schema, how it is made and opened, and what its errors mean."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from gannet.errors import GannetError

APPLICATION_ID = 0x474E4E54  # "GNNT"
VERSION = 1
WAIT_SECONDS = 5.0

SCHEMA = (
    "CREATE TABLE collection (n_bits INTEGER NOT NULL, model_id TEXT NOT NULL, created TEXT NOT NULL, "
    "changed TEXT NOT NULL, next_id INTEGER NOT NULL)",
    "CREATE TABLE model (data BLOB NOT NULL)",
    "CREATE TABLE items (id INTEGER PRIMARY KEY, path BLOB NOT NULL, digest BLOB)",
    "CREATE INDEX items_by_path ON items (path)",
    "CREATE INDEX items_by_digest ON items (digest) WHERE digest IS NOT NULL",
    "CREATE TABLE segments (number INTEGER PRIMARY KEY, offsets BLOB NOT NULL, codes BLOB NOT NULL, "
    "checksum INTEGER NOT NULL)",
)


class DamagedError(Exception):
    """The file's content contradicts itself; the message says where."""


def create(path: Path, collection: tuple[object, ...], model: bytes, overwrite: bool) -> None:
    """Make a collection file with its one ``collection`` row and its model.

    It is written under a temporary name beside ``path`` and then renamed, so ``path`` never holds half of it.
    """
    with explained(path):
        path = path.resolve()
        if path.exists():
            _refuse_existing(path, overwrite)
        temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
        try:
            _write_new(temporary, collection, model)
            publish(temporary, path, overwrite)
        finally:
            temporary.unlink(missing_ok=True)


def connect(path: Path, readonly: bool) -> sqlite3.Connection:
    """Open a collection file, rolling back a change that was cut off, and check that it is one."""
    with explained(path):
        if not path.is_file():
            raise GannetError(f"there is no collection {path}; make one with `gannet index`")
        # `mode=rw` even to read: only then can SQLite roll back what a killed writer left. Where the file
        # may not be written, SQLite by itself opens it to read, which with a rollback journal needs no side
        # file; `immutable=1` would be wrong, as it passes over such a half-made change.
        db = _connect(path, "rw")
        try:
            db.execute("PRAGMA trusted_schema = OFF")
            db.text_factory = lambda text: text.decode("utf-8", "replace")  # checked where it is used
            _check_header(db, path)
            # The rollback journal, not WAL: between changes there is exactly one file, which can be copied
            # and read from any medium or network share, and new pages are written once. EXTRA also syncs
            # the folder, so that a change once reported outlives a power cut. The price, that readers wait
            # while a change is written out, is small: reads are short, and a change within the cache is
            # written at its end.
            db.execute("PRAGMA journal_mode = DELETE")
            db.execute("PRAGMA synchronous = EXTRA")
            db.execute("PRAGMA cache_size = -65536")  # 64 MiB
            db.execute(f"PRAGMA query_only = {'ON' if readonly else 'OFF'}")
        except BaseException:
            db.close()
            raise
    return db


def read_row(db: sqlite3.Connection, query: str, *types: type) -> tuple[Any, ...]:
    """Return the one row of ``query``, its values of these types: SQLite keeps any value in any column."""
    row = db.execute(query).fetchone()
    if row is None or not all(map(isinstance, row, types)):
        raise DamagedError("a value that it must have is missing")
    return tuple(row)


@contextlib.contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn what can go wrong with the file at ``path`` into a `GannetError` that says what to do."""
    try:
        yield
    except sqlite3.Error as error:
        raise GannetError(_explain(error, path)) from error
    except DamagedError as error:
        raise GannetError(_damaged(path, str(error))) from error
    except UnicodeDecodeError as error:  # SQLite's own message quotes what it cannot read
        raise GannetError(_damaged(path, "it was overwritten")) from error
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        raise GannetError(_full(path) if full else f"cannot use {path}: {error.strerror or error}") from error


def _explain(error: sqlite3.Error, path: Path) -> str:
    code = getattr(error, "sqlite_errorcode", None)
    if code == sqlite3.SQLITE_READONLY_DBMOVED:
        return f"{path} was replaced or moved while it was open; open it again"
    if code in (sqlite3.SQLITE_READONLY_ROLLBACK, sqlite3.SQLITE_READONLY_RECOVERY):
        return f"a change to {path} was cut off; open it once where it can be written, to roll that back"
    match None if code is None else code & 0xFF:
        case sqlite3.SQLITE_FULL:
            return _full(path)
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return f"{path} is being changed by another program; try again when that has finished"
        case sqlite3.SQLITE_NOTADB:
            return _foreign(path)
        case sqlite3.SQLITE_CORRUPT:
            return _damaged(path, "it was cut short or overwritten")
        case sqlite3.SQLITE_READONLY:
            return f"{path} is open for reading only; open it for writing, and check its permissions"
        case sqlite3.SQLITE_CANTOPEN:
            return f"cannot open {path}; check that its folder exists and that you may write there"
        case sqlite3.SQLITE_TOOBIG:
            return f"cannot store more than 1 GB in one piece in {path}; use a smaller model"
    return f"cannot use {path}: {error}"


def _full(path: Path) -> str:
    return f"no space left on the disk for {path}; free some and try again (what it held is unchanged)"


def _foreign(path: Path) -> str:
    return f"{path} is not a Gannet collection; make one with `gannet index`"


def _damaged(path: Path, what: str) -> str:
    return f"{path} is damaged: {what}; restore it from a copy or make it again with `gannet index`"


def _connect(path: Path, mode: str) -> sqlite3.Connection:
    return sqlite3.connect(
        f"{path.absolute().as_uri()}?mode={mode}",
        uri=True,
        isolation_level=None,
        timeout=WAIT_SECONDS,
        check_same_thread=False,
    )


def _check_header(db: sqlite3.Connection, path: Path) -> None:
    (application_id,) = db.execute("PRAGMA application_id").fetchone()
    (version,) = db.execute("PRAGMA user_version").fetchone()
    if application_id != APPLICATION_ID:
        raise GannetError(_foreign(path))
    if version > VERSION:
        raise GannetError(
            f"{path} is a collection of version {version}, newer than this Gannet reads; upgrade gannet-hash"
        )
    # Word for word, so that no file can bring triggers or views of its own.
    if {sql for (sql,) in db.execute("SELECT sql FROM sqlite_master")} != set(SCHEMA):
        raise DamagedError("its tables are not those of a collection")


def _write_new(path: Path, collection: tuple[object, ...], model: bytes) -> None:
    with contextlib.closing(_connect(path, "rwc")) as db:
        # Nobody else sees this file yet, so it needs no journal; the commit still syncs it.
        db.execute("PRAGMA journal_mode = OFF")
        db.execute("PRAGMA synchronous = FULL")
        db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        db.execute(f"PRAGMA user_version = {VERSION}")
        db.execute("BEGIN")
        for statement in SCHEMA:
            db.execute(statement)
        db.execute(f"INSERT INTO collection VALUES ({', '.join('?' * len(collection))})", collection)
        db.execute("INSERT INTO model VALUES (?)", (model,))
        db.execute("COMMIT")


def publish(temporary: Path, path: Path, overwrite: bool = False) -> None:
    """Rename a finished file to its place, durably; an existing one is an error unless ``overwrite``."""
    if path.exists():
        _refuse_existing(path, overwrite)
        with _alone(path):
            _remove_side_files(path)
            temporary.replace(path)
    else:
        _remove_side_files(path)
        _rename_new(temporary, path, overwrite)
    with contextlib.suppress(PermissionError):  # a folder cannot be opened on Windows
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _refuse_existing(path: Path, overwrite: bool) -> None:
    if path.is_dir():
        raise GannetError(f"{path} is a folder; give the name of a file to make")
    if not overwrite:
        raise GannetError(f"{path} exists already; choose another name or ask to overwrite it")


@contextlib.contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Hold the only lock on an existing file: a writer's journal must not outlive the file it belongs to."""
    with contextlib.closing(_connect(path, "rw")) as db:
        try:
            db.execute("BEGIN EXCLUSIVE")
        except sqlite3.DatabaseError as error:
            if error.sqlite_errorcode not in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT):
                raise
        yield


def _remove_side_files(path: Path) -> None:
    """Remove what a killed program left beside ``path``: SQLite would take it for part of the new file."""
    for suffix in ("-journal", "-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)


def _rename_new(temporary: Path, path: Path, overwrite: bool) -> None:
    try:
        os.link(temporary, path)  # unlike a rename, never replaces a file made meanwhile
    except FileExistsError:
        _refuse_existing(path, overwrite)
        temporary.replace(path)
    except OSError:  # a file system without hard links
        temporary.replace(path)
