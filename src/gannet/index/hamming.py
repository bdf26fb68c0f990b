"""An exact index of packed codes by Hamming distance."""

from __future__ import annotations

import operator
import threading
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from gannet.codes import check_codes, n_bytes
from gannet.errors import GannetError
from gannet.index._rows import Rows
from gannet.index.id_runs import IdRuns

if TYPE_CHECKING:
    from gannet.index._slices import Slices

Ids = npt.NDArray[np.int64]
Distances = npt.NDArray[np.int64]

_WORK_IN_ROWS = 50_000_000
"""Distances computed by NumPy before the codes are laid out for the compiled kernel, which costs about as much."""
_WORK_A_QUERY = 5_000
"""Distances that cost as much as a query's own overhead in NumPy."""
_MANY_QUERIES = 1000


class HammingIndex:
    """Exact nearest neighbours of packed codes by Hamming distance, ties by id.

    Small work is done with NumPy on the codes as given. Once the distances asked for add up to what a better layout
    costs, the codes are laid out for the compiled kernel (`gannet.index._slices`), which takes the place of the
    first; answers are the same. Searches may run in several threads at once; a change excludes other changes, and
    searches see the index before or after it.

    Parameters
    ----------
        codes: ``(n, ceil(n_bits / 8))`` uint8, see `gannet.codes`; ``n`` may be 0. Not copied if ids are ascending.
        n_bits: length of the codes in bits.
        ids: ``n`` different integers in any order; by default 0 to n - 1.

    Raises: `GannetError` for codes of another length or type, and ids of another number or not unique.
    """

    def __init__(self, codes: npt.ArrayLike, n_bits: int, ids: npt.ArrayLike | IdRuns | None = None) -> None:
        checked = check_codes(codes, n_bits)
        self.n_bits = n_bits
        self._changing = threading.Lock()
        self._work = 0
        if not isinstance(ids, IdRuns):
            new_ids = _check_ids(ids, len(checked), 0)
            order = _ascending(new_ids)
            if order is not None:
                checked, new_ids = checked[order], new_ids[order]
            ids = IdRuns.of([new_ids])
        self._content: tuple[Rows | Slices, IdRuns] = Rows(checked), ids

    def __len__(self) -> int:
        return len(self._content[0])

    @property
    def ids(self) -> Ids:
        """All ids ``(n,)`` int64, ascending."""
        return self._content[1].all()

    @property
    def codes(self) -> npt.NDArray[np.uint8]:
        """All codes ``(n, ceil(n_bits / 8))`` uint8, in the order of `ids`."""
        return self._content[0].codes()

    def prepare(self) -> None:
        """Lay the codes out now if many queries would, so that none has to wait for it; small indexes stay as given."""
        self._suited(_MANY_QUERIES)
        if len(self):
            self.search(np.zeros((1, n_bytes(self.n_bits)), np.uint8), 1)  # loads the kernel

    def search(self, queries: npt.ArrayLike, k: int) -> tuple[Distances, Ids]:
        """Return the ``k`` nearest codes of each query.

        Parameters: ``queries`` packed codes ``(q, ceil(n_bits / 8))`` uint8.
        Returns: distances in bits and ids, each ``(q, min(k, n))`` int64, by distance, then id.
        Raises: `GannetError` for queries of another length or type, and ``k`` below 1.
        """
        checked = check_codes(queries, self.n_bits, "queries")
        k = _whole("k", k)
        if k < 1:
            raise GannetError(f"k must be 1 or more, not {k}")
        store, ids = self._suited(len(checked))
        distances, positions = store.nearest(checked, min(k, len(store)))
        return distances, ids.take(positions)

    def radius(self, queries: npt.ArrayLike, r: int) -> list[tuple[Distances, Ids]]:
        """Return for each query all codes at most ``r`` bits away.

        Parameters: ``queries`` packed codes ``(q, ceil(n_bits / 8))`` uint8.
        Returns: for each query a pair of distances in bits and ids, ``(hits,)`` int64, by distance, then id.
        Raises: `GannetError` for queries of another length or type, and negative ``r``.
        """
        checked = check_codes(queries, self.n_bits, "queries")
        r = _whole("the radius", r)
        if r < 0:
            raise GannetError(f"the radius must be 0 bits or more, not {r}")
        store, ids = self._suited(len(checked))
        found = store.within(checked, min(r, self.n_bits))
        return [(distances, ids.take(positions)) for distances, positions in found]

    def add(self, codes: npt.ArrayLike, ids: npt.ArrayLike | None = None) -> Ids:
        """Add codes ``(m, ceil(n_bits / 8))`` and return their ids ``(m,)`` int64.

        Ids default to those that follow the largest present. Takes time in proportion to the whole index, so add
        many codes at once. Raises: `GannetError` as the constructor does, and for an id that is present already;
        the index is unchanged then.
        """
        new_codes = check_codes(codes, self.n_bits)
        with self._changing:
            old_ids = self.ids
            new_ids = _check_ids(ids, len(new_codes), int(old_ids[-1]) + 1 if len(old_ids) else 0)
            present = np.isin(new_ids, old_ids)
            if present.any():
                raise GannetError(f"id {new_ids[present][0]} is already in the index; remove it first")
            all_ids = np.concatenate([old_ids, new_ids])
            all_codes = np.concatenate([self.codes, new_codes])
            order = _ascending(all_ids)
            if order is not None:
                all_ids, all_codes = all_ids[order], all_codes[order]
            self._replace(Rows(all_codes), all_ids)
        return new_ids

    def remove(self, ids: npt.ArrayLike) -> None:
        """Remove the codes of the given ids.

        Takes time in proportion to the whole index, so remove many codes at once. Raises: `GannetError` for ids that
        are not in the index, naming the first, or given twice; the index is unchanged then.
        """
        gone = _check_ids(ids, None, 0)
        with self._changing:
            old_ids = self.ids
            unknown = ~np.isin(gone, old_ids)
            if unknown.any():
                raise GannetError(f"id {gone[unknown][0]} is not in the index; nothing was removed")
            kept = ~np.isin(old_ids, gone, assume_unique=True)
            self._replace(Rows(self.codes[kept]), old_ids[kept])

    def _replace(self, rows: Rows, ids: Ids) -> None:
        self._content = rows, IdRuns.of([ids])
        self._work = 0

    def _suited(self, n_queries: int) -> tuple[Rows | Slices, IdRuns]:
        """Return the content in the layout that suits the work so far and these queries."""
        store, ids = self._content
        if isinstance(store, Rows):
            self._work += n_queries * (len(store) + _WORK_A_QUERY)
            if self._work > _WORK_IN_ROWS:
                with self._changing:
                    store, ids = self._content
                    if isinstance(store, Rows) and len(store):
                        from gannet.index._slices import Slices

                        store = Slices(store.codes())
                        self._content = store, ids
        return store, ids


