"""Metrics of ranking a whole database by asymmetric score, with the treatment of ties of rankings by distance."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from gannet.codes import Codes
from gannet.encoders import Floats
from gannet.errors import GannetError
from gannet.evaluation.histograms import DistanceHistograms
from gannet.evaluation.labels import Relevance
from gannet.evaluation.metrics import average_precision
from gannet.evaluation.sort_keys import sort_keys
from gannet.scoring import signs
from gannet.support import threads

MAX_SCORES = 1 << 20
"""Scores that a thread holds in memory; with everything that is computed from it, a score takes about 60 bytes."""
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


def average_precision_by_score(
    values: Floats, database: Codes, labels: Relevance, n_bits: int, top: int | None
) -> npt.NDArray[np.float64]:
    """Return the expected average precision of each query, for the ranking of the whole database by asymmetric score.

    ``values (q, n_bits)`` weigh the bits of ``database (m, w)``. Items with equal codes, and items whose scores are
    exactly equal, are ties.
    """
    from gannet.evaluation._tie_kernel import count_ties  # imports numba, which takes a while

    codes, place, n_items = np.unique(database, axis=0, return_inverse=True, return_counts=True)
    ends = np.cumsum(n_items)
    words = np.ascontiguousarray(labels.database[:, np.argsort(place, kind="stable")])
    columns = np.arange(len(codes), dtype=np.uint64)
    step = max(1, MAX_SCORES // len(codes))
    each = np.empty(len(values))

    def measure_blocks(first_rows: Iterator[int]) -> None:
        for start in first_rows:
            block = slice(start, min(start + step, len(values)))
            keys = sort_keys(_scores(values[block], codes, n_bits), columns)
            keys.sort(axis=1)
            counts = np.zeros((2, *keys.shape), np.int64)
            width = count_ties(keys, ends, words, labels.queries[:, block], labels.multi_label, *counts)
            each[block] = average_precision(DistanceHistograms(*counts[:, :, :width]), top).expected

    threads.share(range(0, len(values), step), measure_blocks)
    return each


def _scores(values: Floats, codes: Codes, n_bits: int) -> Floats:
    scores = np.empty((len(values), len(codes)), np.float32)
    for start in range(0, len(codes), _CODES_AT_ONCE):
        some = slice(start, start + _CODES_AT_ONCE)
        np.matmul(values, signs(codes[some], n_bits).T, out=scores[:, some])
    return scores
