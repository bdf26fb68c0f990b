"""Targets ``faiss:FILE``: a file of faiss."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from gannet.codes import Codes, Ids
from gannet.engines.address import Address
from gannet.engines.kinds._index_file import IndexFile, Loaded
from gannet.support.libraries import load

_EDGES = 32
"""Edges per node of an HNSW graph."""


class Faiss(IndexFile):
    """A file that ``faiss.read_index_binary`` reads, an ``IndexBinaryIDMap2``, and ``FILE.sqlite`` beside it.

    Lengths that are not multiples of 8 are padded with zero bits. Searches compare all codes. ``approximate=hnsw``
    makes and uses an ``IndexBinaryHNSW``, and ``approximate=ivf`` an ``IndexBinaryIVF`` with as many lists as the
    square root of the number of codes. A query for which one of them finds too few items is answered exactly.
    """

    name = "faiss"
    options = ("approximate", "ef", "probes")

    def __init__(self, address: Address, writable: bool) -> None:
        self._faiss = load("faiss", "faiss", "faiss:")
        self._kind = address.choice("approximate", ("hnsw", "ivf"))
        self._ef, self._probes = address.number("ef", default=40), address.number("probes", default=16)
        super().__init__(address, writable)

    @property
    def exact(self) -> bool:
        """Whether searches are exact; see `Engine.exact`."""
        return self._kind is None

    def _build(self, ids: Ids, codes: Codes, before: Any, n_kept: int) -> Any:
        kind = self._kind or (before.kind if before else None)
        if n_kept == 0 or kind == "ivf":  # whose lists are made for the number of codes
            whole, n_kept = self._faiss.IndexBinaryIDMap2(self._empty(kind, codes)), 0
        else:
            whole = before.whole
        if n_kept < len(ids):
            whole.add_with_ids(codes[n_kept:], ids[n_kept:])
        return self._opened(whole, codes)

    def _empty(self, kind: str | None, codes: Codes) -> Any:
        """Return an index without codes, trained on those that are to be added."""
        library, n_bits = self._faiss, 8 * codes.shape[1]
        match kind:
            case "hnsw":
                return library.IndexBinaryHNSW(n_bits, _EDGES)
            case "ivf":
                index = library.IndexBinaryIVF(library.IndexBinaryFlat(n_bits), n_bits, max(1, math.isqrt(len(codes))))
                index.cp.min_points_per_centroid = 1  # no warning about few codes
                if len(codes):
                    index.train(codes)
                return index
            case _:
                return library.IndexBinaryFlat(n_bits)

    def _opened(self, whole: Any, codes: Codes | None = None) -> _Index:
        """Return a stored index with the settings of the address; ``codes`` are read from it if they are not given."""
        library = self._faiss
        inner = library.downcast_IndexBinary(whole.index)
        if isinstance(inner, library.IndexBinaryHNSW):
            inner.hnsw.efSearch = self._ef
            return _Index("hnsw", whole, inner, library.downcast_IndexBinary(inner.storage))
        if isinstance(inner, library.IndexBinaryIVF):
            inner.nprobe = self._probes
            flat = library.IndexBinaryFlat(inner.d)
            flat.add(inner.reconstruct_n(0, inner.ntotal) if codes is None else codes)
            return _Index("ivf", whole, inner, flat)
        return _Index(None, whole, inner, inner)

    def _suits(self, index: _Index) -> bool:
        return self._kind in (None, index.kind)

    def _dump(self, index: _Index) -> bytes:
        data: bytes = self._faiss.serialize_index_binary(index.whole).tobytes()
        return data

    def _parse(self, data: bytes) -> tuple[Ids, Codes, _Index]:
        whole = self._faiss.deserialize_index_binary(np.frombuffer(data, np.uint8))
        index = self._opened(whole)
        ids = self._faiss.vector_to_array(whole.id_map)
        codes = self._faiss.vector_to_array(index.flat.xb).reshape(-1, whole.d // 8)
        return ids, codes, index

    def _guess(self, loaded: Loaded, query: Codes, k: int) -> Ids:
        _, places = loaded.index.inner.search(query[None], k)
        found: Ids = loaded.ids[places[places >= 0]]
        return found

    def _distance_of(self, loaded: Loaded, query: Codes, k: int) -> int:
        distances, _ = loaded.index.flat.search(query[None], k)
        return int(distances[0, -1])

    def _within(self, loaded: Loaded, query: Codes, r: int) -> Ids:
        _, _, places = loaded.index.flat.range_search(query[None], r + 1)  # below this radius
        found: Ids = loaded.ids[places]
        return found


@dataclass(frozen=True)
class _Index:
    """An ``IndexBinaryIDMap2``, the index in it, and an ``IndexBinaryFlat`` of the same codes."""

    kind: str | None
    whole: Any
    inner: Any
    flat: Any
