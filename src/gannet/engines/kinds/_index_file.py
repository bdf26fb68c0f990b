"""The base of engines whose library keeps an index in one file, with a SQLite file for the rest beside it."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import threading
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any, Literal

import numpy as np

from gannet.codes import Codes, Ids, hamming, n_bytes
from gannet.engines.address import Address
from gannet.engines.engine import Engine, Header, Rows, as_rectangle
from gannet.errors import GannetError
from gannet.index.protocol import Distances
from gannet.support.atomic import write_atomically

_TABLES = """
CREATE TABLE items (id INTEGER PRIMARY KEY, path BLOB NOT NULL, digest BLOB, mark INTEGER NOT NULL);
CREATE TABLE changes (id INTEGER PRIMARY KEY, code BLOB);
CREATE TABLE header (header TEXT NOT NULL, files TEXT NOT NULL);
CREATE TABLE model (model BLOB NOT NULL);
"""
_INDEXES = """
CREATE INDEX IF NOT EXISTS items_path ON items (path);
CREATE INDEX IF NOT EXISTS items_digest ON items (digest);
"""


@dataclass(frozen=True)
class Loaded:
    """The contents of an index file.

    ``ids`` ``(n,)`` are ascending, ``codes`` ``(n, w)`` are in the same order, ``index`` is the object of the library,
    and ``digest`` is the checksum of the file, which is empty if there is no file yet.
    """

    ids: Ids
    codes: Codes
    index: Any
    digest: str


class IndexFile(Engine):
    """A file ``FILE`` with codes and ids in the format of a library, and ``FILE.sqlite`` with everything else.

    Rows are written to the SQLite file, new codes in its table ``changes``. `finish` brings the index file up to date
    and empties this table. The SQLite file holds the checksum of the index file that belongs to it; while the index
    file is replaced, it holds those of the old and the new one.
    """

    def __init__(self, address: Address, writable: bool) -> None:
        super().__init__(address, writable)
        self._path, self._side = Path(address.place), Path(f"{address.place}.sqlite")
        if not self._side.is_file():
            if not writable:
                raise GannetError(f"there is no file {self._side}: write {self.address} with `gannet export`")
            if self._path.exists():
                raise GannetError(f"{self._path} is there already, and is no export: export to another place")
        mode = "rwc" if writable else "ro"
        with self.explained(sqlite3.Error, OSError):
            uri = f"{self._side.absolute().as_uri()}?mode={mode}"
            self._db = sqlite3.connect(uri, uri=True, timeout=30, isolation_level=None, check_same_thread=False)
        self._lock = threading.RLock()
        self._loaded: Loaded | None = None
        self._n_bits = 0

    @abstractmethod
    def _build(self, ids: Ids, codes: Codes, before: Any, n_kept: int) -> Any:
        """Return an index of all codes; ``before`` holds the first ``n_kept`` of them alone, and may be extended.

        If ``n_kept`` is 0, ``before`` is an index that is to be replaced, or None.
        """

    @abstractmethod
    def _suits(self, index: Any) -> bool:
        """Return whether an index can be searched in the way that the address asks for."""

    @abstractmethod
    def _dump(self, index: Any) -> bytes:
        """Return the contents of the file of an index."""

    @abstractmethod
    def _parse(self, data: bytes) -> tuple[Ids, Codes, Any]:
        """Return ascending ids, their codes, and the index in the contents of a file."""

    @abstractmethod
    def _guess(self, loaded: Loaded, query: Codes, k: int) -> Ids:
        """Return the ids of up to ``k`` codes that are near a query, in any order."""

    @abstractmethod
    def _distance_of(self, loaded: Loaded, query: Codes, k: int) -> int:
        """Return the exact distance of the code that is the ``k``-th nearest."""

    @abstractmethod
    def _within(self, loaded: Loaded, query: Codes, r: int) -> Ids:
        """Return the ids of all codes up to ``r`` bits away from a query, in any order."""

    def header(self) -> Header | None:
        """Return the stored header; see `Engine.header`."""
        if not self._query("SELECT 1 FROM sqlite_master WHERE name = 'header'"):
            return None
        ((text,),) = self._query("SELECT header FROM header")
        header = Header.from_json(text, self.address)
        self._n_bits = header.n_bits
        if header.state and not self.writable:
            self._load()  # the first time; it checks that the files belong together
        return header

    def create(self, header: Header, model: bytes) -> None:
        """Make empty tables; see `Engine.create`."""
        self._n_bits = header.n_bits
        with self._transaction() as db:
            for statement in filter(str.strip, _TABLES.split(";")):
                db.execute(statement)
            db.execute("INSERT INTO header VALUES (?, '[]')", [header.to_json()])
            db.execute("INSERT INTO model VALUES (?)", [model])

    def write_header(self, header: Header) -> None:
        """Replace the header; see `Engine.write_header`."""
        with self._transaction() as db:
            db.execute("UPDATE header SET header = ?", [header.to_json()])

    def model(self) -> bytes:
        """Return the stored model; see `Engine.model`."""
        ((data,),) = self._query("SELECT model FROM model")
        return bytes(data)

    def write(self, rows: Rows) -> None:
        """Store rows; see `Engine.write`."""
        ids = rows.ids.tolist()
        items = zip(ids, rows.paths, rows.digests, rows.marks.tolist(), strict=True)
        codes = zip(ids, map(bytes, rows.codes), strict=True)
        with self._transaction() as db:
            db.executemany("INSERT OR REPLACE INTO items VALUES (?, ?, ?, ?)", items)
            db.executemany("INSERT OR REPLACE INTO changes VALUES (?, ?)", codes)

    def delete(self, ids: Ids) -> None:
        """Delete rows; see `Engine.delete`."""
        each = [(id_,) for id_ in ids.tolist()]
        with self._transaction() as db:
            db.executemany("DELETE FROM items WHERE id = ?", each)
            db.executemany("INSERT OR REPLACE INTO changes VALUES (?, NULL)", each)

    def finish(self) -> None:
        """Bring the index file up to date, and make the indexes of the SQLite file."""
        self._update_file()
        with self._transaction() as db:
            for statement in filter(str.strip, _INDEXES.split(";")):
                db.execute(statement)

    def marks(self, first: int, stop: int) -> tuple[Ids, Ids]:
        """Return ids and checksums; see `Engine.marks`."""
        last = min(stop - 1, self.max_id)
        found = self._query("SELECT id, mark FROM items WHERE id BETWEEN ? AND ? ORDER BY id", first, last)
        table = np.array(found, np.int64).reshape(-1, 2)
        return table[:, 0], table[:, 1]

    def read(self, ids: Ids) -> Rows:
        """Return rows; see `Engine.read`."""
        found, codes = self.codes(ids)
        rows = self._query(
            "SELECT id, path, digest FROM items WHERE id IN (SELECT value FROM json_each(?)) ORDER BY id",
            json.dumps(found.tolist()),
        )
        stored = np.array([row[0] for row in rows], np.int64)
        return Rows(stored, codes[np.isin(found, stored)], [row[1] for row in rows], [row[2] for row in rows])

    def codes(self, ids: Ids) -> tuple[Ids, Codes]:
        """Return codes from memory; see `Engine.codes`."""
        loaded = self._current()
        places = np.searchsorted(loaded.ids, ids)
        found = places[np.take(loaded.ids, places, mode="clip") == ids] if len(loaded.ids) else places[:0]
        return loaded.ids[found], loaded.codes[found]

    def find(self, column: Literal["path", "digest"], values: Sequence[bytes]) -> Ids:
        """Return ids by path or digest; see `Engine.find`."""
        query = f"SELECT id FROM items WHERE {column} = ?"
        found = [id_ for value in set(values) for (id_,) in self._query(query, value)]
        return np.array(sorted(found), np.int64)

    def search(self, queries: Codes, k: int) -> tuple[Distances, Ids]:
        """Return the nearest codes; see `Engine.search`."""
        loaded = self._current()
        k = min(k, len(loaded.ids))
        if k == 0:
            return np.empty((len(queries), 0), np.int64), np.empty((len(queries), 0), np.int64)
        with self._explained():
            return as_rectangle([self._nearest(loaded, query, k) for query in queries])

    def _nearest(self, loaded: Loaded, query: Codes, k: int) -> tuple[Distances, Ids]:
        if not self.exact:
            found = self._guess(loaded, query, k)
            if len(found) == k:
                return _ordered(loaded, query, found)
        distances, found = _ordered(loaded, query, self._within(loaded, query, self._distance_of(loaded, query, k)))
        return distances[:k], found[:k]

    def radius(self, queries: Codes, r: int) -> list[tuple[Distances, Ids]]:
        """Return all near codes; see `Engine.radius`."""
        loaded = self._current()
        if len(loaded.ids) == 0:
            return [(np.empty(0, np.int64), np.empty(0, np.int64)) for _ in queries]
        with self._explained():
            return [_ordered(loaded, query, self._within(loaded, query, r)) for query in queries]

    def __len__(self) -> int:
        return len(self._current().ids)

    def close(self) -> None:
        """Close the SQLite file; see `Engine.close`."""
        self._db.close()
        self._loaded = None

    def _current(self) -> Loaded:
        """Return the contents of the index file, which is first brought up to date if the store is writable."""
        if self.writable:
            self._update_file()
        return self._load()

    def _load(self) -> Loaded:
        """Return the contents of the index file, which is read again after every change."""
        with self._lock:
            known = self._files()
            if self._loaded is None or self._loaded.digest not in (known or [""]):
                self._loaded = self._read(known)
                if not self.writable and not self._suits(self._loaded.index):
                    kind = self.address.options["approximate"].upper()
                    raise GannetError(
                        f"{self.address} has no {kind} index: run `gannet export` with this address, or leave "
                        "approximate out"
                    )
            return self._loaded

    def _read(self, known: list[str]) -> Loaded:
        """Read the index file, whose checksum must be one of ``known``, or have been replaced meanwhile."""
        if not known:
            ids, codes = np.empty(0, np.int64), np.empty((0, n_bytes(self._n_bits)), np.uint8)
            return Loaded(ids, codes, self._build(ids, codes, None, 0), "")
        with self._explained():
            data = self._path.read_bytes()
            digest = _digest(data)
            if digest in known:
                return Loaded(*self._parse(data), digest)
        if (now := self._files()) != known:
            return self._read(now)
        raise GannetError(
            f"{self._path} is damaged, or {self._side} belongs to another export: bring back both files, or export to "
            "another place"
        )

    def _update_file(self) -> None:
        """Apply the table of changes to the index file."""
        with self._lock:
            before = self._load()
            ids, codes, n_kept = self._changed(before)
            whole = n_kept == len(before.ids)
            suits = self._suits(before.index)
            if before.digest and suits and whole and len(ids) == n_kept:
                self._forget_changes(before.digest)
                return
            self._loaded = None  # the index may be extended in place
            with self._explained():
                index = self._build(ids, codes, before.index, n_kept if whole and suits else 0)
                data = self._dump(index)
            digest = _digest(data)
            with self._transaction() as db:
                db.execute("UPDATE header SET files = ?", [json.dumps([*filter(None, [before.digest]), digest])])
            write_atomically(self._path, data)
            self._forget_changes(digest)
            self._loaded = Loaded(ids, codes, index, digest)

    def _changed(self, before: Loaded) -> tuple[Ids, Codes, int]:
        """Return ids and codes after the changes, and how many of the first are as before."""
        touched, added, new = self._changes()
        kept = ~np.isin(before.ids, touched)
        ids, codes = np.concatenate([before.ids[kept], added]), np.concatenate([before.codes[kept], new])
        order = np.argsort(ids)
        ids, codes = ids[order], codes[order]
        n = min(len(ids), len(before.ids))
        differs = (ids[:n] != before.ids[:n]) | (codes[:n] != before.codes[:n]).any(axis=1)
        return ids, codes, int(np.argmax(differs)) if differs.any() else n

    def _changes(self) -> tuple[Ids, Ids, Codes]:
        """Return the ids in the table of changes, and the ids and codes of those that are not deleted."""
        touched, added, codes = [], [], [np.empty((0, n_bytes(self._n_bits)), np.uint8)]
        with self._lock, self._explained():
            cursor = self._db.execute("SELECT id, code FROM changes ORDER BY id")
            while some := cursor.fetchmany(self.block):
                touched.append(np.array([id_ for id_, _ in some], np.int64))
                added.append(np.array([id_ for id_, code in some if code is not None], np.int64))
                data = b"".join(code for _, code in some if code is not None)
                codes.append(np.frombuffer(data, np.uint8).reshape(-1, n_bytes(self._n_bits)))
        none = np.empty(0, np.int64)
        return np.concatenate([none, *touched]), np.concatenate([none, *added]), np.concatenate(codes)

    def _forget_changes(self, digest: str) -> None:
        if self._files() != [digest] or self._query("SELECT 1 FROM changes LIMIT 1"):
            with self._transaction() as db:
                db.execute("DELETE FROM changes")
                db.execute("UPDATE header SET files = ?", [json.dumps([digest])])

    def _files(self) -> list[str]:
        """Return the checksums that the index file may have."""
        ((text,),) = self._query("SELECT files FROM header")
        files: list[str] = json.loads(text)
        return files

    def _query(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        with self._lock, self._explained():
            return self._db.execute(query, values).fetchall()

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._lock, self._explained():
            self._db.execute("BEGIN IMMEDIATE")
            with self._db:
                yield self._db

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        """Turn the errors of SQLite, of the library and of the disk into a `GannetError`."""
        with self.explained(sqlite3.Error, OSError, RuntimeError, ValueError):
            try:
                yield
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode == sqlite3.SQLITE_FULL:
                    reason = f"no space left on the disk for {self.address}; free some and try again"
                    raise GannetError(reason) from error
                raise


def _ordered(loaded: Loaded, query: Codes, found: Ids) -> tuple[Distances, Ids]:
    """Return the exact distances of some ids from a query, and the ids, ordered by both."""
    distances = hamming(query[None], loaded.codes[np.searchsorted(loaded.ids, found)])[0]
    order = np.lexsort((found, distances))
    return distances[order], found[order]


def _digest(data: bytes) -> str:
    return blake2b(data, digest_size=16).hexdigest()
