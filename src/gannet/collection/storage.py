"""The SQLite file of a collection: its creation, its connections, and the beginning and end of changes."""

from __future__ import annotations

import contextlib
import errno
import os
import sqlite3
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from gannet.collection import errors
from gannet.collection.errors import DamagedError, explained
from gannet.collection.log import check_log, check_space, has_state, lacks_space_to_read, read_base, side_file
from gannet.collection.schema import SCHEMA, SCHEMAS, VERSION, Header, read_header, upgrade, version, write_header
from gannet.errors import GannetError
from gannet.support.atomic import sync_folder, temporary_beside

APPLICATION_ID = 0x474E4E54  # "GNNT"
TIMEOUT = 30.0
"""Default for the seconds to wait while another program uses the file."""
_STEP_SECONDS = 0.1
_CACHE, _SMALL_CACHE = -(64 << 10), -(1 << 10)
"""Size of the page cache in KB; SQLite takes it as a negative number."""

_FEATURES_PAGE_BYTES = 16384
"""A row of features (2.5 KB for 1280 values) would waste much of a page of SQLite's default size, 4 KB."""
_LEAST_LENGTH_LIMIT = 1 << 26


class Connection(sqlite3.Connection):
    """A connection to a collection file.

    ``frozen`` is the size and time of a file that is read without locks, as its disk has no room for them, or None.
    ``full`` is whether the disk itself was full then, and not, for example, the quota of a user.
    ``birth`` are the unchangeable values of the file's header, and ``generation`` is the largest seen so far.
    """

    frozen: tuple[int, int] | None = None
    full = False
    birth: tuple[object, ...] = ()
    generation = 0


def create(path: Path, header: Header, model: bytes, overwrite: bool = False, timeout: float = TIMEOUT) -> None:
    """Create a collection file with its header and its model."""
    with complete_file(path, overwrite, timeout) as temporary:
        _write_new(temporary, header, model)


@contextlib.contextmanager
def complete_file(path: Path, overwrite: bool = False, timeout: float = TIMEOUT) -> Iterator[Path]:
    """Yield a temporary path beside ``path``, and rename the file made there to ``path`` if the block succeeds.

    ``path`` therefore never holds an incomplete file. An existing file is an error unless ``overwrite``.
    """
    with explained(path):
        path = Path(os.path.realpath(path))
        if path.exists():
            _refuse_existing(path, overwrite)
        if not path.parent.is_dir():
            raise GannetError(f"cannot open {path}; check that its folder exists and that you may write there")
        with temporary_beside(path) as temporary:
            yield temporary
            publish(temporary, path, overwrite, timeout)


def connect(path: Path, readonly: bool, timeout: float = TIMEOUT) -> Connection:
    """Open a collection file, undo an interrupted change, and check the header and the schema."""
    with explained(path):
        if path.is_dir():
            raise GannetError(f"{path} is a folder; give the file of a collection")
        if not path.is_file():
            raise GannetError(f"there is no collection {path}; make one with `gannet index`")
        check_log(path)
        if lacks_space_to_read(path):
            return _connect_on_full_disk(path, readonly, timeout)
        try:
            # `mode=rw` even for reading: only then can SQLite undo the change of a killed writer. If the file may not
            # be written, SQLite itself opens it for reading, which needs no side file with a rollback journal.
            # `immutable=1` would be wrong: it ignores an interrupted change, and one in progress.
            return _prepared(_connect(path, "rw", timeout), path, readonly)
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF not in (sqlite3.SQLITE_IOERR, sqlite3.SQLITE_FULL):
                raise
        return _connect_on_full_disk(path, readonly, timeout)  # the quota of a user, for example


def _prepared(db: Connection, path: Path, readonly: bool) -> Connection:
    """Check the header and the schema of an open file, and set up the connection."""
    try:
        db.execute("PRAGMA trusted_schema = OFF")
        # A crafted file may claim values of a gigabyte; SQLite would take the memory before it looks for them.
        db.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, min(max(path.stat().st_size, _LEAST_LENGTH_LIMIT), 10**9))
        db.text_factory = lambda text: text.decode("utf-8", "replace")  # checked by the callers
        try:
            _check_header(db, path)
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode == sqlite3.SQLITE_CANTOPEN and _has_log(path):
                raise GannetError(errors.interrupted(path)) from error
            raise
        header = read_header(db)
        db.birth, db.generation = _birth(header), header.generation
        # EXTRA also syncs the folder, so that a confirmed change survives a power cut.
        db.execute("PRAGMA synchronous = EXTRA")
        db.execute(f"PRAGMA cache_size = {_CACHE}")
        db.execute(f"PRAGMA query_only = {'ON' if readonly else 'OFF'}")
    except BaseException:
        db.close()
        raise
    return db


