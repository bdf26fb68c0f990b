"""Histograms of Hamming distances, from which all tie-aware ranking metrics are computed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gannet.codes import Codes, as_words, check_codes
from gannet.errors import GannetError
from gannet.evaluation.labels import Relevance, relevance
from gannet.support import threads

Counts = npt.NDArray[np.int64]


@dataclass(frozen=True)
class DistanceHistograms:
    """Numbers of items and of relevant items at each distance from each query.

    Attributes
    ----------
    items, relevant : ndarray of shape (q, n_bits + 1), dtype int64
        Column ``d`` holds the counts at Hamming distance ``d``.
    """

    items: Counts
    relevant: Counts

    @property
    def n_queries(self) -> int:
        """Number of queries."""
        return len(self.items)

    @property
    def n_items(self) -> int:
        """Number of items in the database."""
        return int(self.items[0].sum())


def check_pair(query_codes: npt.ArrayLike, database_codes: npt.ArrayLike, n_bits: int) -> tuple[Codes, Codes]:
    """Return checked codes of queries and database. Raises a `GannetError` if one of them is empty."""
    queries = check_codes(query_codes, n_bits, "query_codes")
    database = check_codes(database_codes, n_bits, "database_codes")
    for codes, name in ((queries, "query_codes"), (database, "database_codes")):
        if not len(codes):
            raise GannetError(f"{name} are empty: there is nothing to rank")
    return queries, database


def pair_relevance(
    queries: Codes, database: Codes, query_labels: npt.ArrayLike, database_labels: npt.ArrayLike
) -> Relevance:
    """Return the relevance of the database to the queries. Raises a `GannetError` unless every code has its labels."""
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
    """Count the database items at each distance from each query.

    The distances themselves are not stored.

    Parameters
    ----------
    query_codes : array-like of shape (q, ceil(n_bits / 8)), dtype uint8
        Packed codes of the queries.
    database_codes : array-like of shape (m, ceil(n_bits / 8)), dtype uint8
        Packed codes of the database.
    query_labels : array-like of shape (q,) or (q, n_labels)
        Class ids, where an item is relevant if it has the class of the query; or 0/1 rows, where it is relevant if it
        shares a label with the query.
    database_labels : array-like of shape (m,) or (m, n_labels)
        Labels of the database, of the same kind.
    n_bits : int
        Length of the codes in bits.

    Returns
    -------
    DistanceHistograms
        The counts.

    Raises
    ------
    GannetError
        If codes or labels are malformed, or if their numbers do not match.

    Examples
    --------
    >>> from gannet.codes import pack
    >>> from gannet.evaluation import distance_histograms
    >>> histograms = distance_histograms(pack([[0, 0]]), pack([[0, 0], [0, 1], [1, 0]]), [7], [7, 7, 8], n_bits=2)
    >>> histograms.items
    array([[1, 2, 0]])
    >>> histograms.relevant
    array([[1, 1, 0]])
    """
    queries, database = check_pair(query_codes, database_codes, n_bits)
    labels = pair_relevance(queries, database, query_labels, database_labels)
    from gannet.evaluation._histogram_kernel import CHUNK, count  # imports numba, which takes a while

    query_words, query_labels = as_words(queries).T, labels.queries
    words, masks = np.ascontiguousarray(as_words(database).T), np.ascontiguousarray(labels.database)
    flat = np.zeros((len(queries), 2 * (n_bits + 1)), np.int32)

    def count_chunks(starts: Iterator[int]) -> None:
        for start in starts:
            some = slice(start, start + CHUNK)
            of_queries = np.ascontiguousarray(query_words[:, some]), np.ascontiguousarray(query_labels[:, some])
            count(of_queries[0], words, of_queries[1], masks, labels.multi_label, flat[some])

    threads.share(range(0, len(queries), CHUNK), count_chunks)
    counts = flat.reshape(len(queries), 2, n_bits + 1)
    return DistanceHistograms(counts.sum(axis=1, dtype=np.int64), counts[:, 1].astype(np.int64))
