"""Targets ``parquet:FOLDER``: a folder of Parquet files, for other programs to read, and searched in memory."""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from gannet.codes import Codes, Ids, n_bytes
from gannet.engines.address import Address
from gannet.engines.engine import Engine, Header, Rows
from gannet.errors import GannetError
from gannet.index import HammingIndex
from gannet.index.protocol import Distances
from gannet.support.atomic import write_atomically
from gannet.support.libraries import load

_HEADER, _MODEL = "gannet-export.json", "model.safetensors"
_IDS_PER_FILE, _ROWS_PER_GROUP = 1 << 18, 1 << 14


class Parquet(Engine):
    """A folder of files ``items-00000000.parquet``, ``items-00000001.parquet``, …, each for a range of 262,144 ids.

    The columns are ``id``, ``code`` (the packed bytes), ``path``, ``digest`` and ``mark``. Every file is complete at
    any time. The first search reads all codes into memory, and so does the first one after a later export.
    """

    name = "parquet"
    block = _IDS_PER_FILE

    def __init__(self, address: Address, writable: bool) -> None:
        super().__init__(address, writable)
        self._arrow = load("pyarrow", "parquet", "parquet:")
        self._parquet = load("pyarrow.parquet", "parquet", "parquet:")
        self._folder = Path(address.place)
        self._n_bits = 0
        self._lock = threading.Lock()
        self._loaded: _Loaded | None = None

    def header(self) -> Header | None:
        """Return the stored header; see `Engine.header`."""
        try:
            text = (self._folder / _HEADER).read_text("utf-8")
        except FileNotFoundError:
            return None
        except (OSError, UnicodeDecodeError) as error:
            raise GannetError(f"{self.address} cannot be read: {error}") from error
        header = Header.from_json(text, self.address)
        self._n_bits = header.n_bits
        return header

    def create(self, header: Header, model: bytes) -> None:
        """Make the folder; see `Engine.create`."""
        self._n_bits = header.n_bits
        with self.explained(OSError):
            self._folder.mkdir(exist_ok=True)
            others = [file.name for file in self._folder.iterdir() if not file.name.startswith(".")]
        if set(others) - {_MODEL}:
            raise GannetError(f"{self.address} holds other files, such as {min(others)}: name a new or an empty folder")
        write_atomically(self._folder / _MODEL, model)
        self.write_header(header)

    def write_header(self, header: Header) -> None:
        """Replace the header; see `Engine.write_header`."""
        write_atomically(self._folder / _HEADER, header.to_json().encode())

    def model(self) -> bytes:
        """Return the stored model; see `Engine.model`."""
        with self.explained(OSError):
            return (self._folder / _MODEL).read_bytes()

    def write(self, rows: Rows) -> None:
        """Store rows; see `Engine.write`."""
        shard = int(rows.ids[0]) // _IDS_PER_FILE
        kept = self._without(shard, rows.ids)
        ids = np.concatenate([kept.ids, rows.ids])
        both = Rows(
            ids,
            np.concatenate([kept.codes, rows.codes]),
            [*kept.paths, *rows.paths],
            [*kept.digests, *rows.digests],
        )
        self._write(shard, both.take(np.argsort(ids)))

    def delete(self, ids: Ids) -> None:
        """Delete rows; see `Engine.delete`."""
        for shard in np.unique(ids // _IDS_PER_FILE).tolist():
            kept = self._without(shard, ids)
            if len(kept):
                self._write(shard, kept)
            else:
                with self.explained(OSError):
                    self._file(shard).unlink(missing_ok=True)

    def finish(self) -> None:
        """Do nothing: all files are complete."""

    def marks(self, first: int, stop: int) -> tuple[Ids, Ids]:
        """Return ids and checksums; see `Engine.marks`."""
        within = [("id", ">=", first), ("id", "<", stop)]
        last = min(stop, self.max_id) // _IDS_PER_FILE
        files = [file for shard, file in self._files() if first // _IDS_PER_FILE <= shard <= last]
        tables = [self._read(file, ["id", "mark"], within) for file in files]
        return _column(tables, "id"), _column(tables, "mark")

    def read(self, ids: Ids) -> Rows:
        """Return rows; see `Engine.read`."""
        names = ["id", "code", "path", "digest"]
        files = dict(self._files())
        wanted = [shard for shard in np.unique(ids // _IDS_PER_FILE).tolist() if shard in files]
        tables = [self._read(files[shard], names, [("id", "in", ids.tolist())]) for shard in wanted]
        return self._rows(tables)

    def codes(self, ids: Ids) -> tuple[Ids, Codes]:
        """Return codes from memory; see `Engine.codes`."""
        loaded = self._load()
        places = np.searchsorted(loaded.ids, ids)
        found = places[np.take(loaded.ids, places, mode="clip") == ids] if len(loaded.ids) else places[:0]
        return loaded.ids[found], loaded.codes[found]

    def find(self, column: Literal["path", "digest"], values: Sequence[bytes]) -> Ids:
        """Return ids by path or digest; see `Engine.find`."""
        return _column([self._read(file, ["id"], [(column, "in", list(values))]) for _, file in self._files()], "id")

    def search(self, queries: Codes, k: int) -> tuple[Distances, Ids]:
        """Return the nearest codes; see `Engine.search`."""
        return self._load().index.search(queries, k)

    def radius(self, queries: Codes, r: int) -> list[tuple[Distances, Ids]]:
        """Return all near codes; see `Engine.radius`."""
        return self._load().index.radius(queries, r)

    def __len__(self) -> int:
        with self.explained(OSError, self._arrow.ArrowException):
            return sum(self._parquet.read_metadata(file).num_rows for _, file in self._files())

    def close(self) -> None:
        """Forget the codes; see `Engine.close`."""
        self._loaded = None

    def _load(self) -> _Loaded:
        """Return the present codes, which are read again after every export."""
        header = self.header()
        with self._lock:
            if self._loaded is None or self._loaded.header != header:
                tables = [self._read(file, ["id", "code"]) for _, file in self._files()]
                ids, codes = _column(tables, "id"), self._packed(tables)
                self._loaded = _Loaded(header, ids, codes, HammingIndex(codes, self._n_bits, ids=ids))
            return self._loaded

    def _file(self, shard: int) -> Path:
        return self._folder / f"items-{shard:08}.parquet"

    def _files(self) -> Iterator[tuple[int, Path]]:
        """Yield the numbers and paths of the files, ascending."""
        with self.explained(OSError):
            files = {int(file.stem.removeprefix("items-")): file for file in self._folder.glob("items-*.parquet")}
        yield from sorted(files.items())

    def _read(self, file: Path, columns: Sequence[str], filters: Any = None) -> Any:
        with self.explained(OSError, self._arrow.ArrowException):
            return self._parquet.read_table(file, columns=columns, filters=filters, partitioning=None)

    def _without(self, shard: int, ids: Ids) -> Rows:
        """Return the rows of a file that have other ids."""
        file = self._file(shard)
        rows = self._rows([self._read(file, ["id", "code", "path", "digest"])] if file.exists() else [])
        return rows.take(np.flatnonzero(~np.isin(rows.ids, ids)))

    def _rows(self, tables: Sequence[Any]) -> Rows:
        paths, digests = (
            [value for table in tables for value in table[name].to_pylist()] for name in ("path", "digest")
        )
        return Rows(_column(tables, "id"), self._packed(tables), paths, digests)

    def _packed(self, tables: Sequence[Any]) -> Codes:
        """Return the column of codes of some tables."""
        width = n_bytes(self._n_bits)
        chunks = [chunk for table in tables for chunk in table["code"].chunks if len(chunk)]
        parts = [np.frombuffer(c.buffers()[1], np.uint8)[c.offset * width :][: len(c) * width] for c in chunks]
        return np.concatenate([*parts, np.empty(0, np.uint8)]).reshape(-1, width)

    def _write(self, shard: int, rows: Rows) -> None:
        arrow = self._arrow
        codes = arrow.FixedSizeBinaryArray.from_buffers(
            arrow.binary(rows.codes.shape[1]), len(rows), [None, arrow.py_buffer(rows.codes.tobytes())]
        )
        paths, digests = (arrow.array(values, arrow.binary()) for values in (rows.paths, rows.digests))
        table = arrow.table({"id": rows.ids, "code": codes, "path": paths, "digest": digests, "mark": rows.marks})
        out = io.BytesIO()
        self._parquet.write_table(table, out, compression="zstd", row_group_size=_ROWS_PER_GROUP)
        write_atomically(self._file(shard), out.getvalue())


@dataclass(frozen=True)
class _Loaded:
    """All ids ``(n,)`` and codes ``(n, w)`` of one state of the folder, and an index over them."""

    header: Header | None
    ids: Ids
    codes: Codes
    index: HammingIndex


def _column(tables: Sequence[Any], name: str) -> Ids:
    """Return a column of numbers of some tables."""
    return np.concatenate([*(table[name].to_numpy() for table in tables), np.empty(0, np.int64)])
