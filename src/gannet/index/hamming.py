"""An exact index of packed codes by Hamming distance."""

from __future__ import annotations

import operator
import threading
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, get_args

import numpy as np
import numpy.typing as npt

from gannet.codes import Codes, Ids, check_codes, check_ids, n_bytes
from gannet.errors import GannetError, unknown_name
from gannet.index._rows import Rows
from gannet.index.id_runs import IdRuns
from gannet.index.protocol import Distances

if TYPE_CHECKING:
    from gannet.index._multi import Multi
    from gannet.index._slices import Slices

Layout = Literal["scan", "multi"]

_WORK_IN_ROWS = 50_000_000
"""Distances computed with NumPy before the codes are rearranged for the compiled kernel, which takes about as long."""
_WORK_PER_QUERY = 5_000
"""Number of distances whose computation takes as long as NumPy's overhead per query."""
_MANY_QUERIES = 1000
_MOST_CHANGED = 1 / 16
"""Share of the rearranged codes up to which codes are added beside them, and removed by marks."""


class _Content(NamedTuple):
    """What an index holds: codes, of which some may be marked as removed, and further ones that were added later."""

    store: Rows | Slices | Multi
    ids: IdRuns
    n_gone: int = 0
    added: HammingIndex | None = None

    @property
    def n_kept(self) -> int:
        return len(self.store) - self.n_gone

    def kept(self) -> npt.NDArray[np.bool_] | slice:
        """Return which of the codes of the store were not removed."""
        if isinstance(self.store, Rows) or not self.n_gone:
            return slice(None)
        kept: npt.NDArray[np.bool_] = np.unpackbits(self.store.gone, count=len(self.store), bitorder="little") == 0
        return kept

    def positions(self, ids: Ids) -> npt.NDArray[np.int64]:
        """Return the positions of ids in the store, or -1 for those that are not in it or were removed."""
        positions = self.ids.locate(ids)
        if not isinstance(self.store, Rows) and len(self.store):
            positions[self.store.gone[positions >> 3] >> (positions & 7) & 1 != 0] = -1
        return positions

    def has(self, ids: Ids) -> npt.NDArray[np.bool_]:
        """Return which of the ids are present."""
        present = self.positions(ids) >= 0
        return present if self.added is None else present | self.added._content.has(ids)

    def next_id(self) -> int:
        """Return the id after the largest one, or 0 if there are none."""
        following = [] if self.added is None else [self.added._content.next_id()]
        if self.n_kept:
            kept = self.kept()
            last = len(self.store) - 1 if isinstance(kept, slice) else int(np.flatnonzero(kept)[-1])
            following.append(int(self.ids.take(np.array(last))) + 1)
        return max(following, default=0)


