"""An index over some of the bits of each code."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from gannet.codes import Codes, Ids, bits_between, check_codes
from gannet.errors import GannetError
from gannet.index.protocol import Distances, Index, IndexFactory


class PartIndex(Index):
    """An index over a range of the bits: queries and added codes have all bits, distances count those in the range.

    Parameters
    ----------
    codes : ndarray of shape (n, ceil(n_bits / 8)), dtype uint8
        Packed codes.
    n_bits : int
        Length of the codes in bits.
    ids : array-like of int of shape (n,), default=None
        Their ids.
    bits : tuple of int
        The first bit that is compared, and the one after the last.
    make_index : callable
        Makes the index of the shorter codes; see `gannet.index.protocol.Index`.

    Examples
    --------
    >>> from gannet import HammingIndex
    >>> from gannet.codes import pack
    >>> from gannet.index.part import PartIndex
    >>> index = PartIndex(pack([[1, 1, 0], [0, 0, 1]]), 3, bits=(1, 3), make_index=HammingIndex)
    >>> index.search(pack([[1, 0, 1]]), k=1)
    (array([[0]]), array([[1]]))
    """

    def __init__(
        self,
        codes: npt.ArrayLike,
        n_bits: int,
        ids: npt.ArrayLike | None = None,
        *,
        bits: tuple[int, int],
        make_index: IndexFactory,
    ) -> None:
        if not 0 <= bits[0] < bits[1] <= n_bits:
            raise GannetError(f"codes of {n_bits} bits have no bits {bits[0]} to {bits[1]}")
        self._n_bits, self.bits = n_bits, bits
        self._index = make_index(self._cut(codes), bits[1] - bits[0], ids=ids)

    @property
    def n_bits(self) -> int:
        """Length of the whole codes in bits."""
        return self._n_bits

    def __len__(self) -> int:
        return len(self._index)

    def search(self, queries: npt.ArrayLike, k: int) -> tuple[Distances, Ids]:
        """Return the ``k`` codes nearest to each query in the range of bits; see `Index.search`."""
        return self._index.search(self._cut(queries), k)

    def radius(self, queries: npt.ArrayLike, r: int) -> list[tuple[Distances, Ids]]:
        """Return all codes that differ from each query in at most ``r`` bits of the range; see `Index.radius`."""
        return self._index.radius(self._cut(queries), r)

    def add(self, codes: npt.ArrayLike, ids: npt.ArrayLike | None = None) -> Ids:
        """Add codes; see `Index.add`."""
        return self._index.add(self._cut(codes), ids)

    def remove(self, ids: npt.ArrayLike) -> None:
        """Remove codes; see `Index.remove`."""
        self._index.remove(ids)

    def prepare(self) -> None:
        """Do ahead of time the work that would delay the first searches, if the index has any."""
        prepare = getattr(self._index, "prepare", None)
        if prepare is not None:
            prepare()

    def _cut(self, codes: npt.ArrayLike) -> Codes:
        return np.ascontiguousarray(bits_between(check_codes(codes, self._n_bits), *self.bits))
