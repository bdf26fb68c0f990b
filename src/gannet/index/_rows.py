"""The layout for small searches: codes as given, searched with NumPy, without preparation or further imports."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from gannet.codes import Codes
from gannet.index.protocol import Distances

Positions = npt.NDArray[np.int64]

_ROWS_AT_ONCE = 1 << 16


class Rows:
    """Codes ``(n, width)`` uint8 in the order of their positions, kept as given and not copied."""

    def __init__(self, codes: Codes) -> None:
        self._codes = codes
        # The widest words that divide a code evenly.
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
            distances[i], positions[i] = _sorted_nearest(self._distances(query), k)
        return distances, positions

    def within(self, queries: Codes, radius: int) -> list[tuple[Distances, Positions]]:
        """Return, per query, distances and positions of all codes within ``radius``, in the order of `nearest`."""
        return [_sorted_within(self._distances(query), radius) for query in queries]

    def _distances(self, query: Codes) -> npt.NDArray[np.integer]:
        words = query.view(self._word)
        total = np.zeros(len(self), np.min_scalar_type(8 * query.size))
        # One part at a time, so that temporary arrays are small and stay in the processor's cache.
        for start in range(0, len(self), _ROWS_AT_ONCE):
            rows, part = self._words[start : start + _ROWS_AT_ONCE], total[start : start + _ROWS_AT_ONCE]
            for column, word in enumerate(words):
                part += np.bitwise_count(rows[:, column] ^ word)
        return total


def _sorted_nearest(away: npt.NDArray[np.integer], k: int) -> tuple[Distances, Positions]:
    """Return distances and positions ``(k,)`` of the ``k`` smallest, by distance, then position."""
    bound = np.partition(away, k - 1)[k - 1]
    distances, positions = _sorted_within(away, int(bound) - 1)
    ties: list[Positions] = []
    wanted = k - len(positions)
    for start in range(0, len(away), _ROWS_AT_ONCE):
        if wanted <= 0:
            break
        ties.append(start + np.flatnonzero(away[start : start + _ROWS_AT_ONCE] == bound)[:wanted])
        wanted -= len(ties[-1])
    positions = np.concatenate([positions, *ties])
    return np.concatenate([distances, np.full(k - len(distances), bound, np.int64)]), positions


def _sorted_within(away: npt.NDArray[np.integer], bound: int) -> tuple[Distances, Positions]:
    positions = np.flatnonzero(away <= bound)
    distances = away[positions]
    order = np.argsort(distances, kind="stable")  # small integers are sorted by radix
    return distances[order].astype(np.int64), positions[order]
