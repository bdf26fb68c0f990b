"""Rankings by cosine similarity of the features, to compare the rankings by codes with."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from gannet.codes import Codes
from gannet.encoders import Floats
from gannet.errors import GannetError
from gannet.evaluation.histograms import DistanceHistograms, check_pair, distance_histograms
from gannet.evaluation.labels import relevance
from gannet.evaluation.metrics import cutoff, recall_at
from gannet.evaluation.score_ranking import check_values
from gannet.evaluation.sort_keys import sort_keys
from gannet.scoring import asymmetric_scores
from gannet.support.arrays import unit_rows

#: Similarities that are held in memory at a time; their sort keys take 8 bytes each, 32 MiB in all.
MAX_SIMILARITIES = 1 << 22


def float_map(
    query_features: npt.ArrayLike,
    database_features: npt.ArrayLike,
    query_labels: npt.ArrayLike,
    database_labels: npt.ArrayLike,
    top: int | None = None,
) -> float:
    """Return the mean average precision of ranking by cosine similarity of features.

    It is the value that codes of these features are compared with. Average precision is divided by the number of
    relevant items within the cutoff, and is 0 if there are none. Items with equal similarity are in database order.

    Parameters
    ----------
    query_features : array-like of shape (q, d)
        Features of the queries.
    database_features : array-like of shape (m, d)
        Features of the database.
    query_labels : array-like of shape (q,) or (q, n_labels)
        Class ids, where an item is relevant if it has the class of the query; or 0/1 rows, where it is relevant if it
        shares a label with the query.
    database_labels : array-like of shape (m,) or (m, n_labels)
        Labels of the database, of the same kind.
    top : int, optional
        Cutoff of average precision. By default, the whole database is ranked.

    Returns
    -------
    float
        Mean over the queries.

    Raises
    ------
    GannetError
        If features or labels are malformed, if their numbers do not match, or if ``top`` is below 1.

    Examples
    --------
    >>> from gannet.evaluation import float_map
    >>> float_map([[1.0, 0.0]], [[2.0, 0.1], [0.0, 1.0], [1.0, 1.0]], ["cat"], ["cat", "cat", "dog"])
    0.8333333333333333
    """
    queries, database = _unit_pair(query_features, database_features)
    labels = relevance(query_labels, database_labels)
    if (labels.queries.shape[1], labels.database.shape[1]) != (len(queries), len(database)):
        raise GannetError(
            f"{len(queries)} queries and {len(database)} database items have {labels.queries.shape[1]} and "
            f"{labels.database.shape[1]} labels: give each item its labels"
        )
    limit = cutoff(top, len(database))
    ranks = np.arange(1, limit + 1)
    total = 0.0
    for rows, keys in _sort_keys(queries, database):
        keys |= labels.rows(rows)
        keys.sort(axis=1)
        relevant = (keys[:, :limit] & np.uint64(1)).astype(np.int32)
        hits = np.cumsum(relevant, axis=1, dtype=np.int32)
        total += float(((hits * relevant / ranks).sum(axis=1) / np.maximum(hits[:, -1], 1)).sum())
    return total / len(queries)


def neighbor_recall(
    query_codes: npt.ArrayLike,
    database_codes: npt.ArrayLike,
    query_features: npt.ArrayLike,
    database_features: npt.ArrayLike,
    n_bits: int,
    k: int = 10,
    n: int = 100,
    query_values: npt.ArrayLike | None = None,
) -> float:
    """Return the share of the ``k`` nearest items by cosine similarity that are among the ``n`` nearest by code.

    It needs no labels. The value is expected over all orders of items at equal Hamming distance, or with equal scores.
    Of items with equal cosine similarity, those in lower rows are nearer. The queries should not be in the database,
    where each would find itself.

    Parameters
    ----------
    query_codes : array-like of shape (q, ceil(n_bits / 8)), dtype uint8
        Packed codes of the queries.
    database_codes : array-like of shape (m, ceil(n_bits / 8)), dtype uint8
        Packed codes of the database.
    query_features : array-like of shape (q, d)
        Features from which the codes of the queries were made.
    database_features : array-like of shape (m, d)
        Features from which the codes of the database were made.
    n_bits : int
        Length of the codes in bits.
    k : int, default=10
        Number of nearest items by cosine similarity, at most the size of the database.
    n : int, default=100
        Number of nearest items by code, at most the size of the database.
    query_values : array-like of shape (q, n_bits), default=None
        Real values of the queries, as the ``bit_weights`` of a model or of an encoder returns them: take
        the nearest items by `gannet.scoring.asymmetric_scores`, not by Hamming distance.

    Returns
    -------
    float
        Mean over the queries.

    Raises
    ------
    GannetError
        If codes, features or values are malformed, if their numbers do not match, or if ``k`` or ``n`` is below 1.

    Examples
    --------
    >>> from gannet.codes import pack
    >>> from gannet.evaluation import neighbor_recall
    >>> features = [[3.0, 1.0], [-1.0, 2.0], [2.0, -1.0]]
    >>> codes = pack([[1, 1], [0, 1], [1, 0]])
    >>> neighbor_recall(codes[:1], codes, features[:1], features, n_bits=2, k=2, n=2)
    0.75
    """
    nearest = nearest_by_cosine(query_features, database_features, k)
    return recall_of_nearest(query_codes, database_codes, nearest, n_bits, [n], query_values)[n]


def nearest_by_cosine(
    query_features: npt.ArrayLike, database_features: npt.ArrayLike, k: int = 10
) -> npt.NDArray[np.int64]:
    """Return the rows of the ``k`` nearest items of each query by cosine similarity, in no order.

    Of items with equal cosine similarity, those in lower rows are nearer.

    Parameters
    ----------
    query_features : array-like of shape (q, d)
        Features of the queries.
    database_features : array-like of shape (m, d)
        Features of the database.
    k : int, default=10
        Number of nearest items, at most the size of the database.

    Returns
    -------
    ndarray of shape (q, min(k, m)), dtype int64
        Rows of the database.

    Raises
    ------
    GannetError
        If the features are malformed, or if ``k`` is below 1.
    """
    queries, items = _unit_pair(query_features, database_features)
    k = cutoff(k, len(items))
    nearest = np.empty((len(queries), k), np.int64)
    for rows, keys in _sort_keys(queries, items):
        nearest[rows] = (np.partition(keys, k - 1, axis=1)[:, :k] & np.uint64(0xFFFFFFFF)) >> np.uint64(1)
    return nearest


def recall_of_nearest(
    query_codes: npt.ArrayLike,
    database_codes: npt.ArrayLike,
    nearest: npt.NDArray[np.int64],
    n_bits: int,
    depths: Sequence[int],
    query_values: npt.ArrayLike | None = None,
) -> dict[int, float]:
    """Return the share of given items that are among the nearest by code, as `neighbor_recall`, at several depths.

    Parameters
    ----------
    query_codes : array-like of shape (q, ceil(n_bits / 8)), dtype uint8
        Packed codes of the queries.
    database_codes : array-like of shape (m, ceil(n_bits / 8)), dtype uint8
        Packed codes of the database.
    nearest : ndarray of shape (q, k), dtype int64
        Rows of the items to find for each query, as `nearest_by_cosine` returns them.
    n_bits : int
        Length of the codes in bits.
    depths : sequence of int
        Numbers of nearest items by code.
    query_values : array-like of shape (q, n_bits), default=None
        Real values of the queries: the items are ordered by their scores, as in `neighbor_recall`.

    Returns
    -------
    dict of int to float
        Mean over the queries by depth.

    Raises
    ------
    GannetError
        If the codes or values are malformed, if their numbers do not match, or if a depth is below 1.
    """
    codes, database = check_pair(query_codes, database_codes, n_bits)
    if len(codes) != len(nearest) or nearest.max() >= len(database):
        raise GannetError(
            f"{len(codes)} query and {len(database)} database codes do not match the rows of features: give one row "
            "per code"
        )
    for depth in depths:
        cutoff(depth, len(database))
    if query_values is not None:
        return _recall_by_score(check_values(query_values, len(codes), n_bits), database, nearest, depths)
    unlabeled = np.zeros(len(codes), np.int64), np.zeros(len(database), np.int64)
    counts = distance_histograms(codes, database, *unlabeled, n_bits).items
    kept = np.zeros_like(counts)
    for row, wanted in enumerate(nearest):
        distances = np.bitwise_count(database[wanted] ^ codes[row]).sum(axis=1, dtype=np.int64)
        kept[row] = np.bincount(distances, minlength=n_bits + 1)
    histograms = DistanceHistograms(counts, kept)
    return {depth: float(recall_at(histograms, depth).mean()) for depth in depths}


def _recall_by_score(
    values: Floats, database: Codes, nearest: npt.NDArray[np.int64], depths: Sequence[int]
) -> dict[int, float]:
    """Return the share of ``nearest`` items that are among the best by score, expected over orders of equal scores."""
    recall = np.zeros(len(depths))
    for weights, wanted in zip(values, nearest, strict=True):
        scores = asymmetric_scores(weights, database)
        of_wanted = scores[wanted]
        ascending = np.sort(scores)
        better = len(scores) - np.searchsorted(ascending, of_wanted, side="right")
        equal = len(scores) - better - np.searchsorted(ascending, of_wanted, side="left")
        recall += [np.clip((depth - better) / equal, 0, 1).mean() for depth in depths]
    return {depth: float(total) / len(nearest) for depth, total in zip(depths, recall, strict=True)}


def _unit_pair(
    query_features: npt.ArrayLike, database_features: npt.ArrayLike
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Return both matrices with rows of unit length; rows of zeros stay, and have similarity 0 to every row."""
    units: list[npt.NDArray[np.float32]] = []
    for features, name in ((query_features, "query_features"), (database_features, "database_features")):
        array = np.asarray(features, np.float32)
        if array.ndim != 2 or not array.size:
            raise GannetError(f"{name} must be a matrix (n, d) with at least one row, not {array.shape}")
        if not np.isfinite(array).all():
            raise GannetError(f"{name} hold NaN or infinite values: drop or repair those rows")
        units.append(unit_rows(array))
    queries, database = units
    if queries.shape[1] != database.shape[1]:
        raise GannetError(
            f"query_features have {queries.shape[1]} columns and database_features {database.shape[1]}: "
            "both must come from one model"
        )
    return queries, database


def _sort_keys(
    queries: npt.NDArray[np.float32], database: npt.NDArray[np.float32]
) -> Iterator[tuple[slice, npt.NDArray[np.uint64]]]:
    """Yield blocks of queries with one sort key per database item, which orders by similarity, highest first, then row.

    The lower 32 bits of a key are twice the row, so that the lowest bit is free for the relevance of the item.
    """
    rows = np.arange(len(database), dtype=np.uint64) << np.uint64(1)
    step = max(1, MAX_SIMILARITIES // len(database))
    for start in range(0, len(queries), step):
        block = slice(start, min(start + step, len(queries)))
        yield block, sort_keys(queries[block] @ database.T, rows)
