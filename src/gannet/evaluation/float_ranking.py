"""Cosine rankings of the features that codes are made from: the ceiling, and the neighbours to keep."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from gannet.errors import GannetError
from gannet.evaluation.histograms import DistanceHistograms, check_pair, distance_histograms
from gannet.evaluation.labels import relevance
from gannet.evaluation.metrics import cutoff, recall_at

# Similarities held at a time: 2^22 sort keys of 8 bytes are 32 MiB.
_BLOCK_ITEMS = 1 << 22


def float_map(
    query_features: npt.ArrayLike,
    database_features: npt.ArrayLike,
    query_labels: npt.ArrayLike,
    database_labels: npt.ArrayLike,
    top: int | None = None,
) -> float:
    """Return mean average precision of ranking by cosine similarity, what codes of these features compare to.

    Features are ``(q, d)`` and ``(m, d)`` real; labels and ``top`` as in `gannet.evaluation.evaluate`. The
    denominator is the hits within the cutoff, no hits count 0, and equal similarities keep database order.
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


def neighbour_recall(
    query_codes: npt.ArrayLike,
    database_codes: npt.ArrayLike,
    query_features: npt.ArrayLike,
    database_features: npt.ArrayLike,
    n_bits: int,
    k: int = 10,
    n: int = 100,
) -> float:
    """Return the share of the ``k`` nearest items by cosine that are among the ``n`` nearest by code.

    It needs no labels. Packed codes ``(q, w)``, ``(m, w)`` uint8 and the features ``(q, d)``, ``(m, d)`` that
    they stand for. Ties in Hamming distance are averaged over; ties in cosine go to the lower row. Queries
    should not be in the database: each would find itself. k and n above the database mean all of it.
    """
    codes, database = check_pair(query_codes, database_codes, n_bits)
    queries, items = _unit_pair(query_features, database_features)
    if (len(codes), len(database)) != (len(queries), len(items)):
        raise GannetError(
            f"{len(codes)} query and {len(database)} database codes do not match {len(queries)} and "
            f"{len(items)} rows of features: give one row a code"
        )
    k = cutoff(k, len(items))
    unlabelled = np.zeros(len(codes), np.int64), np.zeros(len(database), np.int64)
    counts = distance_histograms(codes, database, *unlabelled, n_bits).items
    kept = np.zeros_like(counts)
    for rows, keys in _sort_keys(queries, items):
        nearest = (np.partition(keys, k - 1, axis=1)[:, :k] & np.uint64(0xFFFFFFFF)) >> np.uint64(1)
        differing = database[nearest.astype(np.int64)] ^ codes[rows, None, :]
        distances = np.bitwise_count(differing).sum(axis=2, dtype=np.int64)
        for row, found in zip(range(rows.start, rows.stop), distances, strict=True):
            kept[row] = np.bincount(found, minlength=n_bits + 1)
    return float(recall_at(DistanceHistograms(counts, kept), n).mean())


def _unit_pair(
    query_features: npt.ArrayLike, database_features: npt.ArrayLike
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Return both matrices as rows of length 1 (a row of zeros stays: similarity 0 to everything)."""
    units: list[npt.NDArray[np.float32]] = []
    for features, name in ((query_features, "query_features"), (database_features, "database_features")):
        array = np.asarray(features, np.float32)
        if array.ndim != 2 or not array.size:
            raise GannetError(f"{name} must be a matrix (n, d) with at least one row, not {array.shape}")
        if not np.isfinite(array).all():
            raise GannetError(f"{name} hold NaN or infinite values: drop or repair those rows")
        lengths = np.sqrt(np.square(array).sum(axis=1, keepdims=True))
        units.append((array / np.where(lengths > 0, lengths, 1)).astype(np.float32, copy=False))
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
    """Yield blocks of query rows with one integer an item that sorts by similarity, highest first, then row.

    The upper 32 bits order the similarity, the lower 32 hold twice the row: sorting plain integers is far
    faster than a stable argsort, and the lowest bit is free to carry relevance along.
    """
    rows = np.arange(len(database), dtype=np.uint64) << np.uint64(1)
    step = max(1, _BLOCK_ITEMS // len(database))
    for start in range(0, len(queries), step):
        block = slice(start, min(start + step, len(queries)))
        distances = 0 - queries[block] @ database.T  # 0 - x, for -x would tell 0 from -0
        bits = distances.view(np.uint32)
        ordered = np.where(bits >> np.uint32(31), ~bits, bits | np.uint32(1 << 31))
        yield block, ordered.astype(np.uint64) << np.uint64(32) | rows