def _whole(name: str, value: int) -> int:
    try:
        return operator.index(value)
    except TypeError:
        raise GannetError(f"{name} must be a whole number, not {value!r}") from None


def _check_ids(ids: npt.ArrayLike | None, n: int | None, first: int) -> Ids:
    """Return ids as int64, or the default ones: ``n`` from ``first`` on."""
    if ids is None:
        return np.arange(first, first + (n or 0), dtype=np.int64)
    array = np.asarray(ids)
    if array.size == 0:
        array = array.astype(np.int64)
    if array.ndim != 1 or not np.issubdtype(array.dtype, np.integer):
        raise GannetError(f"ids must be integers of shape (n,), not {array.dtype} of shape {array.shape}")
    if n is not None and len(array) != n:
        raise GannetError(f"{n} codes need {n} ids, not {len(array)}")
    if array.dtype == np.uint64 and array.size and array.max() > np.iinfo(np.int64).max:
        raise GannetError("ids must fit in 64 bits with a sign")
    array = array.astype(np.int64)
    ordered = np.sort(array)
    repeated = ordered[1:][ordered[1:] == ordered[:-1]]
    if len(repeated):
        raise GannetError(f"ids must be unique; {repeated[0]} is given twice")
    return array


def _ascending(ids: Ids) -> npt.NDArray[np.intp] | None:
    """Return the order that sorts the ids, or None if they are sorted."""
    return None if (ids[1:] > ids[:-1]).all() else np.argsort(ids)
