"""Targets ``duckdb:FILE``: a database file of DuckDB."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from gannet.codes import Codes, Ids, n_bytes
from gannet.engines.address import Address
from gannet.engines.engine import Engine, Header, Rows, as_rectangle
from gannet.errors import GannetError
from gannet.index.protocol import Distances
from gannet.support.libraries import load

# DuckDB would download extensions by itself.
_OFFLINE = {"autoinstall_known_extensions": "false", "autoload_known_extensions": "false"}


class DuckDB(Engine):
    """A database file of DuckDB, with the tables ``gannet_items`` and ``gannet_header``.

    A code is stored in columns ``word0``, ``word1``, … of 64 bits each: its bytes, little-endian, padded with zeros.
    The distance is ``bit_count(xor(word0, q0)) + …``. Several programs may search a file; while one writes, no other
    may have it open.
    """

    name = "duckdb"

    def __init__(self, address: Address, writable: bool) -> None:
        super().__init__(address, writable)
        self._library = load("duckdb", "duckdb", "duckdb:")
        self._arrow = load("pyarrow", "duckdb", "duckdb:")
        path = Path(address.place)
        if not writable and not path.is_file():
            raise GannetError(f"there is no {address}: write it with `gannet export`")
        with self._explained():
            self._db = self._library.connect(str(path), read_only=not writable, config=_OFFLINE)
        self._n_bits = 0

    def header(self) -> Header | None:
        """Return the stored header; see `Engine.header`."""
        if not self._query("SELECT 1 FROM information_schema.tables WHERE table_name = 'gannet_header'"):
            return None
        ((text,),) = self._query("SELECT header FROM gannet_header")
        header = Header.from_json(text, self.address)
        self._n_bits = header.n_bits
        return header

    def create(self, header: Header, model: bytes) -> None:
        """Make empty tables; see `Engine.create`."""
        self._n_bits = header.n_bits
        words = ", ".join(f"word{i} UBIGINT" for i in range(self._n_words))
        with self._transaction() as db:
            db.execute(f"CREATE TABLE gannet_items (id BIGINT, {words}, path BLOB, digest BLOB, mark BIGINT)")
            db.execute("CREATE TABLE gannet_header (header VARCHAR, model BLOB)")
            db.execute("INSERT INTO gannet_header VALUES (?, ?)", [header.to_json(), model])

    def write_header(self, header: Header) -> None:
        """Replace the header; see `Engine.write_header`."""
        with self._transaction() as db:
            db.execute("UPDATE gannet_header SET header = ?", [header.to_json()])

    def model(self) -> bytes:
        """Return the stored model; see `Engine.model`."""
        ((data,),) = self._query("SELECT model FROM gannet_header")
        return bytes(data)

    def write(self, rows: Rows) -> None:
        """Store rows; see `Engine.write`."""
        words = _words(rows.codes).T
        columns = {"id": rows.ids, **{f"word{i}": np.ascontiguousarray(word) for i, word in enumerate(words)}}
        binary = self._arrow.binary()
        table = self._arrow.table(
            {
                **columns,
                "path": self._arrow.array(rows.paths, binary),
                "digest": self._arrow.array(rows.digests, binary),
                "mark": rows.marks,
            }
        )
        with self._transaction() as db:
            db.register("new_rows", table)
            self._delete(db, rows.ids, "SELECT id FROM new_rows")
            db.execute("INSERT INTO gannet_items SELECT * FROM new_rows")
            db.unregister("new_rows")

    def delete(self, ids: Ids) -> None:
        """Delete rows; see `Engine.delete`."""
        with self._transaction() as db:
            self._delete(db, ids, _numbers(ids))

    def _delete(self, db: Any, ids: Ids, query: str) -> None:
        # The bounds let DuckDB skip the parts of the table with other ids.
        bounds = [int(ids[0]), int(ids[-1])]
        db.execute(f"DELETE FROM gannet_items WHERE id BETWEEN ? AND ? AND id IN ({query})", bounds)

    def finish(self) -> None:
        """Move the changes from the log into the file."""
        with self._explained():
            self._db.execute("CHECKPOINT")

    def marks(self, first: int, stop: int) -> tuple[Ids, Ids]:
        """Return ids and checksums; see `Engine.marks`."""
        found = self._arrays("SELECT id, mark FROM gannet_items WHERE id >= ? AND id < ? ORDER BY id", first, stop)
        return found["id"], found["mark"]

    def read(self, ids: Ids) -> Rows:
        """Return rows; see `Engine.read`."""
        columns = ", ".join(f"word{i}" for i in range(self._n_words))
        found = self._query(
            f"SELECT id, path, digest, {columns} FROM gannet_items "
            f"WHERE id BETWEEN ? AND ? AND id IN ({_numbers(ids)}) ORDER BY id",
            int(ids[0]),
            int(ids[-1]),
        )
        words = np.array([row[3:] for row in found], "<u8").reshape(-1, self._n_words)
        codes = np.ascontiguousarray(words.view(np.uint8)[:, : n_bytes(self._n_bits)])
        paths, digests = [bytes(row[1]) for row in found], [row[2] and bytes(row[2]) for row in found]
        return Rows(np.array([row[0] for row in found], np.int64), codes, paths, digests)

    def find(self, column: Literal["path", "digest"], values: Sequence[bytes]) -> Ids:
        """Return ids by path or digest; see `Engine.find`."""
        query = f"SELECT id FROM gannet_items WHERE {column} IN (SELECT unnest(?::BLOB[])) ORDER BY id"
        ids: Ids = self._arrays(query, list(values))["id"]
        return ids

    def search(self, queries: Codes, k: int) -> tuple[Distances, Ids]:
        """Return the nearest codes; see `Engine.search`."""
        query = f"SELECT id, {self._distance} AS distance FROM gannet_items ORDER BY distance, id LIMIT {int(k)}"
        return as_rectangle([self._nearest(query, words) for words in _words(queries).tolist()])

    def radius(self, queries: Codes, r: int) -> list[tuple[Distances, Ids]]:
        """Return all near codes; see `Engine.radius`."""
        query = (
            f"SELECT id, {self._distance} AS distance FROM gannet_items WHERE distance <= {int(r)} "
            "ORDER BY distance, id"
        )
        return [self._nearest(query, words) for words in _words(queries).tolist()]

    def __len__(self) -> int:
        ((n,),) = self._query("SELECT count(*) FROM gannet_items")
        return int(n)

    def close(self) -> None:
        """Close the file; see `Engine.close`."""
        self._db.close()

    @property
    def _n_words(self) -> int:
        return -(-self._n_bits // 64)

    @property
    def _distance(self) -> str:
        """The distance in SQL, with one parameter per word of the query."""
        terms = (f"bit_count(xor(word{i}, ?::UBIGINT))::BIGINT" for i in range(self._n_words))
        return " + ".join(terms)

    def _nearest(self, query: str, words: Sequence[int]) -> tuple[Distances, Ids]:
        found = self._arrays(query, *words)
        return found["distance"], found["id"]

    def _query(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        with self._explained():
            rows: list[tuple[Any, ...]] = self._db.cursor().execute(query, list(values)).fetchall()
            return rows

    def _arrays(self, query: str, *values: Any) -> dict[str, Any]:
        with self._explained():
            found = self._db.cursor().execute(query, list(values)).fetchnumpy()
            return {name: np.asarray(column, np.int64) for name, column in found.items()}

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[Any]:
        with self._explained():
            self._db.execute("BEGIN")
            try:
                yield self._db
                self._db.execute("COMMIT")
            except BaseException:
                with contextlib.suppress(self._library.Error):
                    self._db.execute("ROLLBACK")
                raise

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        """Turn the errors of DuckDB into a `GannetError`."""
        try:
            with self.explained(self._library.Error):
                yield
        except GannetError as error:
            reason = str(error.__cause__)
            if os.strerror(errno.ENOSPC) in reason:
                raise GannetError(f"no space left on the disk for {self.address}; free some and try again") from error
            if "Could not set lock" in reason or "with a different configuration" in reason:  # by others, or by us
                raise GannetError(
                    f"{self.address} is in use by another program, and one of the two writes to it: try again when it "
                    "has finished"
                ) from error
            raise


def _words(codes: Codes) -> Any:
    """Return packed codes ``(n, w)`` as words of 64 bits, uint64 ``(n, ceil(w / 8))``."""
    padded = np.zeros((len(codes), -(-codes.shape[1] // 8) * 8), np.uint8)
    padded[:, : codes.shape[1]] = codes
    return padded.view("<u8")


def _numbers(ids: Ids) -> str:
    return ", ".join(map(str, ids.tolist()))
