"""Rankings of a whole database by asymmetric score, counted like rankings by distance."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt

from gannet.codes import Codes
from gannet.encoders import Floats
from gannet.errors import GannetError
from gannet.evaluation.histograms import DistanceHistograms
from gannet.scoring import signs

MAX_SCORES = 1 << 20
"""Scores that are held in memory at a time; the counts that belong to them take about 100 bytes each."""
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


def score_histograms(
    values: Floats, database: Codes, n_bits: int, relevant: Callable[[slice], npt.NDArray[np.bool_]]
) -> Iterator[DistanceHistograms]:
    """Yield the counts of items and relevant items in the order of their scores, for one block of queries at a time.

    ``values (q, n_bits)`` weigh the bits of ``database (m, w)``; ``relevant`` returns which items are relevant to a
    block of queries, bool ``(b, m)``. Column 0 of the counts belongs to the highest score. Items with equal codes, and
    items whose scores are exactly equal, are ties and share a column; columns without items are left in place.
    """
    codes, place, n_items = np.unique(database, axis=0, return_inverse=True, return_counts=True)
    by_code = np.argsort(place, kind="stable")
    starts = np.cumsum(n_items) - n_items
    for start in range(0, len(values), step := max(1, MAX_SCORES // len(codes))):
        block = slice(start, min(start + step, len(values)))
        scores = _scores(values[block], codes, n_bits)
        order = np.argsort(-scores, axis=1)
        ordered = np.take_along_axis(scores, order, axis=1)
        hits = np.add.reduceat(relevant(block)[:, by_code], starts, axis=1, dtype=np.int64)
        is_last = np.ones(order.shape, bool)
        is_last[:, :-1] = ordered[:, 1:] != ordered[:, :-1]
        yield DistanceHistograms(
            _merged(n_items[order], is_last), _merged(np.take_along_axis(hits, order, axis=1), is_last)
        )


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
