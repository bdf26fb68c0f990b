"""The collection: one file with codes, the images they stand for, and the model that made them."""

from __future__ import annotations

import contextlib
import datetime
import hashlib
import os
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import numpy.typing as npt

from gannet.codes import Codes, check_codes, n_bytes
from gannet.errors import GannetError
from gannet.search import segments, storage
from gannet.search.index import HammingIndex
from gannet.search.segments import Ids

if TYPE_CHECKING:
    from types import TracebackType


class Collection:
    """Codes, ids, paths and content digests of images, and their model, in one file.

    The file is an SQLite database: one file, a library that comes with Python and has decades of care
    behind it, and transactions. Every call that changes it is one transaction: it is done whole and is on
    the disk when the call returns, or it never happened, also after a kill or a power cut; what was cut off
    is rolled back when the file is next opened.

    Several programs may have one file open, and one at a time changes it; one `Collection` may be used from
    several threads. Every method raises `GannetError`, with one line that says what to do, on bad input and
    when the file cannot be read or written. Nothing in the file is ever run or unpickled.

    `create` and `open` make one. ``n_bits`` and ``model_id`` (the model's SHA-256, in hex) never change.
    """

    def __init__(self, file: Path, db: sqlite3.Connection) -> None:
        self._file = file
        self._db = db
        self._lock = threading.RLock()
        self._closed = False
        with self._transaction() as db:
            query = "SELECT n_bits, model_id FROM collection"
            self.n_bits, self.model_id = storage.read_row(db, query, int, str)
        self._width = n_bytes(self.n_bits)

    @classmethod
    def create(cls, path: str | os.PathLike[str], n_bits: int, model: bytes, overwrite: bool = False) -> Collection:
        """Make an empty collection at ``path`` and open it.

        The file appears at once and whole. An existing file is an error unless ``overwrite``.
        """
        n_bytes(n_bits)
        now = _now()
        row = (n_bits, hashlib.sha256(model).hexdigest(), now, now, 0)
        storage.create(Path(path), row, model, overwrite)
        return cls.open(path)

    @classmethod
    def open(cls, path: str | os.PathLike[str], readonly: bool = False) -> Collection:
        """Open an existing collection; with ``readonly`` this object refuses to change it.

        A file that may not be written can be opened either way, to read.
        """
        file = Path(path)
        db = storage.connect(file, readonly)
        try:
            return cls(file, db)
        except BaseException:
            db.close()
            raise

    def close(self) -> None:
        """Close the file; closing twice does nothing."""
        with self._lock:
            self._closed = True
            self._db.close()

    def __enter__(self) -> Collection:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def add(self, codes: npt.ArrayLike, paths: Sequence[str], digests: Sequence[bytes] | None = None) -> Ids:
        """Add items, all or none.

        Parameters: ``codes (n, ceil(n_bits / 8))`` packed uint8; ``paths``, n names as the operating system
        gives them, distinct or not; ``digests``, n digests of the images' content (16 bytes are plenty), or
        ``None``.
        Returns: their ids ``(n,)`` int64, ascending. No id is given twice, even after its item was removed.

        To add millions, give some 100,000 at a time: each call syncs the disk, however small it is.
        """
        packed = check_codes(codes, self.n_bits)
        n = len(packed)
        names = _encoded(paths, n)
        marks: Iterable[bytes | None] = [None] * n if digests is None else _checked_digests(digests, n)
        with self._transaction(write=True) as db:
            (first,) = storage.read_row(db, "SELECT next_id FROM collection", int)
            ids = np.arange(first, first + n, dtype=np.int64)
            db.executemany("INSERT INTO items VALUES (?, ?, ?)", zip(ids.tolist(), names, marks, strict=True))
            segments.append(db, ids, packed)
            db.execute("UPDATE collection SET next_id = ?, changed = ?", (first + n, _now()))
        return ids

    def remove(self, ids: npt.ArrayLike) -> int:
        """Remove the items with these ids and return how many; if one does not exist, none is removed.

        The space is used again by later additions; the file does not shrink.
        """
        wanted = np.unique(_checked_ids(ids))
        with self._transaction(write=True) as db:
            self._refuse(segments.remove(db, self._width, wanted))
            db.executemany("DELETE FROM items WHERE id = ?", ((id_,) for id_ in wanted.tolist()))
            db.execute("UPDATE collection SET changed = ?", (_now(),))
        return len(wanted)

    def find_path(self, path: str) -> Ids:
        """Return the ids ``(m,)`` int64, ascending, of the items stored under exactly this path."""
        with self._transaction() as db:
            rows = db.execute("SELECT id FROM items WHERE path = ? ORDER BY id", _encoded([path], 1))
            return np.array([id_ for (id_,) in rows], np.int64)

    def find_digests(self, digests: Sequence[bytes]) -> dict[bytes, list[int]]:
        """Return ``{digest: ids}`` for those of ``digests`` that are stored, ids ascending."""
        found: dict[bytes, list[int]] = {}
        wanted = _checked_digests(digests, len(digests))
        with self._transaction() as db:
            for digest, id_ in _rows_in(db, "SELECT digest, id FROM items WHERE digest", wanted):
                found.setdefault(digest, []).append(id_)
        return {digest: sorted(ids) for digest, ids in found.items()}

    def path(self, id: int) -> str:
        """Return the path of one item."""
        return self.paths([id])[0]

    def paths(self, ids: npt.ArrayLike) -> list[str]:
        """Return the paths of ``ids (n,)``, in their order."""
        wanted = _checked_ids(ids)
        with self._transaction() as db:
            distinct = np.unique(wanted).tolist()
            found = dict(_rows_in(db, "SELECT id, CAST(path AS BLOB) FROM items WHERE id", distinct))
            if None in found.values():
                raise storage.DamagedError("an item has no path")
        self._refuse([id_ for id_ in distinct if id_ not in found])
        return [_decoded(found[id_]) for id_ in wanted.tolist()]

    def code(self, ids: npt.ArrayLike) -> Codes:
        """Return the codes ``(n, ceil(n_bits / 8))`` uint8 of ``ids (n,)``, in their order."""
        wanted = _checked_ids(ids)
        distinct, position = np.unique(wanted, return_inverse=True)
        with self._transaction() as db:
            found, codes = segments.select(db, self._width, distinct)
        self._refuse(np.setdiff1d(distinct, found, assume_unique=True))
        return codes[position]

    def codes(self) -> tuple[Ids, Codes]:
        """Return all ids ``(n,)`` int64, ascending, and their codes ``(n, ceil(n_bits / 8))`` uint8."""
        with self._transaction() as db:
            result = segments.read_all(db, self._width)
            db.execute("PRAGMA shrink_memory")  # the cached pages of the codes, which nobody reads again
        return result

    def index(self) -> HammingIndex:
        """Return a `HammingIndex` over all codes, as they are now."""
        ids, codes = self.codes()
        return HammingIndex(codes, self.n_bits, ids=ids)

    def model(self) -> bytes:
        """Return the model, byte for byte as given to `create`."""
        with self._transaction() as db:
            return self._read_model(db)

    @property
    def name(self) -> str:
        """The file's name, for people."""
        return self._file.name

    def __len__(self) -> int:
        with self._transaction() as db:
            return segments.count(db)

    def info(self) -> dict[str, Any]:
        """Return ``items``, ``bits``, ``model_id``, ``created``, ``changed`` (ISO 8601) and ``bytes``."""
        with self._transaction() as db:
            query = "SELECT created, changed FROM collection"
            created, changed = storage.read_row(db, query, str, str)
            items = segments.count(db)
            return {
                "items": items,
                "bits": self.n_bits,
                "model_id": self.model_id,
                "created": created,
                "changed": changed,
                "bytes": self._file.stat().st_size,
            }

    def check(self) -> None:
        """Read the whole file (some seconds a million items); raise `GannetError` if anything does not agree.

        That is SQLite's own structure, paths and digests against their indexes, codes against their checksums
        and the items, and the model against ``model_id``.
        """
        with self._transaction() as db:
            # Not `quick_check`: only the full one holds paths and digests against their indexes.
            (verdict,) = storage.read_row(db, "PRAGMA integrity_check(1)", str)
            if verdict != "ok":
                raise storage.DamagedError(verdict.splitlines()[-1])
            self._read_model(db)
            ids, codes = segments.read_all(db, self._width)
            stored = np.fromiter((id_ for (id_,) in db.execute("SELECT id FROM items ORDER BY id")), np.int64)
            if not np.array_equal(ids, stored):
                raise storage.DamagedError(f"its {len(ids)} codes and {len(stored)} items do not match")
            (next_id,) = storage.read_row(db, "SELECT next_id FROM collection", int)
            if len(ids) and ids[-1] >= next_id:
                raise storage.DamagedError(f"item {ids[-1]} is above the next id, {next_id}")
            try:
                check_codes(codes, self.n_bits)
            except GannetError as error:
                raise storage.DamagedError(str(error)) from error

    @contextlib.contextmanager
    def _transaction(self, write: bool = False) -> Iterator[sqlite3.Connection]:
        """Run a block on one state of the file; what it changes is kept only if it ends well."""
        with self._lock, storage.explained(self._file):
            if self._closed:
                raise GannetError(f"{self._file} is closed; open it again with Collection.open")
            self._db.execute("BEGIN IMMEDIATE" if write else "BEGIN")
            try:
                yield self._db
                self._db.execute("COMMIT")
            finally:
                if self._db.in_transaction:
                    self._db.rollback()

    def _read_model(self, db: sqlite3.Connection) -> bytes:
        (model,) = storage.read_row(db, "SELECT data FROM model", bytes)
        if hashlib.sha256(model).hexdigest() != self.model_id:
            raise storage.DamagedError("its model is not as stored")
        return cast(bytes, model)

    def _refuse(self, missing: Sequence[int] | Ids) -> None:
        if len(missing):
            first = ", ".join(str(id_) for id_ in missing[:3])
            more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
            raise GannetError(f"{self._file} has no item {first}{more}; nothing was done, check the ids")


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def _rows_in(db: sqlite3.Connection, query: str, values: Sequence[Any]) -> Iterator[tuple[Any, Any]]:
    """Yield the rows of ``query IN (values)``, a few hundred values at a time (SQLite limits them)."""
    for start in range(0, len(values), 500):
        batch = values[start : start + 500]
        yield from db.execute(f"{query} IN ({', '.join('?' * len(batch))})", batch)


