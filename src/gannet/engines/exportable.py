"""What an export reads: the items of a collection, or of a folder that `gannet encode` wrote."""

from __future__ import annotations

import contextlib
import datetime
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from gannet.code_folder import CodeBlock, CodeFolder, is_code_folder
from gannet.codes import Codes, Ids, n_bytes
from gannet.collection.arguments import encoded_paths
from gannet.collection.collection import Collection
from gannet.data import Skipped
from gannet.engines.engine import Rows


@dataclass(frozen=True)
class Edition:
    """Which items are exported, and which state of them.

    Attributes
    ----------
    created : str
        A text that does not change when the items change: when a collection was created, or a digest of the sources of
        a folder of codes.
    changed : str
        When the items were last changed.
    state : str
        A text that differs after every change.
    n_items : int
        Number of items.
    stop : int
        A number above all ids.
    """

    created: str
    changed: str
    state: str
    n_items: int
    stop: int


class Exportable(Protocol):
    """Items that can be exported."""

    @property
    def name(self) -> str:
        """Name for messages."""

    @property
    def n_bits(self) -> int:
        """Length of the codes in bits."""

    @property
    def model_id(self) -> str:
        """SHA-256 of the model file in hexadecimal."""

    def model(self) -> bytes:
        """Return the model file."""

    def edition(self) -> Edition:
        """Return the present state of the items."""

    def rows(self, first: int, stop: int) -> Rows:
        """Return the rows with ids from ``first`` to before ``stop``; fastest if called in ascending order."""

    def blocks(self) -> Iterator[tuple[Ids, Codes]]:
        """Yield the ids and codes of all items in parts, in the order of the ids."""

    def skipped(self) -> Sequence[Skipped]:
        """Return the items that are known to be missing because they could not be read."""


class CollectionItems:
    """The items of an open collection; see `Exportable`."""

    def __init__(self, collection: Collection) -> None:
        self._collection = collection
        self.name, self.n_bits, self.model_id = collection.name, collection.n_bits, collection.model_id
        self.model = collection.model

    def edition(self) -> Edition:
        """Return the present state of the items."""
        collection = self._collection
        with collection.snapshot():
            info, ids = collection.info(), collection.ids
            stop = int(ids.max(initial=-1)) + 1
            return Edition(info["created"], info["changed"], collection.state, len(ids), stop)

    def rows(self, first: int, stop: int) -> Rows:
        """Return the rows with ids from ``first`` to before ``stop``."""
        with self._collection.snapshot():
            ids, paths, digests = self._collection.columns_between(first, stop)
            return Rows(ids, self._collection.codes(ids), paths, digests)

    def blocks(self) -> Iterator[tuple[Ids, Codes]]:
        """Yield the ids and codes of all items at once."""
        with self._collection.snapshot():
            block = self._collection.ids, self._collection.codes()
        yield block

    def skipped(self) -> Sequence[Skipped]:
        """Return nothing: a collection does not record them."""
        return ()


class FolderItems:
    """The items of a complete folder of codes, which are read one file at a time; see `Exportable`."""

    def __init__(self, folder: CodeFolder) -> None:
        self._folder, self._files = folder, folder.files()
        self._last: tuple[int, CodeBlock] | None = None
        self.name, self.n_bits, self.model_id = str(folder.path), folder.n_bits, folder.model_id
        self.skipped = folder.skipped

    def model(self) -> bytes:
        """Return the model file."""
        return self._folder.model().to_bytes()

    def edition(self) -> Edition:
        """Return the present state of the items."""
        newest = datetime.datetime.fromtimestamp(
            max((file.modified for file in self._files), default=0.0), datetime.UTC
        )
        return Edition(
            self._folder.identity,
            newest.isoformat(timespec="seconds"),
            self._folder.state,
            sum(file.n_items for file in self._files),
            max((file.stop for file in self._files), default=0),
        )

    def rows(self, first: int, stop: int) -> Rows:
        """Return the rows with ids from ``first`` to before ``stop``."""
        ids, codes = [np.empty(0, np.int64)], [np.empty((0, n_bytes(self.n_bits)), np.uint8)]
        paths: list[bytes] = []
        digests: list[bytes | None] = []
        for shard, file in enumerate(self._files):
            if file.first < stop and file.stop > first:
                block = self._read(shard)
                some = slice(*np.searchsorted(block.ids, (first, stop)).tolist())
                ids.append(block.ids[some])
                codes.append(block.codes[some])
                paths += encoded_paths(block.paths[some], len(ids[-1]))
                digests += block.digests[some] or [None] * len(ids[-1])
        return Rows(np.concatenate(ids), np.concatenate(codes), paths, digests)

    def blocks(self) -> Iterator[tuple[Ids, Codes]]:
        """Yield the ids and codes of one file at a time."""
        for block in self._folder.blocks():
            if len(block.ids):
                yield block.ids, block.codes

    def _read(self, shard: int) -> CodeBlock:
        """Return the items of a file, which stays in memory because the next range of ids may begin in it."""
        if self._last is None or self._last[0] != shard:
            self._last = shard, self._folder.read(shard)
        return self._last[1]


@contextlib.contextmanager
def open_exportable(path: str | os.PathLike[str]) -> Iterator[Exportable]:
    """Open the file of a collection or a folder of codes; raise a `GannetError` if it is neither."""
    if is_code_folder(path):
        yield FolderItems(CodeFolder.open(path))
    else:
        with Collection.open(path, readonly=True) as collection:
            yield CollectionItems(collection)
