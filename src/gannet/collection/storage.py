"""The SQLite file of a collection: its schema, creation, connections, write-ahead log and error messages."""

from __future__ import annotations

import contextlib
import errno
import os
import sqlite3
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from gannet.errors import GannetError
from gannet.support.atomic import temporary_beside

APPLICATION_ID = 0x474E4E54  # "GNNT"
TIMEOUT = 5.0
"""Default for the seconds to wait while another program uses the file."""
_STEP_SECONDS = 0.1
_CACHE, _SMALL_CACHE = -(64 << 10), -(1 << 10)
"""Size of the page cache in KB; SQLite takes it as a negative number."""

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
FEATURES_SCHEMA = (
    "CREATE TABLE feature_length (n_features INTEGER NOT NULL)",
    "CREATE TABLE features (id INTEGER PRIMARY KEY, data BLOB NOT NULL, checksum INTEGER NOT NULL)",
)
SCHEMAS = {1: SCHEMA, 2: SCHEMA + FEATURES_SCHEMA}
"""Tables by version. A collection with features has version 2; others have version 1, which older readers know."""
_FEATURES_PAGE_BYTES = 16384
"""A row of features (2.5 KB for 1280 values) would waste much of a page of SQLite's default size, 4 KB."""


class DamagedError(Exception):
    """The content of the file is inconsistent; the message says where."""


def create(
    path: Path,
    collection: tuple[object, ...],
    model: bytes,
    n_features: int | None = None,
    overwrite: bool = False,
    timeout: float = TIMEOUT,
) -> None:
    """Create a collection file with its single ``collection`` row and its model, and tables for features if needed."""
    with complete_file(path, overwrite, timeout) as temporary:
        _write_new(temporary, collection, model, n_features)


@contextlib.contextmanager
def complete_file(path: Path, overwrite: bool = False, timeout: float = TIMEOUT) -> Iterator[Path]:
    """Yield a temporary path beside ``path``, and rename the file made there to ``path`` if the block succeeds.

    ``path`` therefore never holds an incomplete file. An existing file is an error unless ``overwrite``.
    """
    with explained(path):
        path = Path(os.path.realpath(path))
        if path.exists():
            _refuse_existing(path, overwrite)
        temporary = temporary_beside(path)
        try:
            yield temporary
            publish(temporary, path, overwrite, timeout)
        finally:
            temporary.unlink(missing_ok=True)
            _remove_side_files(temporary)


def connect(path: Path, readonly: bool, timeout: float = TIMEOUT) -> sqlite3.Connection:
    """Open a collection file, undo an interrupted change, and check the header and the schema."""
    with explained(path):
        if path.is_dir():
            raise GannetError(f"{path} is a folder; give the file of a collection")
        if not path.is_file():
            raise GannetError(f"there is no collection {path}; make one with `gannet index`")
        # `mode=rw` even for reading: only then can SQLite undo the change of a killed writer. If the file may not be
        # written, SQLite itself opens it for reading, which needs no side file with a rollback journal. `immutable=1`
        # would be wrong: it ignores an interrupted change, and one in progress.
        db = _connect(path, "rw", timeout)
        try:
            db.execute("PRAGMA trusted_schema = OFF")
            db.text_factory = lambda text: text.decode("utf-8", "replace")  # checked by the callers
            try:
                _check_header(db, path)
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode == sqlite3.SQLITE_CANTOPEN and _has_log(path):
                    raise GannetError(_interrupted(path)) from error
                raise
            # EXTRA also syncs the folder, so that a confirmed change survives a power cut.
            db.execute("PRAGMA synchronous = EXTRA")
            db.execute(f"PRAGMA cache_size = {_CACHE}")
            db.execute(f"PRAGMA query_only = {'ON' if readonly else 'OFF'}")
        except BaseException:
            db.close()
            raise
    return db


def begin_change(db: sqlite3.Connection, path: Path, identity: tuple[int, int] | None, timeout: float) -> None:
    """Begin a transaction that writes; readers see the state before it until it ends.

    ``identity`` is the result of `identify` when the file was opened.
    """
    if db.execute("PRAGMA query_only").fetchone()[0]:
        raise GannetError(_read_only(path))
    # Changed pages go to a log beside the file, so that others can go on reading the state before. To start the log,
    # SQLite needs exclusive access for a moment. It waits for that in short steps, as new readers wait meanwhile.
    give_up = time.monotonic() + timeout
    db.execute(f"PRAGMA busy_timeout = {round(1000 * min(_STEP_SECONDS, timeout))}")
    try:
        while True:
            try:
                db.execute("PRAGMA journal_mode = WAL")
                break
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > give_up:
                    raise
            time.sleep(_STEP_SECONDS / 10)
    finally:
        db.execute(f"PRAGMA busy_timeout = {round(1000 * timeout)}")
    db.execute("BEGIN IMMEDIATE")
    if identify(path) != identity:
        db.rollback()
        raise GannetError(_moved(path))


