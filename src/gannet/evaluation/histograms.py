"""Histograms of Hamming distances: all that tie-aware ranking metrics need to know of a ranking."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gannet.codes import Codes, check_codes
from gannet.errors import GannetError
from gannet.evaluation.labels import Relevance, as_words, relevance

Counts = npt.NDArray[np.int64]


@dataclass(frozen=True)
class DistanceHistograms:
    """How many items, and how many relevant items, lie at each distance from each query.

    ``items`` and ``relevant`` are ``(q, n_bits + 1)`` int64; column ``d`` counts distance ``d``.
    """

    items: Counts
    relevant: Counts

    @property
    def n_queries(self) -> int:
        """The number of queries."""
        return len(self.items)

    @property
    def n_items(self) -> int:
        """The number of items in the database."""
        return int(self.items[0].sum())


def check_pair(query_codes: npt.ArrayLike, database_codes: npt.ArrayLike, n_bits: int) -> tuple[Codes, Codes]:
    """Return both sets of packed codes, checked; neither may be empty."""
    queries = check_codes(query_codes, n_bits, "query_codes")
    database = check_codes(database_codes, n_bits, "database_codes")
    for codes, name in ((queries, "query_codes"), (database, "database_codes")):
        if not len(codes):
            raise GannetError(f"{name} are empty: there is nothing to rank")
    return queries, database


def labelled(queries: Codes, database: Codes, query_labels: npt.ArrayLike, database_labels: npt.ArrayLike) -> Relevance:
    """Return the relevance of database to query codes; raise unless each code has its labels."""
    labels = relevance(query_labels, database_labels)
    for side, codes, words in (("query", queries, labels.queries), ("database", database, labels.database)):
        if len(codes) != words.shape[1]:
            raise GannetError(
                f"{side}_codes have {len(codes)} rows and {side}_labels {words.shape[1]}: give each code its labels"
            )
    return labels


def distance_histograms(
    query_codes: npt.ArrayLike,
    database_codes: npt.ArrayLike,
    query_labels: npt.ArrayLike,
    database_labels: npt.ArrayLike,
    n_bits: int,
) -> DistanceHistograms:
    """Count the database by distance from each query, in blocks: the distances themselves are never stored.

    Parameters: packed codes ``(q, w)`` and ``(m, w)`` uint8 with ``w = ceil(n_bits / 8)``; labels as class
    ids ``(n,)`` (relevant: the same class) or 0/1 rows ``(n, n_labels)`` (relevant: a shared label).
    Raises: `GannetError` for codes or labels that do not fit together.
    """
    queries, database = check_pair(query_codes, database_codes, n_bits)
    labels = labelled(queries, database, query_labels, database_labels)
    from gannet.evaluation._histogram_kernel import count  # numba takes a while to import

    counts = count(
        as_words(queries),
        as_words(database),
        np.ascontiguousarray(labels.queries),
        np.ascontiguousarray(labels.database),
        n_bits,
        labels.multi_label,
    ).reshape(len(queries), 2, n_bits + 1)
    return DistanceHistograms(counts.sum(axis=1, dtype=np.int64), counts[:, 1].astype(np.int64))
