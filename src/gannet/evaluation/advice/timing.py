"""Times of one query in a collection of a given size, from smaller scans."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from gannet.codes import Codes
from gannet.encoders import Floats
from gannet.index import HammingIndex
from gannet.scoring import DEFAULT_CANDIDATES, asymmetric_scores, best_first
from gannet.support.arrays import unit_rows

RERANKED = 200
"""Number of the best items whose kept floats are compared."""
K = 10
"""Number of results of a timed search."""
SCANNED = 200_000
"""Number of codes in a timed scan."""
_FLOATS_SCANNED = 20_000


def seconds_of(work: Callable[[], Any], times: int = 5) -> float:
    """Return the shortest of several times that ``work`` takes."""
    taken = []
    for _ in range(times):
        started = time.perf_counter()
        work()
        taken.append(time.perf_counter() - started)
    return min(taken)


def tiled(codes: Codes) -> Codes:
    """Return 200,000 codes, the given ones again and again."""
    rows: npt.NDArray[np.int64] = np.arange(SCANNED) % len(codes)
    return np.asarray(codes[rows])


class SearchTimes:
    """Times of one query among ``n_items`` items.

    The scan is timed on 200,000 codes, or 20,000 rows of floats, and scaled linearly. Scoring and re-ranking, which
    compare a fixed number of items, are timed as they are; the floats to re-rank are read from memory.
    """

    def __init__(self, n_items: int) -> None:
        self.n_items = n_items
        self._by_length: dict[int, tuple[float, float]] = {}

    def of_codes(self, codes: Codes, weights: Floats) -> tuple[float, float]:
        """Return the times by Hamming distance, and by score, which depend on the length of the codes alone."""
        n_bits = len(weights)
        if n_bits not in self._by_length:
            many, query = tiled(codes), codes[:1]
            index = HammingIndex(many, n_bits)
            index.prepare()
            scan = seconds_of(lambda: index.search(query, K))
            select = max(0.0, seconds_of(lambda: index.search(query, DEFAULT_CANDIDATES)) - scan)
            some = many[:DEFAULT_CANDIDATES]
            score = seconds_of(lambda: best_first(asymmetric_scores(weights, some)))
            by_distance = scan * self.n_items / SCANNED
            self._by_length[n_bits] = by_distance, by_distance + select + score
        return self._by_length[n_bits]

    def of_floats(self, rows: Floats) -> float:
        """Return the time to compare the query with all rows by cosine."""
        repeated: npt.NDArray[np.int64] = np.arange(_FLOATS_SCANNED) % len(rows)
        unit = unit_rows(rows)[repeated]
        query = unit[0]
        return seconds_of(lambda: np.argpartition(unit @ query, -K)) * self.n_items / _FLOATS_SCANNED

    def of_reranking(self, kept: npt.NDArray[np.float16], query: Floats) -> float:
        """Return the time to compare the query with the 200 best items by their kept floats."""
        rows = np.random.default_rng(0).choice(len(kept), RERANKED)
        return seconds_of(lambda: np.argsort(-(kept[rows].astype(np.float32) @ query)))
