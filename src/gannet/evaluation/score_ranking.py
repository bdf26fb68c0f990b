"""Metrics of ranking a whole database by asymmetric score, with the treatment of ties of rankings by distance."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt

from gannet.codes import Codes
from gannet.encoders import Floats
from gannet.errors import GannetError
from gannet.evaluation.histograms import DistanceHistograms
from gannet.evaluation.sort_keys import sort_keys
from gannet.scoring import signs
from gannet.support import threads

MAX_SCORES = 1 << 19
"""Scores that a thread holds in memory; with everything that is computed from it, a score takes about 150 bytes."""
_CODES_AT_ONCE = 1 << 15


def check_values(query_values: npt.ArrayLike, n_queries: int, n_bits: int) -> Floats:
    """Return the values of queries as float32; raises a `GannetError` unless they are finite and one row per query."""
    values = np.asarray(query_values, np.float32)
    if values.shape != (n_queries, n_bits):
        raise GannetError(
            f"query_values must have shape ({n_queries}, {n_bits}), one value per query and bit, not {values.shape}"
        )
    if not np.isfinite(values).all():
        raise GannetError("query_values hold NaN or infinite values: drop or repair those rows")
    return values


def mean_by_score(
    values: Floats,
    database: Codes,
    n_bits: int,
    relevant: Callable[[slice], npt.NDArray[np.bool_]],
    measure: Callable[[DistanceHistograms], npt.NDArray[np.float64]],
) -> float:
    """Return the mean of a metric over queries, for the ranking of the whole database by asymmetric score.

    ``values (q, n_bits)`` weigh the bits of ``database (m, w)``; ``relevant`` returns which items are relevant to some
    queries, bool ``(b, m)``. ``measure`` returns the metric of each of them from the counts of items and relevant items
    by score, highest first. Items with equal codes, and items whose scores are exactly equal, are ties and share a
    column; there are columns without items.
    """
    codes, place, n_items = np.unique(database, axis=0, return_inverse=True, return_counts=True)
    by_code = np.argsort(place, kind="stable")
    starts = np.cumsum(n_items) - n_items
    columns = np.arange(len(codes), dtype=np.uint64)
    step = max(1, MAX_SCORES // len(codes))
    each = np.empty(len(values))

    def measure_blocks(first_rows: Iterator[int]) -> None:
        for start in first_rows:
            block = slice(start, min(start + step, len(values)))
            hits = np.add.reduceat(relevant(block)[:, by_code], starts, axis=1, dtype=np.int64)
            keys = sort_keys(_scores(values[block], codes, n_bits), columns)
            keys.sort(axis=1)
            order = (keys & np.uint64(0xFFFFFFFF)).astype(np.int64)
            is_last = np.ones(keys.shape, bool)
            np.not_equal(keys[:, 1:] >> np.uint64(32), keys[:, :-1] >> np.uint64(32), out=is_last[:, :-1])
            counts = (_merged(n_items.take(order), is_last), _merged(np.take_along_axis(hits, order, axis=1), is_last))
            each[block] = measure(DistanceHistograms(*counts))

    threads.share(range(0, len(values), step), measure_blocks)
    return float(each.mean())


def _scores(values: Floats, codes: Codes, n_bits: int) -> Floats:
    scores = np.empty((len(values), len(codes)), np.float32)
    for start in range(0, len(codes), _CODES_AT_ONCE):
        some = slice(start, start + _CODES_AT_ONCE)
        np.matmul(values, signs(codes[some], n_bits).T, out=scores[:, some])
    return scores


def _merged(counts: npt.NDArray[np.int64], is_last: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
    """Return the counts of each run of ties in the column of its last code, and 0 in the other columns."""
    totals = np.where(is_last, np.cumsum(counts, axis=1), 0)
    before = np.maximum.accumulate(totals, axis=1)
    before = np.concatenate([np.zeros((len(before), 1), np.int64), before[:, :-1]], axis=1)
    return np.where(is_last, totals - before, 0)
