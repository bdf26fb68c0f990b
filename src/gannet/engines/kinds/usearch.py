"""Targets ``usearch:FILE``: a file of usearch."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np

from gannet.codes import Codes, Ids
from gannet.engines.address import Address
from gannet.engines.kinds._index_file import IndexFile, Loaded
from gannet.support.libraries import load


class USearch(IndexFile):
    """A file that ``usearch.index.Index.restore`` reads, with bits and the Hamming metric, and ``FILE.sqlite``.

    Lengths that are not multiples of 8 are padded with zero bits. Searches use the HNSW graph of usearch and are
    approximate; ``exact=yes`` compares all codes. A query for which the graph finds too few items is answered exactly.
    """

    name = "usearch"
    options = ("exact", "ef")

    def __init__(self, address: Address, writable: bool) -> None:
        load("usearch", "usearch", "usearch:")
        self._library = load("usearch.index", "usearch", "usearch:")
        self._exact = address.choice("exact", ("yes",)) is not None
        self._ef = address.number("ef", default=64)
        self._searching = threading.Lock()  # the threads of one search and of another share buffers
        super().__init__(address, writable)

    @property
    def exact(self) -> bool:
        """Whether searches are exact; see `Engine.exact`."""
        return self._exact

    def _build(self, ids: Ids, codes: Codes, before: Any, n_kept: int) -> Any:
        index = before if n_kept else self._library.Index(ndim=8 * codes.shape[1], metric="hamming", dtype="b1")
        if n_kept < len(ids):
            index.add(ids[n_kept:], codes[n_kept:])
        return self._opened(index)

    def _opened(self, index: Any) -> Any:
        index.expansion_search = self._ef
        return index

    def _suits(self, index: Any) -> bool:
        return True

    def _dump(self, index: Any) -> bytes:
        return bytes(index.save())

    def _parse(self, data: bytes) -> tuple[Ids, Codes, Any]:
        index = self._opened(self._library.Index.restore(data))
        ids = np.sort(index.keys[:])
        codes = np.array(index.get(ids), np.uint8).reshape(len(ids), index.ndim // 8)
        return ids.astype(np.int64), codes, index

    def _guess(self, loaded: Loaded, query: Codes, k: int) -> Ids:
        return self._search(loaded, query, k, exact=False)[1]

    def _distance_of(self, loaded: Loaded, query: Codes, k: int) -> int:
        return int(self._search(loaded, query, k, exact=True)[0][-1])

    def _within(self, loaded: Loaded, query: Codes, r: int) -> Ids:
        k, n = 64, len(loaded.ids)
        distances, ids = self._search(loaded, query, min(k, n), exact=True)
        while len(ids) < n and distances[-1] <= r:
            k *= 4
            distances, ids = self._search(loaded, query, min(k, n), exact=True)
        found: Ids = ids[distances <= r]
        return found

    def _search(self, loaded: Loaded, query: Codes, k: int, exact: bool) -> tuple[Any, Ids]:
        with self._searching:
            found = loaded.index.search(query, k, exact=exact)
        return found.distances, found.keys.astype(np.int64)