def _connect_on_full_disk(path: Path, readonly: bool, timeout: float) -> Connection:
    """Open a file without writing a byte.

    To read a file with a write-ahead log, SQLite needs a further file, unless it has the file for itself. Without
    pending changes in a log or a journal, the file is read without any locks, and `check_unchanged` detects changes.
    """
    frozen = stamp(path)
    logs = (side_file(path, "-wal"), side_file(path, "-journal"))
    if any(log.exists() and log.stat().st_size for log in logs):
        db = _connect(path, "rw", timeout)
        db.execute("PRAGMA locking_mode = EXCLUSIVE")
        return _prepared(db, path, readonly)
    db = _prepared(_connect(path, "ro&immutable=1", timeout), path, readonly)
    db.frozen, db.full = frozen, lacks_space_to_read(path)
    return db


def check_unchanged(db: Connection, path: Path) -> None:
    """Raise a `GannetError` if a file that is read without locks has changed."""
    if db.frozen is not None and stamp(path) != db.frozen:
        raise GannetError(f"{path} was changed while it was read on a full disk; open it again")


def is_outdated(db: Connection, path: Path) -> bool:
    """Return whether a file that is read without locks should be opened again: it has changed, or its disk has room."""
    if db.frozen is None or not path.exists():
        return False
    return stamp(path) != db.frozen or (db.full and not lacks_space_to_read(path))


def begin_change(db: Connection, path: Path, identity: tuple[int, int] | None, timeout: float) -> None:
    """Begin a transaction that writes; readers see the state before it until it ends.

    A file of an older version is upgraded first, in a transaction of its own. ``identity`` is the result of `identify`
    when the file was opened.
    """
    if db.execute("PRAGMA query_only").fetchone()[0]:
        raise GannetError(errors.read_only(path))
    if is_outdated(db, path):
        raise GannetError(f"{path} was opened on a full disk, for reading only; open it again")
    if db.frozen is not None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    if _is_other(db, path, identity):
        raise GannetError(errors.moved(path))
    _start_log(db, path, timeout)
    db.execute("BEGIN IMMEDIATE")
    try:
        if is_replaced(db, path, identity):
            raise GannetError(errors.moved(path))
        write_header(db, read_header(db).next())
    except BaseException:
        db.rollback()
        raise


def is_replaced(db: Connection, path: Path, identity: tuple[int, int] | None) -> bool:
    """Return whether another file or another copy of it has taken the place of an open file.

    A change that another program makes at this moment may be taken for that, too.
    """
    if _is_other(db, path, identity):
        return True
    # The cache and the log of SQLite do not describe a file that was overwritten in place.
    base = read_base(path)
    return base is None or (base.state != read_header(db).state and not has_state(path, base))


def _is_other(db: Connection, path: Path, identity: tuple[int, int] | None) -> bool:
    """Return whether an open file has another place, other unchangeable values or an older state than it had."""
    header = read_header(db)
    return identify(path) != identity or _birth(header) != db.birth or header.generation < db.generation


def _start_log(db: Connection, path: Path, timeout: float) -> None:
    """Make changed pages go to a log beside the file, so that others can go on reading the state before.

    To start the log, SQLite needs exclusive access for a moment. It waits for that in short steps, as new readers wait
    meanwhile.
    """
    give_up = time.monotonic() + timeout
    db.execute(f"PRAGMA busy_timeout = {round(1000 * min(_STEP_SECONDS, timeout))}")
    try:
        while True:
            try:
                if _renew(db, path):
                    db.execute("PRAGMA journal_mode = WAL")
                return
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
                    raise
                if time.monotonic() > give_up:
                    raise GannetError(errors.being_read(path, timeout)) from None
            time.sleep(_STEP_SECONDS / 10)
    finally:
        db.execute(f"PRAGMA busy_timeout = {round(1000 * timeout)}")


def _renew(db: Connection, path: Path) -> bool:
    """Give a file without a log a new state, and upgrade one of an older version; return whether it has no log.

    A log that is started afterwards cannot be taken for the log of a copy that was made before, and a log never holds
    the upgrade itself.
    """
    has_log = db.execute("PRAGMA journal_mode").fetchone()[0] == "wal"
    if has_log and version(db) == VERSION:
        return False
    check_space(path)
    if has_log:
        db.execute("PRAGMA journal_mode = DELETE")
    db.execute("BEGIN IMMEDIATE")
    try:
        if version(db) < VERSION:
            upgrade(db)
        else:
            write_header(db, read_header(db).next())
        db.execute("COMMIT")
    finally:
        if db.in_transaction:
            db.rollback()
    return True


def end_change(db: Connection, timeout: float) -> None:
    """Copy a committed change from the log into the file, so that a copy of the file alone contains it.

    If others are reading at this moment, the next change does this, or the last connection when it is closed.
    """
    with contextlib.suppress(sqlite3.Error):  # the change is safe in the log
        db.generation = read_header(db).generation
        db.execute("PRAGMA busy_timeout = 0")
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    db.execute(f"PRAGMA busy_timeout = {round(1000 * timeout)}")


