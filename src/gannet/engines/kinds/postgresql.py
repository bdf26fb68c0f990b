"""Targets ``postgresql://…``: two tables in a database of Postgres."""

from __future__ import annotations

import contextlib
import queue
import struct
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Literal
from urllib.parse import quote, urlencode

import numpy as np

from gannet.codes import Codes, Ids, n_bytes, unpack
from gannet.engines.address import Address
from gannet.engines.engine import Engine, Header, Rows, as_rectangle
from gannet.errors import GannetError
from gannet.index.protocol import Distances
from gannet.support.libraries import load

_COPY_HEADER, _COPY_END = b"PGCOPY\n\xff\r\n\0" + bytes(8), struct.pack(">h", -1)
_MOST_EF = 1000
"""Largest ``hnsw.ef_search`` that pgvector takes."""


class PostgreSQL(Engine):
    """Tables ``TABLE`` and ``TABLE_header`` in a database of Postgres 14 or newer.

    Codes are in a column ``code bit(n)``. Exact searches compare all codes by ``bit_count(code # query)``, in parallel
    as far as the server allows. ``approximate=hnsw`` makes and uses an HNSW index of the extension pgvector. A query
    for which the index finds fewer items than there are is answered exactly.

    Other options, such as ``sslmode``, are those of libpq.
    """

    name = "postgresql"
    options = ("table", "schema", "approximate", "ef")
    passes_options = True

    def __init__(self, address: Address, writable: bool) -> None:
        super().__init__(address, writable)
        self._psycopg = load("psycopg", "postgres", "postgresql:")
        self._sql = load("psycopg.sql", "postgres", "postgresql:")
        self._ef = address.number("ef", default=40)
        self._approximate = address.choice("approximate", ("hnsw",)) is not None
        self._schema = address.options.get("schema", "public")
        self._table = address.options.get("table", "gannet")
        passed = urlencode(address.passed, quote_via=quote)
        self._conninfo = f"postgresql:{address.place}" + (f"?{passed}" if passed else "")
        self._idle: queue.LifoQueue[Any] = queue.LifoQueue()
        self._n_bits = 0
        with self._connection():
            pass

    @property
    def exact(self) -> bool:
        """Whether searches are exact; see `Engine.exact`."""
        return not self._approximate

    def header(self) -> Header | None:
        """Return the stored header; see `Engine.header`."""
        if not self._exists("_header"):
            return None
        ((text,),) = self._rows("SELECT header FROM {header}")
        header = Header.from_json(text, self.address)
        self._n_bits = header.n_bits
        if self._approximate and not self.writable and not self._exists("_hnsw"):
            raise GannetError(
                f"{self.address} has no HNSW index: run `gannet export` with this address, or leave approximate out"
            )
        return header

    def create(self, header: Header, model: bytes) -> None:
        """Make empty tables; see `Engine.create`."""
        self._n_bits = header.n_bits
        with self._connection() as connection, connection.transaction():
            if not connection.execute(
                "SELECT 1 FROM information_schema.schemata WHERE schema_name = %s", [self._schema]
            ).fetchall():
                self._execute(connection, "CREATE SCHEMA {schema}")
            self._execute(
                connection,
                "CREATE TABLE {items} (id bigint PRIMARY KEY, code bit({n_bits}) NOT NULL, path bytea NOT NULL, "
                "digest bytea, mark bigint NOT NULL)",
            )
            self._execute(connection, "CREATE TABLE {header} (header text NOT NULL, model bytea NOT NULL)")
            self._execute(connection, "INSERT INTO {header} VALUES (%s, %s)", header.to_json(), model)

    def write_header(self, header: Header) -> None:
        """Replace the header; see `Engine.write_header`."""
        with self._connection() as connection:
            self._execute(connection, "UPDATE {header} SET header = %s", header.to_json())

    def model(self) -> bytes:
        """Return the stored model; see `Engine.model`."""
        ((data,),) = self._rows("SELECT model FROM {header}")
        return bytes(data)

    def write(self, rows: Rows) -> None:
        """Store rows; see `Engine.write`."""
        with self._connection() as connection, connection.transaction():
            self._execute(connection, "DELETE FROM {items} WHERE id = ANY(%s)", rows.ids.tolist())
            statement = self._compose("COPY {items} (id, code, path, digest, mark) FROM STDIN (FORMAT BINARY)")
            with connection.cursor().copy(statement) as copy:
                copy.write(b"".join([_COPY_HEADER, *_binary_rows(rows, self._n_bits), _COPY_END]))

    def delete(self, ids: Ids) -> None:
        """Delete rows; see `Engine.delete`."""
        with self._connection() as connection:
            self._execute(connection, "DELETE FROM {items} WHERE id = ANY(%s)", ids.tolist())

    def finish(self) -> None:
        """Make the indexes that do not exist yet, and collect statistics."""
        with self._connection() as connection:
            self._index(connection, "path", "hash (path)")
            self._index(connection, "digest", "hash (digest)")
            if self._approximate:
                connection.execute("CREATE EXTENSION IF NOT EXISTS vector")
                self._index(connection, "hnsw", "hnsw (code bit_hamming_ops)")
            self._execute(connection, "ANALYZE {items}")

    def _index(self, connection: Any, suffix: str, columns: str) -> None:
        name = self._sql.Identifier(f"{self._table}_{suffix}")
        statement = self._compose(f"CREATE INDEX IF NOT EXISTS {{name}} ON {{items}} USING {columns}", name)
        connection.execute(statement)

    def marks(self, first: int, stop: int) -> tuple[Ids, Ids]:
        """Return ids and checksums; see `Engine.marks`."""
        return _columns(self._rows("SELECT id, mark FROM {items} WHERE id >= %s AND id < %s ORDER BY id", first, stop))

    def read(self, ids: Ids) -> Rows:
        """Return rows; see `Engine.read`."""
        query = "SELECT id, path, digest, code FROM {items} WHERE id = ANY(%s) ORDER BY id"
        found = self._rows(query, ids.tolist())
        paths, digests = [row[1] for row in found], [row[2] for row in found]
        return Rows(
            np.array([row[0] for row in found], np.int64), self._packed(row[3] for row in found), paths, digests
        )

    def codes(self, ids: Ids) -> tuple[Ids, Codes]:
        """Return codes without paths; see `Engine.codes`."""
        found = self._rows("SELECT id, code FROM {items} WHERE id = ANY(%s) ORDER BY id", ids.tolist())
        return np.array([row[0] for row in found], np.int64), self._packed(row[1] for row in found)

    def find(self, column: Literal["path", "digest"], values: Sequence[bytes]) -> Ids:
        """Return ids by path or digest; see `Engine.find`."""
        found = self._rows(f"SELECT id FROM {{items}} WHERE {column} = ANY(%s) ORDER BY id", list(values))
        return np.array([id_ for (id_,) in found], np.int64)

    def search(self, queries: Codes, k: int) -> tuple[Distances, Ids]:
        """Return the nearest codes; see `Engine.search`."""
        return as_rectangle([self._nearest(text, k) for text in _texts(queries, self._n_bits)])

    def _nearest(self, text: str, k: int) -> tuple[Distances, Ids]:
        if self._approximate:
            found = self._by_index(text, k)
            if len(found) == k:
                return _columns(found)
        query = "SELECT bit_count(code # %s::bit({n_bits})) AS distance, id FROM {items} ORDER BY distance, id LIMIT %s"
        return _columns(self._rows(query, text, k))

    def _by_index(self, text: str, k: int) -> list[tuple[Any, ...]]:
        nearest = "SELECT code <~> %s::bit({n_bits}) AS distance, id FROM {items} ORDER BY distance LIMIT %s"
        with self._connection() as connection, connection.transaction():
            connection.execute(f"SET LOCAL hnsw.ef_search = {min(max(self._ef, k), _MOST_EF)}")
            connection.execute("SET LOCAL hnsw.iterative_scan = strict_order")
            statement = self._compose(f"SELECT distance::bigint, id FROM ({nearest}) AS found ORDER BY distance, id")
            rows: list[tuple[Any, ...]] = connection.execute(statement, [text, k]).fetchall()
            return rows

    def radius(self, queries: Codes, r: int) -> list[tuple[Distances, Ids]]:
        """Return all near codes; see `Engine.radius`."""
        distance = "bit_count(code # %s::bit({n_bits}))"
        query = f"SELECT {distance} AS distance, id FROM {{items}} WHERE {distance} <= %s ORDER BY distance, id"
        return [_columns(self._rows(query, text, text, r)) for text in _texts(queries, self._n_bits)]

    def __len__(self) -> int:
        ((n,),) = self._rows("SELECT count(*) FROM {items}")
        return int(n)

    def close(self) -> None:
        """Close all connections; see `Engine.close`."""
        with contextlib.suppress(queue.Empty):
            while True:
                self._idle.get_nowait().close()

    def _packed(self, values: Iterable[bytes]) -> Codes:
        """Return packed codes from values of the type ``bit`` in binary form: a length of four bytes, and the bits."""
        codes = np.frombuffer(b"".join(value[4:] for value in values), np.uint8)
        return codes.reshape(-1, n_bytes(self._n_bits))

    def _exists(self, suffix: str) -> bool:
        """Return whether the schema has a table or an index with the name of the table and a suffix."""
        query = (
            "SELECT 1 FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace "
            "WHERE nspname = %s AND relname = %s"
        )
        return bool(self._rows(query, self._schema, self._table + suffix))

    def _compose(self, statement: str, name: Any = None) -> Any:
        """Return a statement with the names of the tables."""
        sql = self._sql
        return sql.SQL(statement).format(
            items=sql.Identifier(self._schema, self._table),
            header=sql.Identifier(self._schema, f"{self._table}_header"),
            schema=sql.Identifier(self._schema),
            n_bits=sql.Literal(self._n_bits),
            name=name,
        )

    def _execute(self, connection: Any, statement: str, *values: Any) -> None:
        connection.execute(self._compose(statement), list(values))

    def _rows(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        with self._connection() as connection:
            cursor = connection.execute(self._compose(query), list(values), binary=True)
            rows: list[tuple[Any, ...]] = cursor.fetchall()
            return rows

    @contextlib.contextmanager
    def _connection(self) -> Iterator[Any]:
        """Yield a connection that no other thread uses; after an error of the connection, new ones are made."""
        errors = self._psycopg.errors
        try:
            connection = self._idle.get_nowait()
        except queue.Empty:
            connection = self._connect()
        try:
            with self.explained(self._psycopg.Error):
                try:
                    yield connection
                except errors.DiskFull as error:
                    raise GannetError(
                        f"no space left on the disk of {self.address}; free some and try again"
                    ) from error
        except BaseException:
            if connection.closed:
                self.close()  # the others have lost the server, too
            raise
        finally:
            if not connection.closed:
                self._idle.put(connection)

    def _connect(self) -> Any:
        try:
            return self._psycopg.connect(self._conninfo, autocommit=True)
        except self._psycopg.OperationalError as error:
            reason = " ".join(self.address.without_secrets(str(error)).split())
            raise GannetError(f"cannot connect to {self.address}: {reason}") from None
        except (self._psycopg.Error, UnicodeError):  # the message quotes parts of the address
            raise GannetError(
                f"{self.address} is no valid address: give postgresql://USER:PASSWORD@HOST/DATABASE, with % codes for "
                "special characters, and options of libpq"
            ) from None


def _binary_rows(rows: Rows, n_bits: int) -> Iterator[bytes]:
    """Yield rows in the binary format of COPY."""
    width = rows.codes.shape[1]
    start = struct.Struct(f">hiqii{width}si")
    end = struct.Struct(">iq")
    columns = zip(rows.ids.tolist(), rows.codes, rows.paths, rows.digests, rows.marks.tolist(), strict=True)
    for id_, code, path, digest, mark in columns:
        yield start.pack(5, 8, id_, 4 + width, n_bits, code.tobytes(), len(path))
        yield path
        yield struct.pack(">i", -1 if digest is None else len(digest))
        yield digest or b""
        yield end.pack(8, mark)


def _texts(queries: Codes, n_bits: int) -> list[str]:
    """Return packed codes as texts of zeros and ones."""
    return ["".join(map(str, bits)) for bits in unpack(queries, n_bits).astype(int).tolist()]


def _columns(rows: Sequence[tuple[Any, ...]]) -> tuple[Ids, Ids]:
    """Return rows of two numbers as two arrays."""
    table = np.array(rows, np.int64).reshape(-1, 2)
    return table[:, 0], table[:, 1]
