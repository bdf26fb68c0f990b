"""Targets ``lancedb:PLACE``: tables of LanceDB in a folder or an object store."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal

import numpy as np

from gannet.codes import Codes, Ids, n_bytes
from gannet.engines.address import Address
from gannet.engines.engine import Engine, Header, Rows, as_rectangle
from gannet.errors import GannetError
from gannet.index.protocol import Distances
from gannet.support.libraries import load

_MORE = 64
"""Results that are asked for besides the nearest, as equal distances come in any order."""


class LanceDB(Engine):
    """Tables ``TABLE``, ``TABLE_header`` and ``TABLE_model`` of a LanceDB database.

    The place is a folder, or an address such as ``s3://bucket/folder``; LanceDB reads the credentials of object stores
    from the environment. Codes are lists of bytes of a fixed length, padded with zero bits. Searches compare all
    codes. ``approximate=ivf`` makes and uses an IVF_FLAT index with as many partitions as the square root of the
    number of codes, of which ``probes`` are searched.
    """

    name = "lancedb"
    options = ("table", "approximate", "probes")

    def __init__(self, address: Address, writable: bool) -> None:
        super().__init__(address, writable)
        library = load("lancedb", "lancedb", "lancedb:")
        self._index = load("lancedb.index", "lancedb", "lancedb:")
        self._arrow = load("pyarrow", "lancedb", "lancedb:")
        self._approximate = address.choice("approximate", ("ivf",)) is not None
        self._probes = address.number("probes", default=16)
        self._name = address.options.get("table", "gannet")
        if not writable and "://" not in address.place and not Path(address.place).is_dir():  # LanceDB would make it
            raise GannetError(f"there is no {address}: write it with `gannet export`")
        self._tables: dict[str, Any] = {}
        self._n_bits = 0
        with self._explained():
            self._db = library.connect(address.place, read_consistency_interval=timedelta(0))

    @property
    def exact(self) -> bool:
        """Whether searches are exact; see `Engine.exact`."""
        return not self._approximate

    def header(self) -> Header | None:
        """Return the stored header; see `Engine.header`."""
        with self._explained():
            try:
                table = self._table("_header")
            except ValueError as error:
                if "was not found" in str(error):
                    return None
                raise
            (row,) = table.to_arrow().to_pylist()
            header = Header.from_json(row["header"], self.address)
            self._n_bits = header.n_bits
            if self._approximate and not self.writable and not self._has_index("code"):
                raise GannetError(
                    f"{self.address} has no IVF index: run `gannet export` with this address, or leave approximate out"
                )
        return header

    def create(self, header: Header, model: bytes) -> None:
        """Make empty tables; see `Engine.create`."""
        self._n_bits = header.n_bits
        arrow = self._arrow
        models = arrow.table({"model": arrow.array([model], arrow.large_binary())})
        headers = arrow.table({"header": [header.to_json()]})
        tables = {"": self._as_table(_no_rows(header.n_bits)), "_model": models, "_header": headers}
        with self._explained():
            for suffix, data in tables.items():
                self._db.drop_table(self._name + suffix, ignore_missing=True)
                self._db.create_table(self._name + suffix, data)

    def write_header(self, header: Header) -> None:
        """Replace the header; see `Engine.write_header`."""
        with self._explained():
            self._table("_header").update(values={"header": header.to_json()})

    def model(self) -> bytes:
        """Return the stored model; see `Engine.model`."""
        with self._explained():
            (row,) = self._table("_model").to_arrow().to_pylist()
            return bytes(row["model"])

    def write(self, rows: Rows) -> None:
        """Store rows; see `Engine.write`."""
        with self._explained():
            merge = self._table().merge_insert("id").when_matched_update_all().when_not_matched_insert_all()
            merge.execute(self._as_table(rows))

    def delete(self, ids: Ids) -> None:
        """Delete rows; see `Engine.delete`."""
        with self._explained():
            self._table().delete(_among(ids))

    def finish(self) -> None:
        """Make the indexes that do not exist yet, and bring the others up to date."""
        with self._explained():
            table = self._table()
            self._make_index("id", self._index.BTree())
            if self._approximate:
                n_parts = max(1, math.isqrt(table.count_rows()))
                self._make_index("code", self._index.IvfFlat(distance_type="hamming", num_partitions=n_parts))
            table.optimize()

    def _make_index(self, column: str, kind: Any) -> None:
        if not self._has_index(column):
            self._table().create_index(column, config=kind)

    def _has_index(self, column: str) -> bool:
        return any(index.columns == [column] for index in self._table().list_indices())

    def marks(self, first: int, stop: int) -> tuple[Ids, Ids]:
        """Return ids and checksums; see `Engine.marks`."""
        found = self._where(f"id >= {first} AND id <= {min(stop - 1, self.max_id)}", "id", "mark")
        return found["id"].to_numpy(), found["mark"].to_numpy()

    def read(self, ids: Ids) -> Rows:
        """Return rows; see `Engine.read`."""
        found = self._where(_among(ids), "id", "path", "digest", "code")
        paths, digests = found["path"].to_pylist(), found["digest"].to_pylist()
        return Rows(found["id"].to_numpy(), self._packed(found), paths, digests)

    def codes(self, ids: Ids) -> tuple[Ids, Codes]:
        """Return codes; see `Engine.codes`."""
        found = self._where(_among(ids), "id", "code")
        return found["id"].to_numpy(), self._packed(found)

    def find(self, column: Literal["path", "digest"], values: Sequence[bytes]) -> Ids:
        """Return ids by path or digest; see `Engine.find`."""
        texts = ", ".join(f"X'{value.hex()}'" for value in values)
        ids: Ids = self._where(f"{column} IN ({texts})", "id")["id"].to_numpy()
        return ids

    def search(self, queries: Codes, k: int) -> tuple[Distances, Ids]:
        """Return the nearest codes; see `Engine.search`."""
        k = min(k, len(self))
        if k == 0:
            return np.empty((len(queries), 0), np.int64), np.empty((len(queries), 0), np.int64)
        return as_rectangle([self._nearest(query, k) for query in queries])

    def _nearest(self, query: Codes, k: int) -> tuple[Distances, Ids]:
        if self._approximate:
            distances, ids = self._found(self._near(query).nprobes(self._probes).limit(k))
            if len(ids) == k:
                return distances, ids
        distances, ids = self._found(self._near(query).bypass_vector_index().limit(k + _MORE))
        if len(ids) == k + _MORE and distances[-1] == distances[k - 1]:  # there may be more of this distance
            ((distances, ids),) = self.radius(query[None], int(distances[-1]))
        return distances[:k], ids[:k]

    def radius(self, queries: Codes, r: int) -> list[tuple[Distances, Ids]]:
        """Return all near codes; see `Engine.radius`."""
        n = len(self)
        if n == 0:
            return [(np.empty(0, np.int64), np.empty(0, np.int64)) for _ in queries]
        return [
            self._found(self._near(query).bypass_vector_index().distance_range(None, r + 1).limit(n))
            for query in queries
        ]

    def _near(self, query: Codes) -> Any:
        return self._table().search(query, vector_column_name="code").distance_type("hamming")

    def _found(self, query: Any) -> tuple[Distances, Ids]:
        """Return the results of a query, ordered."""
        with self._explained():
            found = query.select(["id", "_distance"]).to_arrow()
        ids, distances = found["id"].to_numpy(), found["_distance"].to_numpy().astype(np.int64)
        order = np.lexsort((ids, distances))
        return distances[order], ids[order]

    def __len__(self) -> int:
        with self._explained():
            return int(self._table().count_rows())

    def close(self) -> None:
        """Forget the tables; see `Engine.close`."""
        self._tables.clear()

    def _table(self, suffix: str = "") -> Any:
        if suffix not in self._tables:
            self._tables[suffix] = self._db.open_table(self._name + suffix)
        return self._tables[suffix]

    def _where(self, condition: str, *columns: str) -> Any:
        """Return columns of the rows that satisfy a condition, ascending by id."""
        with self._explained():
            return self._table().search().where(condition).select(list(columns)).to_arrow().sort_by("id")

    def _as_table(self, rows: Rows) -> Any:
        """Return rows as a table of Arrow."""
        arrow = self._arrow
        codes = arrow.FixedSizeListArray.from_arrays(arrow.array(rows.codes.ravel()), rows.codes.shape[1])
        paths, digests = (arrow.array(values, arrow.binary()) for values in (rows.paths, rows.digests))
        return arrow.table({"id": rows.ids, "code": codes, "path": paths, "digest": digests, "mark": rows.marks})

    def _packed(self, table: Any) -> Codes:
        """Return the column of codes of a table."""
        codes: Codes = table["code"].combine_chunks().flatten().to_numpy(zero_copy_only=False)
        return codes.reshape(-1, n_bytes(self._n_bits))

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        """Turn the errors of LanceDB into a `GannetError`."""
        with self.explained(RuntimeError, ValueError, OSError, self._arrow.ArrowException):
            try:
                yield
            except (RuntimeError, OSError) as error:
                if "No space left on device" in str(error):
                    reason = f"no space left on the disk for {self.address}; free some and try again"
                    raise GannetError(reason) from error
                raise


def _no_rows(n_bits: int) -> Rows:
    return Rows(np.empty(0, np.int64), np.empty((0, n_bytes(n_bits)), np.uint8), [], [])


def _among(ids: Ids) -> str:
    """Return the condition that the id is one of some ascending ids."""
    return f"id >= {ids[0]} AND id <= {ids[-1]} AND id IN ({', '.join(map(str, ids.tolist()))})"
