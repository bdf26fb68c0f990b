"""The interface of an index of packed codes, for `HammingIndex` and for indexes of other distributions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np
import numpy.typing as npt

from gannet.codes import Ids

Distances = npt.NDArray[np.int64]


class ReadOnlyIndex(Protocol):
    """The part of `Index` that searches.

    Attributes
    ----------
    n_bits : int
        Length of the codes in bits.
    """

    @property
    def n_bits(self) -> int:
        """Length of the codes in bits."""

    def __len__(self) -> int:
        """Return the number of codes."""

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
        """

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
        """


class Index(ReadOnlyIndex, Protocol):
    """Packed binary codes under ids, searched by Hamming distance.

    Any class with these members is an index; it need not inherit from this one. A collection makes its index by
    ``make(codes, n_bits, ids=ids)`` with all its codes ``(n, ceil(n_bits / 8))`` uint8 and their ids ``(n,)`` int64,
    distinct and ascending; ``make`` is a class or any other callable. ``n`` may be 0.

    Every result is ordered by distance, then by id. An approximate index may return other items than the exact ones,
    in the same order and with their true distances. Searches may run in several threads at once. Bad arguments raise
    `gannet.GannetError` and leave the index unchanged.

    An index may also have a method ``prepare()``, which does ahead of time the work that would delay the first
    searches. `gannet.retrieval.live.LiveCollection.warm_up` calls it.

    Attributes
    ----------
    n_bits : int
        Length of the codes in bits.
    """

    def add(self, codes: npt.ArrayLike, ids: npt.ArrayLike | None = None) -> Ids:
        """Add codes.

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
        """

    def remove(self, ids: npt.ArrayLike) -> None:
        """Remove codes.

        Parameters
        ----------
        ids : array-like of int of shape (m,)
            Distinct ids that are in the index.
        """


IndexFactory = Callable[..., Index]
"""Makes an index by ``make(codes, n_bits, ids=ids)``; see `Index`."""