def end_change(db: sqlite3.Connection, timeout: float) -> None:
    """Copy a committed change from the log into the file, so that a copy of the file alone contains it.

    If others are reading at this moment, the next change does this, or the last connection when it is closed.
    """
    with contextlib.suppress(sqlite3.Error):  # the change is safe in the log
        db.execute("PRAGMA busy_timeout = 0")
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    db.execute(f"PRAGMA busy_timeout = {round(1000 * timeout)}")


@contextlib.contextmanager
def small_cache(db: sqlite3.Connection) -> Iterator[None]:
    """Use a small page cache in the block, for data that is read only once."""
    db.execute(f"PRAGMA cache_size = {_SMALL_CACHE}")
    try:
        yield
    finally:
        db.execute(f"PRAGMA cache_size = {_CACHE}")


@contextlib.contextmanager
def savepoint(db: sqlite3.Connection) -> Iterator[None]:
    """Run the block as a transaction within a transaction: if it fails, only its own changes are undone."""
    db.execute("SAVEPOINT inner")
    try:
        yield
    except BaseException:
        if db.in_transaction:  # a full disk ends the whole transaction
            db.execute("ROLLBACK TO inner")
            db.execute("RELEASE inner")
        raise
    db.execute("RELEASE inner")


def identify(path: Path) -> tuple[int, int] | None:
    """Return a value that changes if the file at ``path`` is replaced by another, or None if there is no file."""
    try:
        info = path.stat()
    except OSError:
        return None
    return info.st_dev, info.st_ino


def close(db: sqlite3.Connection, path: Path, identity: tuple[int, int] | None) -> None:
    """Close a connection; the last one leaves a single file, without a log beside it.

    ``identity`` is the result of `identify` when the file was opened.
    """
    with contextlib.suppress(sqlite3.Error):  # in use elsewhere, or not writable: the last connection does it
        db.execute("PRAGMA busy_timeout = 0")
        # The name of a log follows from its file's: if the file was replaced, the log belongs to the new file.
        if identify(path) == identity and db.execute("PRAGMA journal_mode").fetchone()[0] == "wal":
            db.execute("PRAGMA query_only = OFF")
            db.execute("PRAGMA journal_mode = DELETE")
    db.close()


def read_row(db: sqlite3.Connection, query: str, *types: type) -> tuple[Any, ...]:
    """Return the single row of ``query`` after a check of its types: SQLite columns can hold values of any type."""
    row = db.execute(query).fetchone()
    if row is None or not all(map(isinstance, row, types)):
        raise DamagedError("a required value is missing")
    return tuple(row)


def rows_in(db: sqlite3.Connection, query: str, values: Sequence[Any]) -> Iterator[tuple[Any, ...]]:
    """Yield the rows of ``query IN (values)``, by 500 values at a time, as SQLite limits their number."""
    for start in range(0, len(values), 500):
        batch = values[start : start + 500]
        yield from db.execute(f"{query} IN ({', '.join('?' * len(batch))})", batch)