def remove_log(db: Connection, path: Path, identity: tuple[int, int] | None) -> None:
    """Leave a single file, without a log beside it, unless another connection uses the log.

    After a change that failed because the disk is full, this frees the space that its log took.
    """
    # The name of a log follows from its file's: if the file was replaced, the log belongs to the new file.
    if db.frozen is not None or identify(path) != identity:
        return
    with contextlib.suppress(sqlite3.Error, OSError):  # in use elsewhere, or not writable: the last connection does it
        (timeout,) = db.execute("PRAGMA busy_timeout").fetchone()
        (query_only,) = db.execute("PRAGMA query_only").fetchone()
        db.execute("PRAGMA busy_timeout = 0")
        db.execute("PRAGMA query_only = OFF")
        try:
            if db.execute("PRAGMA journal_mode").fetchone()[0] == "wal":
                db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
                db.execute("PRAGMA journal_mode = DELETE")
            elif (journal := side_file(path, "-journal")).exists():
                db.execute("BEGIN IMMEDIATE")  # no other program is changing the file, and none needs the journal
                journal.unlink()
                db.rollback()
        finally:
            db.execute(f"PRAGMA query_only = {query_only}")
            db.execute(f"PRAGMA busy_timeout = {timeout}")


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


def stamp(path: Path) -> tuple[int, int] | None:
    """Return the size and the time of change of the file at ``path``, or None if there is no file."""
    try:
        info = path.stat()
    except OSError:
        return None
    return info.st_size, info.st_mtime_ns


def close(db: Connection, path: Path, identity: tuple[int, int] | None) -> None:
    """Close a connection; the last one leaves a single file.

    ``identity`` is the result of `identify` when the file was opened.
    """
    remove_log(db, path, identity)
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
        # Fetched at once: a caller that stops, at a damaged row for example, leaves no open cursor.
        yield from db.execute(f"{query} IN ({', '.join('?' * len(batch))})", batch).fetchall()


def _birth(header: Header) -> tuple[object, ...]:
    return header.n_bits, header.model_id, header.created, header.n_features


def _connect(path: Path, mode: str, timeout: float = TIMEOUT) -> Connection:
    return sqlite3.connect(
        f"{path.absolute().as_uri()}?mode={mode}",
        uri=True,
        isolation_level=None,
        timeout=timeout,
        check_same_thread=False,
        factory=Connection,
    )


def _check_header(db: sqlite3.Connection, path: Path) -> None:
    (application_id,) = db.execute("PRAGMA application_id").fetchone()
    if application_id != APPLICATION_ID:
        raise GannetError(errors.foreign(path))
    if version(db) > VERSION:
        raise GannetError(
            f"{path} is a collection of version {version(db)}, newer than this Gannet reads; upgrade gannet-hash"
        )
    # The statements must be equal word by word, so that no file can bring its own triggers or views.
    if {sql for (sql,) in db.execute("SELECT sql FROM sqlite_master")} != set(SCHEMAS.get(version(db), ())):
        raise DamagedError("its tables are not those of a collection")


def _has_log(path: Path) -> bool:
    """Return whether the header says that the file has a write-ahead log (SQLite's file format, 1.3.3)."""
    with path.open("rb") as file:
        return file.read(20)[18:] == b"\x02\x02"


def _write_new(path: Path, header: Header, model: bytes) -> None:
    with contextlib.closing(_connect(path, "rwc")) as db:
        if header.n_features is not None:
            db.execute(f"PRAGMA page_size = {_FEATURES_PAGE_BYTES}")
        # No other program knows this file yet, so it needs no journal; the commit still syncs it.
        db.execute("PRAGMA journal_mode = OFF")
        db.execute("PRAGMA synchronous = FULL")
        db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        db.execute(f"PRAGMA user_version = {VERSION}")
        db.execute("BEGIN")
        for statement in SCHEMA:
            db.execute(statement)
        write_header(db, header, first=True)
        db.execute("INSERT INTO model VALUES (?)", (model,))
        db.execute("COMMIT")


def publish(temporary: Path, path: Path, overwrite: bool, timeout: float) -> None:
    """Rename a complete file to ``path`` durably; an existing file is an error unless ``overwrite``."""
    if side_file(temporary, "-wal").exists():  # the disk was too full to copy the log into the file
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    if path.exists():
        _refuse_existing(path, overwrite)
        with _exclusive(path, timeout):
            _remove_side_files(path)
            temporary.replace(path)
    else:
        _remove_side_files(path)
        _rename_new(temporary, path, overwrite)
    sync_folder(path.parent)


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
        side_file(path, suffix).unlink(missing_ok=True)


def _rename_new(temporary: Path, path: Path, overwrite: bool) -> None:
    try:
        os.link(temporary, path)  # unlike a rename, this never replaces a file made meanwhile
    except FileExistsError:
        _refuse_existing(path, overwrite)
        temporary.replace(path)
    except OSError:  # a file system without hard links
        temporary.replace(path)
