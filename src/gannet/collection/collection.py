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
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import numpy as np
import numpy.typing as npt

from gannet.codes import Codes, check_codes, n_bytes
from gannet.collection import feature_rows as stored_features
from gannet.collection import segments, storage
from gannet.collection.arguments import Ids, checked_digests, checked_ids, decoded_path, encoded_paths
from gannet.errors import GannetError
from gannet.index.hamming import HammingIndex
from gannet.index.id_runs import IdRuns

if TYPE_CHECKING:
    from types import TracebackType


class Item(NamedTuple):
    """An item without its code; ``digest`` is None where it was added without."""

    id: int
    path: str
    digest: bytes | None


class Collection:
    """Codes, ids, paths and content digests of images, and their model, in one file.

    The file is an SQLite database: one file, a library that comes with Python and has decades of care
    behind it, and transactions. Every call that changes it is one transaction: it is done whole and is on
    the disk when the call returns, or it never happened, also after a kill or a power cut; what was cut off
    is undone when the file is next opened. `atomic` makes several calls one transaction.

    Several programs of one machine may have one file open, and one at a time changes it; others read on meanwhile
    what was there before. On a network drive, one machine alone may use it while it is changed. One `Collection` may
    be used from several threads. Every method raises `GannetError`, with one line that says what to do, on bad input
    and when the file cannot be read or written. Nothing in the file is ever run or unpickled.

    `create` and `open` make one. ``n_bits``, ``model_id`` (the model's SHA-256, in hex) and ``n_features`` (the length
    of the features it keeps for re-ranking, or None) never change.
    """

    def __init__(self, file: Path, db: sqlite3.Connection) -> None:
        self._file = file
        self._db = db
        self._lock = threading.RLock()
        self._closed = False
        self._identity = storage.identify(file)
        with self._transaction() as db:
            query = "SELECT n_bits, model_id FROM collection"
            self.n_bits, self.model_id = storage.read_row(db, query, int, str)
            self.n_features = stored_features.length(db)
        self._width = n_bytes(self.n_bits)

    @classmethod
    def create(
        cls,
        path: str | os.PathLike[str],
        n_bits: int,
        model: bytes,
        overwrite: bool = False,
        n_features: int | None = None,
    ) -> Collection:
        """Make an empty collection at ``path`` and open it; with ``n_features`` it keeps features of that length.

        The file appears at once and whole. An existing file is an error unless ``overwrite``.
        """
        n_bytes(n_bits)
        now = _now()
        row = (n_bits, hashlib.sha256(model).hexdigest(), now, now, 0)
        storage.create(Path(path), row, model, n_features, overwrite)
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
            if not self._closed:
                self._closed = True
                storage.close(self._db, self._file, self._identity)

    def __enter__(self) -> Collection:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @contextlib.contextmanager
    def atomic(self) -> Iterator[None]:
        """Make all calls within the block one transaction: if it ends by an exception, none has happened."""
        with self._transaction(write=True):
            yield

    @contextlib.contextmanager
    def snapshot(self) -> Iterator[None]:
        """Let all that is read within the block be of one state of the file; nothing may be changed in it."""
        with self._transaction():
            yield

    def add(
        self,
        codes: npt.ArrayLike,
        paths: Sequence[str],
        digests: Sequence[bytes] | None = None,
        *,
        features: npt.ArrayLike | None = None,
        model_id: str | None = None,
    ) -> Ids:
        """Add items, all or none.

        Parameters: ``codes (n, ceil(n_bits / 8))`` packed uint8; ``paths``, n names as the operating system
        gives them, distinct or not; ``digests``, n digests of the images' content (16 bytes are plenty), or
        ``None``; ``features (n, n_features)``, where the collection keeps them, and only there; ``model_id``, that of
        the model that made the codes (`gannet.model.Model.id`), which must be the collection's.
        Returns: their ids ``(n,)`` int64, ascending. No id is given twice, even after its item was removed.

        To add millions, give some 100,000 at a time: each call syncs the disk, however small it is.
        """
        if model_id is not None:
            self.check_model(model_id)
        packed = check_codes(codes, self.n_bits)
        n = len(packed)
        names = encoded_paths(paths, n)
        marks: Iterable[bytes | None] = [None] * n if digests is None else checked_digests(digests, n)
        halves = stored_features.check_rows(features, n, self.n_features)
        with self._transaction(write=True) as db:
            (first,) = storage.read_row(db, "SELECT next_id FROM collection", int)
            ids = np.arange(first, first + n, dtype=np.int64)
            db.executemany("INSERT INTO items VALUES (?, ?, ?)", zip(ids.tolist(), names, marks, strict=True))
            segments.append(db, ids, packed)
            if halves is not None:
                stored_features.append(db, ids, halves)
            db.execute("UPDATE collection SET next_id = ?, changed = ?", (first + n, _now()))
        return ids

    def check_model(self, model_id: str) -> None:
        """Raise `GannetError` where a model is not the one whose codes the collection holds."""
        if model_id != self.model_id:
            raise GannetError(
                f"{self._file} was made with another model ({self.model_id[:12]}, not {model_id[:12]}): their codes "
                "cannot be compared; use the collection's own, or make one with `gannet index`"
            )

    def remove(self, ids: npt.ArrayLike) -> int:
        """Remove the items with these ids and return how many; if one does not exist, none is removed.

        The space is used again by later additions; the file does not shrink.
        """
        wanted = np.unique(checked_ids(ids))
        with self._transaction(write=True) as db:
            self._refuse(segments.remove(db, self._width, wanted))
            db.executemany("DELETE FROM items WHERE id = ?", ((id_,) for id_ in wanted.tolist()))
            if self.n_features is not None:
                stored_features.remove(db, wanted)
            db.execute("UPDATE collection SET changed = ?", (_now(),))
        return len(wanted)

    def rename(self, ids: npt.ArrayLike, paths: Sequence[str]) -> None:
        """Give the items ``ids (n,)``, distinct, other paths; if one does not exist, nothing is changed."""
        wanted = checked_ids(ids)
        names = encoded_paths(paths, len(wanted))
        with self._transaction(write=True) as db:
            self._refuse(np.setdiff1d(wanted, segments.select(db, self._width, np.unique(wanted))[0]))
            db.executemany("UPDATE items SET path = ? WHERE id = ?", zip(names, wanted.tolist(), strict=True))
            db.execute("UPDATE collection SET changed = ?", (_now(),))

    def items_at(self, paths: Sequence[str]) -> list[Item]:
        """Return the items stored under exactly these paths."""
        names = encoded_paths(paths, len(paths))
        with self._transaction() as db:
            return list(map(_item, storage.rows_in(db, f"{_ITEM} WHERE path", names)))

    def items_under(self, folder: str) -> list[Item]:
        """Return the items whose paths lie in a folder or in folders within it."""
        (prefix,) = encoded_paths([folder.rstrip("/") + "/"], 1)
        after = prefix[:-1] + bytes([prefix[-1] + 1])
        with self._transaction() as db:
            return list(map(_item, db.execute(f"{_ITEM} WHERE path >= ? AND path < ?", (prefix, after))))

    def find_path(self, path: str) -> Ids:
        """Return the ids ``(m,)`` int64, ascending, of the items stored under exactly this path."""
        with self._transaction() as db:
            rows = db.execute("SELECT id FROM items WHERE path = ? ORDER BY id", encoded_paths([path], 1))
            return np.array([id_ for (id_,) in rows], np.int64)

    def find_digests(self, digests: Sequence[bytes]) -> dict[bytes, list[int]]:
        """Return ``{digest: ids}`` for those of ``digests`` that are stored, ids ascending."""
        found: dict[bytes, list[int]] = {}
        wanted = checked_digests(digests, len(digests))
        with self._transaction() as db:
            for digest, id_ in storage.rows_in(db, "SELECT digest, id FROM items WHERE digest", wanted):
                found.setdefault(digest, []).append(id_)
        return {digest: sorted(ids) for digest, ids in found.items()}

    def path(self, id: int) -> str:
        """Return the path of one item."""
        return self.paths([id])[0]

    def paths(self, ids: npt.ArrayLike) -> list[str]:
        """Return the paths of ``ids (n,)``, in their order."""
        wanted = checked_ids(ids)
        with self._transaction() as db:
            distinct = np.unique(wanted).tolist()
            found = dict(storage.rows_in(db, "SELECT id, CAST(path AS BLOB) FROM items WHERE id", distinct))
            if None in found.values():
                raise storage.DamagedError("an item has no path")
        self._refuse([id_ for id_ in distinct if id_ not in found])
        return [decoded_path(found[id_]) for id_ in wanted.tolist()]

    def code(self, ids: npt.ArrayLike) -> Codes:
        """Return the codes ``(n, ceil(n_bits / 8))`` uint8 of ``ids (n,)``, in their order."""
        wanted = checked_ids(ids)
        distinct, position = np.unique(wanted, return_inverse=True)
        with self._transaction() as db:
            found, codes = segments.select(db, self._width, distinct)
        self._refuse(np.setdiff1d(distinct, found, assume_unique=True))
        return codes[position]

    def features(self, ids: npt.ArrayLike) -> npt.NDArray[np.float16]:
        """Return the features ``(n, n_features)`` of ``ids (n,)``, in their order, at unit length, as float16.

        Raises: `GannetError` where the collection keeps none.
        """
        if self.n_features is None:
            raise GannetError(f"{self._file} keeps no features; make it again with `gannet index --keep-features`")
        wanted = checked_ids(ids)
        with self._transaction() as db:
            self._refuse(np.setdiff1d(wanted, segments.select(db, self._width, np.unique(wanted))[0]))
            return stored_features.select(db, wanted, self.n_features)

    def codes(self) -> tuple[Ids, Codes]:
        """Return all ids ``(n,)`` int64, ascending, and their codes ``(n, ceil(n_bits / 8))`` uint8."""
        ids, codes = self._read_codes()
        return ids.all(), codes

    def index(self) -> HammingIndex:
        """Return a `HammingIndex` over all codes, as they are now."""
        ids, codes = self._read_codes()
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
            (pages,) = storage.read_row(db, "PRAGMA page_count", int)
            (page_bytes,) = storage.read_row(db, "PRAGMA page_size", int)
            return {
                "items": segments.count(db),
                "bits": self.n_bits,
                "model_id": self.model_id,
                "created": created,
                "changed": changed,
                "bytes": pages * page_bytes,
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
            runs, codes = segments.read_all(db, self._width)
            ids = runs.all()
            stored = np.fromiter((id_ for (id_,) in db.execute("SELECT id FROM items ORDER BY id")), np.int64)
            if not np.array_equal(ids, stored):
                raise storage.DamagedError(f"its {len(ids)} codes and {len(stored)} items do not match")
            (next_id,) = storage.read_row(db, "SELECT next_id FROM collection", int)
            if self.n_features is not None:
                stored_features.check(db, ids.tolist(), self.n_features)
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
            if self._db.in_transaction:
                with storage.savepoint(self._db):
                    yield self._db
                return
            if write:
                storage.begin_change(self._db, self._file, self._identity)
            else:
                self._db.execute("BEGIN")
            try:
                yield self._db
                self._db.execute("COMMIT")
                if write:
                    storage.end_change(self._db)
            finally:
                if self._db.in_transaction:
                    self._db.rollback()

    def _read_codes(self) -> tuple[IdRuns, Codes]:
        with self._transaction() as db, storage.small_cache(db):
            return segments.read_all(db, self._width)

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


_ITEM = "SELECT id, CAST(path AS BLOB), digest FROM items"


def _item(row: tuple[int, bytes, bytes | None]) -> Item:
    id_, path, digest = row
    if path is None:
        raise storage.DamagedError(f"item {id_} has no path")
    return Item(id_, decoded_path(path), digest)


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
