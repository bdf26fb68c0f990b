"""Targets ``milvus://…``: two collections of a Milvus server."""

from __future__ import annotations

import base64
import contextlib
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal
from urllib.parse import quote_from_bytes, unquote, unquote_to_bytes, urlsplit

import numpy as np

from gannet.codes import Codes, Ids, n_bytes
from gannet.engines.address import Address
from gannet.engines.engine import Engine, Header, Rows, as_rectangle
from gannet.errors import GannetError
from gannet.index.protocol import Distances
from gannet.support.libraries import load

_MOST = 1 << 14
"""Largest number of results of one request."""
_MORE = 64
"""Results that are asked for besides the nearest, as equal distances come in any order."""
_LONGEST = 65535
"""Largest length of a text."""
_PIECE = 48_000
"""Bytes of the model per row, which are four characters per three bytes."""
_FIND = 100
"""Paths or digests per request."""


class Milvus(Engine):
    """Collections ``TABLE`` and ``TABLE_header`` of a Milvus server 2.3 or newer.

    Codes are binary vectors, padded with zero bits. Paths are texts with percent codes, and digests are hexadecimal.
    Searches compare all codes, by an index BIN_FLAT. ``approximate=ivf`` makes BIN_IVF_FLAT in its place, with as
    many lists as the square root of the number of codes, of which ``probes`` are searched; exact searches then search
    all lists. A searching program sees an export when it is finished, and parts of it before.
    """

    name = "milvus"
    options = ("table", "approximate", "probes")
    block = _MOST

    def __init__(self, address: Address, writable: bool) -> None:
        super().__init__(address, writable)
        self._library = load("pymilvus", "milvus", "milvus:")
        self._approximate = address.choice("approximate", ("ivf",)) is not None
        self._probes = address.number("probes", default=16)
        self._name = address.options.get("table", "gannet")
        self._level = "Strong" if writable else "Eventually"  # the former waits for all servers
        self._n_bits = 0
        self._n_lists: int | None = None
        with self._explained():
            self._client = self._library.MilvusClient(**self._login(), timeout=10)

    def _login(self) -> dict[str, str]:
        """Return the arguments of the client for the address."""
        try:
            parts = urlsplit(self.address.place)
            port = parts.port or 19530
        except ValueError:
            port = 0
        if not port or not parts.hostname:
            raise GannetError(
                f"{self.address} is no valid address: give milvus://USER:PASSWORD@HOST:PORT/DATABASE, with % codes for "
                "special characters"
            )
        return {
            "uri": f"http://{parts.hostname}:{port}",
            "user": unquote(parts.username or ""),
            "password": unquote(parts.password or ""),
            "db_name": unquote(parts.path.strip("/")),
        }

    @property
    def exact(self) -> bool:
        """Whether searches are exact; see `Engine.exact`."""
        return not self._approximate

    def header(self) -> Header | None:
        """Return the stored header; see `Engine.header`."""
        with self._explained():
            if not self._client.has_collection(f"{self._name}_header"):
                return None
            rows = self._query("id == 0", "text", suffix="_header")
        if not rows:
            return None  # its creation was interrupted
        header = Header.from_json(rows[0]["text"], self.address)
        self._n_bits = header.n_bits
        if self._n_lists is None:
            self._n_lists = self._stored_lists()
        if self._approximate and not self.writable and not self._n_lists:
            raise GannetError(
                f"{self.address} has no IVF index: run `gannet export` with this address, or leave approximate out"
            )
        return header

    def create(self, header: Header, model: bytes) -> None:
        """Make empty collections; see `Engine.create`."""
        self._n_bits, self._n_lists = header.n_bits, 0
        types = self._library.DataType
        with self._explained():
            self._make("", 8 * self._width, {"path": types.VARCHAR, "digest": types.VARCHAR, "mark": types.INT64})
            self._make("_header", 8, {"text": types.VARCHAR})
            pieces = [base64.b64encode(model[i : i + _PIECE]).decode() for i in range(0, len(model), _PIECE)]
            for i, piece in enumerate(pieces):
                self._write_text(i + 1, piece)
            self._write_text(0, header.to_json())

    def _make(self, suffix: str, n_bits: int, fields: Mapping[str, Any]) -> None:
        """Make an empty collection with ids, binary vectors and other fields."""
        client, types = self._client, self._library.DataType
        if client.has_collection(self._name + suffix):
            client.drop_collection(self._name + suffix)
        schema = client.create_schema(auto_id=False, enable_dynamic_field=False)
        schema.add_field("id", types.INT64, is_primary=True)
        schema.add_field("code", types.BINARY_VECTOR, dim=n_bits)
        for name, kind in fields.items():
            schema.add_field(name, kind, **({"max_length": _LONGEST} if kind == types.VARCHAR else {}))
        client.create_collection(self._name + suffix, schema=schema, index_params=_flat(client))

    def _write_text(self, id_: int, text: str) -> None:
        self._client.upsert(f"{self._name}_header", [{"id": id_, "code": b"\0", "text": text}])

    def write_header(self, header: Header) -> None:
        """Replace the header; see `Engine.write_header`."""
        with self._explained():
            self._write_text(0, header.to_json())

    def model(self) -> bytes:
        """Return the stored model; see `Engine.model`."""
        with self._explained():
            rows = self._query("id > 0", "text", suffix="_header")
        return b"".join(base64.b64decode(row["text"]) for row in rows)

    def write(self, rows: Rows) -> None:
        """Store rows; see `Engine.write`."""
        columns = (rows.ids.tolist(), map(bytes, rows.codes), rows.paths, rows.digests, rows.marks.tolist())
        data = [
            {"id": id_, "code": code, "path": _text(path), "digest": (digest or b"").hex(), "mark": mark}
            for id_, code, path, digest, mark in zip(*columns, strict=True)
        ]
        with self._explained():
            self._client.upsert(self._name, data)

    def delete(self, ids: Ids) -> None:
        """Delete rows; see `Engine.delete`."""
        with self._explained():
            self._client.delete(self._name, ids=ids.tolist())

    def finish(self) -> None:
        """Store everything durably, make the IVF index if it is asked for, and wait until the server sees all rows."""
        with self._explained():
            self._client.flush(self._name)
            self._client.flush(f"{self._name}_header")
            if self._approximate and not self._n_lists:
                self._make_lists(max(1, math.isqrt(len(self))))

    def _make_lists(self, n_lists: int) -> None:
        client = self._client
        client.release_collection(self._name)
        client.drop_index(self._name, "code")
        index = client.prepare_index_params()
        kind = {"index_type": "BIN_IVF_FLAT", "params": {"nlist": n_lists}}
        index.add_index("code", index_name="code", metric_type="HAMMING", **kind)
        client.create_index(self._name, index)
        client.load_collection(self._name)
        self._n_lists = n_lists

    def _stored_lists(self) -> int:
        """Return the number of lists of the IVF index; 0 if there is no such index."""
        with self._explained():
            return int(self._client.describe_index(self._name, "code").get("nlist", 0))

    def marks(self, first: int, stop: int) -> tuple[Ids, Ids]:
        """Return ids and checksums; see `Engine.marks`."""
        rows = self._query(f"id >= {first} and id <= {min(stop - 1, self.max_id)}", "mark")
        return _numbers(rows, "id"), _numbers(rows, "mark")

    def read(self, ids: Ids) -> Rows:
        """Return rows; see `Engine.read`."""
        rows = self._query(f"id in {ids.tolist()}", "path", "digest", "code")
        paths, digests = [unquote_to_bytes(row["path"]) for row in rows], [row["digest"] for row in rows]
        return Rows(_numbers(rows, "id"), self._packed(rows), paths, [bytes.fromhex(d) or None for d in digests])

    def codes(self, ids: Ids) -> tuple[Ids, Codes]:
        """Return codes; see `Engine.codes`."""
        rows = self._query(f"id in {ids.tolist()}", "code")
        return _numbers(rows, "id"), self._packed(rows)

    def find(self, column: Literal["path", "digest"], values: Sequence[bytes]) -> Ids:
        """Return ids by path or digest; see `Engine.find`."""
        texts = [_text(value) if column == "path" else value.hex() for value in values]
        parts = [texts[i : i + _FIND] for i in range(0, len(texts), _FIND)]
        return np.sort(np.concatenate([_numbers(self._query(f"{column} in {part}"), "id") for part in parts]))

    def search(self, queries: Codes, k: int) -> tuple[Distances, Ids]:
        """Return the nearest codes; see `Engine.search`."""
        k = min(k, len(self))
        if k > _MOST:
            raise GannetError(f"{self.address} finds up to {_MOST:,} items at once: ask for fewer than {k:,}")
        if k == 0 or len(queries) == 0:
            return np.empty((len(queries), 0), np.int64), np.empty((len(queries), 0), np.int64)
        if not self._approximate:
            return as_rectangle(self._nearest(queries, k))
        rows = self._found(queries, k, {"nprobe": self._probes})
        pairs = zip(queries, rows, strict=True)
        return as_rectangle([row if len(row[0]) == k else self._nearest(query[None], k)[0] for query, row in pairs])

    def _nearest(self, queries: Codes, k: int) -> list[tuple[Distances, Ids]]:
        """Return the exact results of each query."""
        n = min(k + _MORE, _MOST)
        rows = []
        for query, (distances, ids) in zip(queries, self._found(queries, n, self._all_lists), strict=True):
            if len(ids) == n and distances[-1] == distances[k - 1]:  # there may be more of this distance
                ((distances, ids),) = self.radius(query[None], int(distances[-1]))
            rows.append((distances[:k], ids[:k]))
        return rows

    def radius(self, queries: Codes, r: int) -> list[tuple[Distances, Ids]]:
        """Return all near codes; see `Engine.radius`."""
        return [_ordered(*self._within(query, r, 0, self.max_id)) for query in queries]

    def _within(self, query: Codes, r: int, first: int, last: int, k: int = _MORE) -> tuple[Distances, Ids]:
        """Return the codes up to ``r`` bits away with ids from ``first`` to ``last``.

        More and more of the nearest are asked for, and then the range is halved: Milvus's own searches by radius are
        not exact with BIN_IVF_FLAT.
        """
        condition = f"id >= {first} and id <= {last}"
        ((distances, ids),) = self._found(query[None], k, self._all_lists, condition)
        if len(ids) < k or distances[-1] > r:
            return distances[distances <= r], ids[distances <= r]
        if k < _MOST:
            return self._within(query, r, first, last, min(16 * k, _MOST))
        middle = int(np.median(ids))
        halves = self._within(query, r, first, middle, k), self._within(query, r, middle + 1, last, k)
        return np.concatenate([half[0] for half in halves]), np.concatenate([half[1] for half in halves])

    def _found(
        self, queries: Codes, k: int, params: Mapping[str, int], condition: str = ""
    ) -> list[tuple[Distances, Ids]]:
        """Return distances and ids of up to ``k`` results per query, ordered."""
        with self._explained():
            found = self._client.search(
                self._name,
                [query.tobytes() for query in queries],
                filter=condition,
                limit=k,
                search_params={"metric_type": "HAMMING", "params": dict(params)},
                consistency_level=self._level,
            )
        return [_ordered(_numbers(hits, "distance"), _numbers(hits, "id")) for hits in found]

    def __len__(self) -> int:
        (row,) = self._request("", "count(*)", suffix="")
        return int(row["count(*)"])

    def close(self) -> None:
        """Close the connection; see `Engine.close`."""
        self._client.close()

    @property
    def _all_lists(self) -> dict[str, int]:
        """Parameters of exact searches."""
        return {"nprobe": self._n_lists or 1}

    @property
    def _width(self) -> int:
        return n_bytes(self._n_bits)

    def _query(self, condition: str, *fields: str, suffix: str = "") -> list[dict[str, Any]]:
        """Return the rows that satisfy a condition, ascending by id; as many requests are made as are needed."""
        rows: list[dict[str, Any]] = []
        while True:
            more = f" and id > {rows[-1]['id']}" if rows else ""
            some = self._request(f"({condition}){more}", "id", *fields, suffix=suffix, limit=_MOST)
            rows += sorted(some, key=lambda row: int(row["id"]))
            if len(some) < _MOST:
                return rows

    def _request(self, condition: str, *fields: str, suffix: str, **more: int) -> list[dict[str, Any]]:
        with self._explained():
            return list(
                self._client.query(self._name + suffix, condition, list(fields), consistency_level=self._level, **more)
            )

    def _packed(self, rows: Sequence[Mapping[str, Any]]) -> Codes:
        """Return the codes of some rows."""
        return np.frombuffer(b"".join(row["code"][0] for row in rows), np.uint8).reshape(-1, self._width)

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        """Turn the errors of Milvus into a `GannetError`."""
        with self.explained(self._library.MilvusException):
            yield


def _flat(client: Any) -> Any:
    """Return the parameters of an index that compares all codes."""
    index = client.prepare_index_params()
    index.add_index("code", index_name="code", metric_type="HAMMING", index_type="BIN_FLAT")
    return index


def _text(path: bytes) -> str:
    """Return a path as ASCII text without quotes and backslashes."""
    return quote_from_bytes(path, safe="/ ()+,:;=@&!#")


def _numbers(rows: Sequence[Mapping[str, Any]], name: str) -> Ids:
    return np.array([row[name] for row in rows], np.int64)


def _ordered(distances: Distances, ids: Ids) -> tuple[Distances, Ids]:
    order = np.lexsort((ids, distances))
    return distances[order], ids[order]