@contextlib.contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn the errors of SQLite and of the system about the file at ``path`` into a `GannetError`."""
    try:
        yield
    except sqlite3.Error as error:
        raise GannetError(_explain(error, path)) from error
    except DamagedError as error:
        raise GannetError(_damaged(path, str(error))) from error
    except UnicodeDecodeError as error:  # the error quotes text that cannot be decoded
        raise GannetError(_damaged(path, "it was overwritten")) from error
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        raise GannetError(_full(path) if full else f"cannot use {path}: {error.strerror or error}") from error


def _explain(error: sqlite3.Error, path: Path) -> str:
    code = getattr(error, "sqlite_errorcode", None)
    if code == sqlite3.SQLITE_READONLY_DBMOVED:
        return _moved(path)
    if code in (sqlite3.SQLITE_READONLY_ROLLBACK, sqlite3.SQLITE_READONLY_RECOVERY):
        return _interrupted(path)
    match None if code is None else code & 0xFF:
        case sqlite3.SQLITE_FULL:
            return _full(path)
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return f"{path} is in use by another program; try again when that has finished"
        case sqlite3.SQLITE_NOTADB:
            return _foreign(path)
        case sqlite3.SQLITE_CORRUPT:
            return _damaged(path, "it was cut short or overwritten")
        case sqlite3.SQLITE_READONLY:
            return _read_only(path)
        case sqlite3.SQLITE_CANTOPEN:
            return f"cannot open {path}; check that its folder exists and that you may write there"
        case sqlite3.SQLITE_TOOBIG:
            return f"cannot store more than 1 GB in one piece in {path}; use a smaller model"
    return f"cannot use {path}: {error}"


def _moved(path: Path) -> str:
    return f"{path} was replaced or moved while it was open; open it again"


def _interrupted(path: Path) -> str:
    return f"a change to {path} was interrupted; open it once with permission to write, to complete or undo the change"


def _read_only(path: Path) -> str:
    return f"{path} is open for reading only; open it for writing, and check its permissions"


def _full(path: Path) -> str:
    return f"no space left on the disk for {path}; free some and try again (its contents are unchanged)"


def _foreign(path: Path) -> str:
    return f"{path} is not a Gannet collection; make one with `gannet index`"


def _damaged(path: Path, what: str) -> str:
    return f"{path} is damaged: {what}; restore it from a copy or make it again with `gannet index`"


def _connect(path: Path, mode: str, timeout: float = TIMEOUT) -> sqlite3.Connection:
    return sqlite3.connect(
        f"{path.absolute().as_uri()}?mode={mode}",
        uri=True,
        isolation_level=None,
        timeout=timeout,
        check_same_thread=False,
    )


def _check_header(db: sqlite3.Connection, path: Path) -> None:
    (application_id,) = db.execute("PRAGMA application_id").fetchone()
    (version,) = db.execute("PRAGMA user_version").fetchone()
    if application_id != APPLICATION_ID:
        raise GannetError(_foreign(path))
    if version > max(SCHEMAS):
        raise GannetError(
            f"{path} is a collection of version {version}, newer than this Gannet reads; upgrade gannet-hash"
        )
    # The statements must be equal word by word, so that no file can bring its own triggers or views.
    if {sql for (sql,) in db.execute("SELECT sql FROM sqlite_master")} != set(SCHEMAS.get(version, ())):
        raise DamagedError("its tables are not those of a collection")


def _has_log(path: Path) -> bool:
    """Return whether the header says that the file has a write-ahead log (SQLite's file format, 1.3.3)."""
    with path.open("rb") as file:
        return file.read(20)[18:] == b"\x02\x02"


def _write_new(path: Path, collection: tuple[object, ...], model: bytes, n_features: int | None) -> None:
    version = 1 if n_features is None else 2
    with contextlib.closing(_connect(path, "rwc")) as db:
        if n_features is not None:
            db.execute(f"PRAGMA page_size = {_FEATURES_PAGE_BYTES}")
        # No other program knows this file yet, so it needs no journal; the commit still syncs it.
        db.execute("PRAGMA journal_mode = OFF")
        db.execute("PRAGMA synchronous = FULL")
        db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        db.execute(f"PRAGMA user_version = {version}")
        db.execute("BEGIN")
        for statement in SCHEMAS[version]:
            db.execute(statement)
        if n_features is not None:
            db.execute("INSERT INTO feature_length VALUES (?)", (n_features,))
        db.execute(f"INSERT INTO collection VALUES ({', '.join('?' * len(collection))})", collection)
        db.execute("INSERT INTO model VALUES (?)", (model,))
        db.execute("COMMIT")


def publish(temporary: Path, path: Path, overwrite: bool, timeout: float) -> None:
    """Rename a complete file to ``path`` durably; an existing file is an error unless ``overwrite``."""
    if _side_file(temporary, "-wal").exists():  # the disk was too full to copy the log into the file
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    if path.exists():
        _refuse_existing(path, overwrite)
        with _exclusive(path, timeout):
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
def _exclusive(path: Path, timeout: float) -> Iterator[None]:
    """Hold an exclusive lock on an existing file, so that no writer's journal is left beside the file replacing it."""
    with contextlib.closing(_connect(path, "rw", timeout)) as db:
        try:
            db.execute("PRAGMA journal_mode = DELETE")  # fails while others use its log
            db.execute("BEGIN EXCLUSIVE")
        except sqlite3.DatabaseError as error:
            if error.sqlite_errorcode not in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT):
                raise
        yield


def _remove_side_files(path: Path) -> None:
    """Remove the logs that a killed program left beside ``path``: SQLite would take them for part of a new file."""
    for suffix in ("-journal", "-wal", "-shm"):
        _side_file(path, suffix).unlink(missing_ok=True)


def _side_file(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)


def _rename_new(temporary: Path, path: Path, overwrite: bool) -> None:
    try:
        os.link(temporary, path)  # unlike a rename, this never replaces a file made meanwhile
    except FileExistsError:
        _refuse_existing(path, overwrite)
        temporary.replace(path)
    except OSError:  # a file system without hard links
        temporary.replace(path)
