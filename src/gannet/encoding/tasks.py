"""Parts of sources that are encoded at once, each into one file of a folder of codes."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from gannet.collection.locations import origins
from gannet.data import ImageSource, MatrixSource, Skipped
from gannet.data.base import is_file
from gannet.data.matrix import RowNames, names_at, read_rows
from gannet.errors import GannetError

Source = ImageSource | MatrixSource

_FEWEST, _MOST, _SHARDS = 500, 50_000, 1_000
_NOT_TEXT = "its name is not UTF-8, which Parquet cannot hold: rename it"


@dataclass(frozen=True)
class Task:
    """Items that are encoded into the file ``shard``, under ``ids (n,)``; ``features (n, d)`` are those of a matrix.

    Images are read by their paths, those that are cut off as far as they go if they may be ``truncated``. ``skipped``
    are items that are left out.
    """

    shard: int
    ids: npt.NDArray[np.int64]
    paths: Sequence[str]
    containers: Sequence[str | None]
    features: npt.NDArray[Any] | None
    skipped: Sequence[Skipped]
    truncated: bool


class Range(NamedTuple):
    """The items of one file: those from ``start`` to before ``stop`` of a source, and the id of the first."""

    part: int
    start: int
    stop: int
    first_id: int


class Items:
    """The items of one or more sources; an item of several sources belongs to the first.

    The id of an item is its place among all items.
    """

    def __init__(self, sources: Sequence[Source], truncated: bool) -> None:
        self._parts = list(zip(sources, _first_places(sources), strict=True))
        self._truncated = truncated

    def __len__(self) -> int:
        return sum(len(places) for _, places in self._parts)

    def sources(self) -> list[Mapping[str, Any]]:
        """Return what a folder of codes records about each source."""
        return [
            {"name": source.container, "n_items": len(places), "digest": _digest(source)}
            for source, places in self._parts
        ]

    def shard_size(self) -> int:
        """Return the number of items per file: about a thousand files of 500 to 50,000 items."""
        return min(_MOST, max(_FEWEST, len(self) // _SHARDS))

    def ranges(self, size: int) -> list[Range]:
        """Return the items of each file of ``size`` items at most; a file holds items of one source."""
        found, first_id = [], 0
        for part, (_, places) in enumerate(self._parts):
            found += [
                Range(part, start, min(start + size, len(places)), first_id + start)
                for start in range(0, len(places), size)
            ]
            first_id += len(places)
        return found

    def tasks(self, size: int, shards: Sequence[int]) -> Iterator[Task]:
        """Yield the tasks of some files; raise a `GannetError` if a row of a matrix holds NaN or infinity."""
        ranges = self.ranges(size)
        placed = [origins(source) for source, _ in self._parts]
        for shard in shards:
            part, start, stop, first_id = ranges[shard]
            source, all_places = self._parts[part]
            places = np.asarray(all_places[start:stop], np.int64)
            names = list(names_at(source.paths, places))
            rows = np.array([row for row, name in enumerate(names) if _is_text(name)], np.int64)
            kept = places[rows]
            yield Task(
                shard,
                first_id + rows,
                [names[row] for row in rows],
                [placed[part][place].container for place in kept.tolist()],
                _rows(source, kept) if isinstance(source, MatrixSource) else None,
                [Skipped(name, _NOT_TEXT) for name in names if not _is_text(name)],
                self._truncated,
            )


def _first_places(sources: Sequence[Source]) -> list[Sequence[int] | npt.NDArray[np.int64]]:
    """Return the places of the items of each source that no source before holds."""
    if len(sources) == 1:
        return [range(len(sources[0]))]
    seen: set[str] = set()
    found: list[Sequence[int] | npt.NDArray[np.int64]] = []
    for source in sources:
        found.append(np.array([place for place, path in enumerate(source.paths) if path not in seen], np.int64))
        seen.update(source.paths)
    return found


def _rows(source: MatrixSource, places: npt.NDArray[np.int64]) -> npt.NDArray[Any]:
    """Return some rows of a matrix; raise a `GannetError` that names the first with NaN or infinity."""
    rows = read_rows(source.features, places)
    with np.errstate(over="ignore", invalid="ignore"):
        bad = np.flatnonzero(~np.isfinite(rows.astype(np.float32, copy=False).sum(axis=1, dtype=np.float64)))
    if len(bad):
        raise GannetError(f"row {places[bad[0]]} of {source.container} holds NaN or infinity: drop or repair it")
    return rows


def _digest(source: Source) -> str:
    """Return a digest of the names of all items, and of the size and time of a source that is one file."""
    state = hashlib.blake2b(digest_size=16)
    if is_file(source.container):
        info = Path(source.container).stat()
        state.update(f"{info.st_size} {info.st_mtime_ns} ".encode())
    names = [f"{len(source)}"] if isinstance(source.paths, RowNames) else source.paths
    for name in names:
        state.update(name.encode(errors="surrogateescape") + b"\0")
    return state.hexdigest()


def _is_text(path: str) -> bool:
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True