def _checked_ids(ids: npt.ArrayLike) -> Ids:
    array = np.atleast_1d(np.asarray(ids))
    if array.size == 0:
        return np.empty(0, np.int64)
    if array.ndim != 1 or array.dtype.kind not in "iu":
        raise GannetError(f"ids must be whole numbers of shape (n,), not {array.dtype} of {array.shape}")
    if array.dtype == np.uint64 and array.max() > np.iinfo(np.int64).max:
        raise GannetError(f"there is no id {array.max()}: ids end at {np.iinfo(np.int64).max}")
    return array.astype(np.int64)


def _checked_digests(digests: Sequence[bytes], n: int) -> list[bytes]:
    if isinstance(digests, bytes) or len(digests) != n:
        raise GannetError(f"digests must be a list of {n}, not a {type(digests).__name__} of {len(digests)}")
    if not all(isinstance(digest, bytes) and digest for digest in digests):
        raise GannetError("a digest must be bytes and not empty, such as hashlib.sha256(data).digest()")
    return list(digests)


def _encoded(paths: Sequence[str], n: int) -> list[bytes]:
    """Return paths as bytes: a file's name need not be valid UTF-8, and SQLite's text must be."""
    if isinstance(paths, str) or len(paths) != n:
        raise GannetError(f"paths must be a list of {n}, not a {type(paths).__name__} of {len(paths)}")
    try:
        return [path.encode("utf-8", "surrogateescape") for path in paths]
    except (AttributeError, UnicodeEncodeError):
        raise GannetError("a path must be a str; use str(path), or os.fsdecode(name) for bytes") from None


def _decoded(path: bytes) -> str:
    return path.decode("utf-8", "surrogateescape")
