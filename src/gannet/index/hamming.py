"""An exact index of packed codes by Hamming distance."""

from __future__ import annotations

import operator
import threading
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from gannet.codes import Codes, Ids, check_codes, check_ids, n_bytes
from gannet.errors import GannetError
from gannet.index._rows import Rows
from gannet.index.id_runs import IdRuns
from gannet.index.protocol import Distances

if TYPE_CHECKING:
    from gannet.index._slices import Slices

_WORK_IN_ROWS = 50_000_000
"""Distances computed with NumPy before the codes are rearranged for the compiled kernel, which takes about as long."""
_WORK_PER_QUERY = 5_000
"""Number of distances whose computation takes as long as NumPy's overhead per query."""
_MANY_QUERIES = 1000


class HammingIndex:
    """Exact search of packed codes by Hamming distance; an `Index` (see `gannet.index.protocol`).

    The index first searches the codes as given, with NumPy. Once it has computed about as many distances as take the
    time of rearranging the codes, it rearranges them for a compiled kernel (`gannet.index._slices`); the results stay
    the same. Searches may run in several threads at once. Changes run one at a time, and a search sees the index
    either before or after a change.

    Parameters
    ----------
    codes : ndarray of shape (n, ceil(n_bits / 8)), dtype uint8
        Packed codes, see `gannet.codes`; ``n`` may be 0. They are not copied if the ids are ascending.
    n_bits : int
        Length of the codes in bits.
    ids : array-like of int of shape (n,), default=None
        Distinct ids in any order; by default 0 to n - 1.

    Attributes
    ----------
    n_bits : int
        Length of the codes in bits.

    Raises
    ------
    GannetError
        If the codes have another length or type, or if the ids are not n distinct integers.

    Examples
    --------
    >>> import numpy as np
    >>> from gannet import HammingIndex
    >>> index = HammingIndex(np.array([[0], [1], [7]], np.uint8), n_bits=8)
    >>> distances, ids = index.search(np.array([[3]], np.uint8), k=2)
    >>> distances, ids
    (array([[1, 1]]), array([[1, 2]]))
    >>> index.add(np.array([[3]], np.uint8))
    array([3])
    >>> index.radius(np.array([[3]], np.uint8), r=0)
    [(array([0]), array([3]))]
    """

    name = "hamming"

    def __init__(self, codes: npt.ArrayLike, n_bits: int, ids: npt.ArrayLike | IdRuns | None = None) -> None:
        checked = check_codes(codes, n_bits)
        self.n_bits = n_bits
        self._changing = threading.Lock()
        self._work = 0
        if not isinstance(ids, IdRuns):
            new_ids = _distinct_ids(ids, len(checked), 0)
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
    def codes(self) -> Codes:
        """All codes ``(n, ceil(n_bits / 8))`` uint8, in the order of `ids`."""
        return self._content[0].codes()

    def __reduce__(self) -> tuple[Any, ...]:
        store, ids = self._content
        return type(self), (store.codes(), self.n_bits, ids)

    def prepare(self) -> None:
        """Rearrange the codes of a large index and load the kernel now, so that no later search is delayed by it."""
        self._suited(_MANY_QUERIES)
        if len(self):
            self.search(np.zeros((1, n_bytes(self.n_bits)), np.uint8), 1)  # loads the kernel

    def search(self, queries: npt.ArrayLike, k: int) -> tuple[Distances, Ids]:
        """Return the ``k`` nearest codes of each query.

        Parameters
        ----------
        queries : ndarray of shape (q, ceil(n_bits / 8)), dtype uint8
            Packed codes.
        k : int
            Number of neighbors, 1 or more.

        Returns
        -------
        distances : ndarray of shape (q, min(k, n)), dtype int64
            Hamming distances in bits, ascending in each row.
        ids : ndarray of shape (q, min(k, n)), dtype int64
            Ids of the codes; equal distances are in the order of the ids.

        Raises
        ------
        GannetError
            If the queries have another length or type, or if ``k`` is below 1.
        """
        checked = check_codes(queries, self.n_bits, "queries")
        k = _whole("k", k)
        if k < 1:
            raise GannetError(f"k must be 1 or more, not {k}")
        store, ids = self._suited(len(checked))
        distances, positions = store.nearest(checked, min(k, len(store)))
        return distances, ids.take(positions)

    def radius(self, queries: npt.ArrayLike, r: int) -> list[tuple[Distances, Ids]]:
        """Return all codes at most ``r`` bits away from each query.

        Parameters
        ----------
        queries : ndarray of shape (q, ceil(n_bits / 8)), dtype uint8
            Packed codes.
        r : int
            Largest distance in bits, 0 or more.

        Returns
        -------
        list of (distances, ids)
            One pair of int64 arrays of shape (hits,) per query, ordered by distance, then by id.

        Raises
        ------
        GannetError
            If the queries have another length or type, or if ``r`` is negative.
        """
        checked = check_codes(queries, self.n_bits, "queries")
        r = _whole("the radius", r)
        if r < 0:
            raise GannetError(f"the radius must be 0 bits or more, not {r}")
        store, ids = self._suited(len(checked))
        found = store.within(checked, min(r, self.n_bits))
        return [(distances, ids.take(positions)) for distances, positions in found]

    def add(self, codes: npt.ArrayLike, ids: npt.ArrayLike | None = None) -> Ids:
        """Add codes; the time is proportional to the size of the whole index, so add many at once.

        Parameters
        ----------
        codes : ndarray of shape (m, ceil(n_bits / 8)), dtype uint8
            Packed codes.
        ids : array-like of int of shape (m,), default=None
            Ids that are not in the index yet, each given once. By default they follow the largest id present.

        Returns
        -------
        ndarray of shape (m,), dtype int64
            The ids of the added codes.

        Raises
        ------
        GannetError
            If the codes have another length or type, or if the ids are not m distinct integers that the index does not
            have yet. The index is unchanged then.
        """
        new_codes = check_codes(codes, self.n_bits)
        with self._changing:
            old_ids = self.ids
            new_ids = _distinct_ids(ids, len(new_codes), int(old_ids[-1]) + 1 if len(old_ids) else 0)
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
        """Remove codes; the time is proportional to the size of the whole index, so remove many at once.

        Parameters
        ----------
        ids : array-like of int of shape (m,)
            Distinct ids that are in the index.

        Raises
        ------
        GannetError
            If an id is not in the index or given twice; the index is unchanged then.
        """
        gone = _distinct_ids(ids, None, 0)
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
        """Return the content, rearranged for the kernel if the searches so far and ``n_queries`` more make that pay."""
        store, ids = self._content
        if isinstance(store, Rows):
            self._work += n_queries * (len(store) + _WORK_PER_QUERY)
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


def _distinct_ids(ids: npt.ArrayLike | None, n: int | None, first: int) -> Ids:
    """Return ids as int64, of any number if ``n`` is None; by default the ``n`` from ``first`` on."""
    if ids is None:
        if first + (n or 0) > 2**63:
            raise GannetError(f"no ids are left after {first - 1} for {n} codes: give their ids")
        return np.array(first if n else 0, np.int64) + np.arange(n or 0, dtype=np.int64)
    array = check_ids(ids)
    if n is not None and len(array) != n:
        raise GannetError(f"{n} codes need {n} ids, not {len(array)}")
    ordered = np.sort(array)
    repeated = ordered[1:][ordered[1:] == ordered[:-1]]
    if len(repeated):
        raise GannetError(f"ids must be unique; {repeated[0]} is given twice")
    return array


def _ascending(ids: Ids) -> npt.NDArray[np.intp] | None:
    """Return the order that sorts the ids, or None if they are sorted."""
    return None if (ids[1:] > ids[:-1]).all() else np.argsort(ids)