class HammingIndex:
    """Exact search of packed codes by Hamming distance; an `Index` (see `gannet.index.protocol`).

    The index first searches the codes as given, with NumPy. Once it has computed about as many distances as take the
    time of rearranging the codes, it rearranges them for compiled kernels; the results stay the same. One layout is
    for scans (`gannet.index._slices`), the other finds near codes in hash tables (`gannet.index._multi`). The index
    takes the tables, which need more memory, if a million codes or more are so clumped that a search of a sample
    would take less than half the time of a scan.

    Afterwards, added codes are searched beside the others and removed ones are marked, until a sixteenth of the codes
    has changed; then all are rearranged again. Searches may run in several threads at once. Changes run one at a
    time, and a search sees the index either before or after a change.

    Parameters
    ----------
    codes : ndarray of shape (n, ceil(n_bits / 8)), dtype uint8
        Packed codes, see `gannet.codes`; ``n`` may be 0. They are not copied if the ids are ascending.
    n_bits : int
        Length of the codes in bits.
    ids : array-like of int of shape (n,), default=None
        Distinct ids in any order; by default 0 to n - 1.
    layout : {"scan", "multi"}, default=None
        The layout from the first search on; by default the index chooses. Codes of at most 24 bits are always scanned.

    Attributes
    ----------
    n_bits : int
        Length of the codes in bits.
    layout : {"scan", "multi"} or None
        The argument ``layout``.

    Raises
    ------
    GannetError
        If the codes have another length or type, if the ids are not n distinct integers, or if there is no such layout.

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

    def __init__(
        self,
        codes: npt.ArrayLike,
        n_bits: int,
        ids: npt.ArrayLike | IdRuns | None = None,
        layout: Layout | None = None,
    ) -> None:
        checked = check_codes(codes, n_bits)
        if layout is not None and layout not in get_args(Layout):
            raise unknown_name("layout", str(layout), get_args(Layout))
        self.n_bits = n_bits
        self.layout = layout
        self._changing = threading.Lock()
        self._work = 0
        if not isinstance(ids, IdRuns):
            checked, new_ids = _in_order(checked, _distinct_ids(ids, len(checked), 0))
            ids = IdRuns.of([new_ids])
        self._content = _Content(Rows(checked), ids)

    def __len__(self) -> int:
        content = self._content
        return content.n_kept + (0 if content.added is None else len(content.added))

    @property
    def ids(self) -> Ids:
        """All ids ``(n,)`` int64, ascending."""
        return np.sort(self._all_ids(self._content))

    @property
    def codes(self) -> Codes:
        """All codes ``(n, ceil(n_bits / 8))`` uint8, in the order of `ids`."""
        return self._all(self._content)[0]

    def __reduce__(self) -> tuple[Any, ...]:
        codes, ids = self._all(self._content)
        return type(self), (codes, self.n_bits, IdRuns.of([ids]), self.layout)

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
        content = self._suited(len(checked))
        distances, positions = content.store.nearest(checked, min(k, content.n_kept))
        ids = content.ids.take(positions)
        if content.added is None:
            return distances, ids
        more, more_ids = content.added.search(checked, k)
        distances, ids = np.concatenate([distances, more], axis=1), np.concatenate([ids, more_ids], axis=1)
        order = np.lexsort((ids, distances))[:, :k]
        return np.take_along_axis(distances, order, 1), np.take_along_axis(ids, order, 1)

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
        content = self._suited(len(checked))
        found = content.store.within(checked, min(r, self.n_bits))
        results = [(distances, content.ids.take(positions)) for distances, positions in found]
        if content.added is None:
            return results
        return [_joined(*pair) for pair in zip(results, content.added.radius(checked, r), strict=True)]

    def add(self, codes: npt.ArrayLike, ids: npt.ArrayLike | None = None) -> Ids:
        """Add codes.

        They are searched beside the codes that were rearranged before; once those added exceed a sixteenth, or if no
        codes have been rearranged yet, the time is proportional to the size of the whole index.

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
            content = self._content
            new_ids = _distinct_ids(ids, len(new_codes), content.next_id() if ids is None else 0)
            present = content.has(new_ids)
            if present.any():
                raise GannetError(f"id {new_ids[present][0]} is already in the index; remove it first")
            if not len(new_ids):
                return new_ids
            n_added = len(new_ids) + len(content.added or ())
            if isinstance(content.store, Rows) or n_added > _MOST_CHANGED * len(content.store):
                old_codes, old_ids = self._all(content)
                self._replace(np.concatenate([old_codes, new_codes]), np.concatenate([old_ids, new_ids]))
            elif content.added is None:
                self._content = content._replace(added=HammingIndex(new_codes, self.n_bits, new_ids, "scan"))
            else:
                added = content.added._copy()
                added.add(new_codes, new_ids)
                self._content = content._replace(added=added)
        return new_ids

    def remove(self, ids: npt.ArrayLike) -> None:
        """Remove codes.

        They are marked; once the marks exceed a sixteenth, or if no codes have been rearranged yet, the time is
        proportional to the size of the whole index.

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
            content = self._content
            unknown = ~content.has(gone)
            if unknown.any():
                raise GannetError(f"id {gone[unknown][0]} is not in the index; nothing was removed")
            positions = content.positions(gone)
            here, n_gone = positions >= 0, content.n_gone + int(np.count_nonzero(positions >= 0))
            if isinstance(content.store, Rows) or n_gone > _MOST_CHANGED * len(content.store):
                old_codes, old_ids = self._all(content)
                kept = ~np.isin(old_ids, gone, assume_unique=True)
                self._replace(old_codes[kept], old_ids[kept])
                return
            marks = content.store.gone.copy()
            np.bitwise_or.at(marks, positions[here] >> 3, np.uint8(1) << (positions[here] & 7).astype(np.uint8))
            added = content.added
            if added is not None and not here.all():
                added = added._copy()
                added.remove(gone[~here])
                added = added if len(added) else None
            self._content = content._replace(store=content.store.without(marks), n_gone=n_gone, added=added)

    def _all_ids(self, content: _Content) -> Ids:
        """Return all ids, those of the store before the added ones."""
        ids = content.ids.all()[content.kept()]
        return ids if content.added is None else np.concatenate([ids, content.added.ids])

    def _all(self, content: _Content) -> tuple[Codes, Ids]:
        """Return codes and ids in the order of the ids."""
        codes, ids = content.store.codes()[content.kept()], self._all_ids(content)
        if content.added is not None:
            codes = np.concatenate([codes, content.added.codes])
        return _in_order(codes, ids)

    def _copy(self) -> HammingIndex:
        """Return an index with the same content, whose changes do not change this one."""
        other = HammingIndex(np.empty((0, n_bytes(self.n_bits)), np.uint8), self.n_bits, layout=self.layout)
        other._content, other._work = self._content, self._work
        return other

    def _replace(self, codes: Codes, ids: Ids) -> None:
        """Hold other codes; they are rearranged at the next search if the former ones were, even if few are left."""
        if isinstance(self._content.store, Rows):
            self._work = 0
        codes, ids = _in_order(codes, ids)
        self._content = _Content(Rows(codes), IdRuns.of([ids]))

    def _suited(self, n_queries: int) -> _Content:
        """Return the content, rearranged for the kernels if searches so far and ``n_queries`` more make that pay."""
        content = self._content
        if isinstance(content.store, Rows):
            self._work += n_queries * (len(content.store) + _WORK_PER_QUERY)
            if self._work > _WORK_IN_ROWS or self.layout is not None:
                with self._changing:
                    content = self._content
                    if isinstance(content.store, Rows) and len(content.store):
                        content = content._replace(store=self._arranged(content.store.codes()))
                        self._content = content
        return content

    def _arranged(self, codes: Codes) -> Slices | Multi:
        """Return the codes in the layout that was asked for or, by default, in the one that suits them."""
        from gannet.index._slices import Slices

        if self.layout == "scan":
            return Slices(codes)
        from gannet.index import _multi as multi

        return multi.arrange(codes, always=self.layout == "multi")


def _joined(some: tuple[Distances, Ids], others: tuple[Distances, Ids]) -> tuple[Distances, Ids]:
    """Return two results as one, by distance, then by id."""
    distances, ids = (np.concatenate(pair) for pair in zip(some, others, strict=True))
    order = np.lexsort((ids, distances))
    return distances[order], ids[order]


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


def _in_order(codes: Codes, ids: Ids) -> tuple[Codes, Ids]:
    """Return codes and ids in the order of the ids."""
    order = _ascending(ids)
    return (codes, ids) if order is None else (codes[order], ids[order])
