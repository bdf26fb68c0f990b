"""Codes as they come, searched with NumPy alone: nothing to build and nothing to import, for small work."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from gannet.codes import Codes

Distances = npt.NDArray[np.int64]
Positions = npt.NDArray[np.int64]


class Rows:
    """Codes ``(n, width)`` uint8 in the order of their positions, kept as given and not copied."""

    def __init__(self, codes: Codes) -> None:
        self._codes = codes
        # The widest words that a code is a whole number of.
        self._word = np.dtype(f"u{math.gcd(codes.shape[1], 8)}")
        self._words = np.ascontiguousarray(codes).view(self._word)

    def __len__(self) -> int:
        return len(self._codes)

    def codes(self) -> Codes:
        """Return the codes ``(n, width)`` by position."""
        return self._codes

    def nearest(self, queries: Codes, k: int) -> tuple[Distances, Positions]:
        """Return distances and positions ``(q, k)`` of the ``k <= n`` nearest codes, by distance, then position."""
        distances = np.empty((len(queries), k), np.int64)
        positions = np.empty((len(queries), k), np.int64)
        for i, query in enumerate(queries if len(self) else []):
            away = self._distances(query)
            bound = np.partition(away, k - 1)[k - 1]
            near, where = _sorted_within(away, int(bound))
            distances[i], positions[i] = near[:k], where[:k]
        return distances, positions

    def within(self, queries: Codes, radius: int) -> list[tuple[Distances, Positions]]:
        """Return for each query distances and positions of all codes within ``radius``, in the same order."""
        return [_sorted_within(self._distances(query), radius) for query in queries]

    def _distances(self, query: Codes) -> npt.NDArray[np.integer]:
        words = query.view(self._word)
        total: npt.NDArray[np.integer] = np.bitwise_count(self._words[:, 0] ^ words[0])
        if len(words) > 1:
            total = total.astype(np.int32)
        for column in range(1, len(words)):
            total += np.bitwise_count(self._words[:, column] ^ words[column])
        return total


def _sorted_within(away: npt.NDArray[np.integer], bound: int) -> tuple[Distances, Positions]:
    positions = np.flatnonzero(away <= bound)
    distances = away[positions].astype(np.int64)
    order = np.argsort(distances, kind="stable")
    return distances[order], positions[order]
