"""Evaluation of codes against labels, with all metrics in one result."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gannet.evaluation.histograms import check_pair, distance_histograms, pair_relevance
from gannet.evaluation.metrics import (
    Floats,
    average_precision,
    cutoff,
    precision_at,
    recall_at,
    within_radius,
)
from gannet.evaluation.score_ranking import average_precision_by_score, check_values

#: Ranks at which precision and recall are computed by default.
RANKS = (1, 10, 100, 1000)


@dataclass(frozen=True)
class Evaluation:
    """The metrics of a set of codes, each the mean over all queries.

    A query without a relevant item in the database has the value 0 in every mean, as in published evaluators. The means
    are expected values over all orders of items at equal distance, unless stated otherwise.

    Attributes
    ----------
    map : float
        Mean average precision; average precision is divided by the number of relevant items within the cutoff.
    map_best, map_worst : float
        Means of the largest and of the smallest average precision that an order of ties attains.
    map_min_denominator : float
        Mean average precision, divided by ``min(cutoff, number of relevant items)`` instead.
    map_at : int or None
        Cutoff of average precision, at most the size of the database; None for the whole ranking.
    precision_at : dict of int to float
        Precision among the N nearest items, by N.
    recall_at : dict of int to float
        Share of the relevant items that are among the N nearest, by N.
    precision_radius_2 : float
        Precision of all items within Hamming distance 2; a query that finds none has the value 0.
    radius_precision, radius_recall : ndarray of shape (n_bits + 1,), dtype float64
        Precision and recall of all items within distances 0, 1, ..., ``n_bits``: the precision-recall curve.
    n_bits : int
        Length of the codes in bits.
    n_queries : int
        Number of queries.
    n_database : int
        Number of items in the database.
    n_without_relevant : int
        Number of queries without a relevant item in the database.
    map_asymmetric : float or None
        Mean average precision of ranking by the asymmetric score, with the same cutoff and denominator as ``map``; None
        without the values of the queries. All other metrics are those of ranking by Hamming distance.

    Examples
    --------
    >>> from gannet.codes import pack
    >>> from gannet.evaluation import evaluate
    >>> result = evaluate(pack([[0, 0]]), pack([[0, 0], [0, 1], [1, 1]]), ["cat"], ["cat", "dog", "cat"], n_bits=2)
    >>> result.radius_precision.round(2)
    array([1.  , 0.5 , 0.67])
    """

    map: float
    map_best: float
    map_worst: float
    map_min_denominator: float
    map_at: int | None
    precision_at: dict[int, float]
    recall_at: dict[int, float]
    precision_radius_2: float
    radius_precision: Floats
    radius_recall: Floats
    n_bits: int
    n_queries: int
    n_database: int
    n_without_relevant: int
    map_asymmetric: float | None = None


def evaluate(
    query_codes: npt.ArrayLike,
    database_codes: npt.ArrayLike,
    query_labels: npt.ArrayLike,
    database_labels: npt.ArrayLike,
    n_bits: int,
    top: int | None = None,
    ranks: Sequence[int] = RANKS,
    query_values: npt.ArrayLike | None = None,
) -> Evaluation:
    """Rank the database by Hamming distance from each query, and score the rankings against labels.

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
    top : int, optional
        Cutoff of average precision. By default, the whole database is ranked.
    ranks : sequence of int, default=(1, 10, 100, 1000)
        Numbers of nearest items at which precision and recall are computed.
    query_values : array-like of shape (q, n_bits), optional
        Real values of the queries, as the ``bit_weights`` of a model or of an encoder returns them: also
        rank the whole database by `gannet.scoring.asymmetric_scores`. Items with equal scores are ties.

    Returns
    -------
    Evaluation
        All metrics.

    Raises
    ------
    GannetError
        If codes, labels or values are malformed, if their numbers do not match, or if a cutoff is below 1.

    Examples
    --------
    >>> from gannet.codes import pack
    >>> from gannet.evaluation import evaluate
    >>> query, database = pack([[0, 0]]), pack([[0, 0], [0, 0], [0, 1], [1, 0], [1, 1]])
    >>> result = evaluate(query, database, [1], [1, 0, 0, 1, 0], n_bits=2)
    >>> round(result.map, 3), round(result.map_best, 3), round(result.map_worst, 3)
    (0.667, 0.833, 0.5)
    """
    sides, labels = (query_codes, database_codes), (query_labels, database_labels)
    histograms = distance_histograms(*sides, *labels, n_bits)
    ap = average_precision(histograms, top)
    precision, recall = (curve.mean(axis=0) for curve in within_radius(histograms))
    return Evaluation(
        map=float(ap.expected.mean()),
        map_best=float(ap.best.mean()),
        map_worst=float(ap.worst.mean()),
        map_min_denominator=float(ap.expected_min.mean()),
        map_at=None if top is None else cutoff(top, histograms.n_items),
        precision_at={n: float(precision_at(histograms, n).mean()) for n in ranks},
        recall_at={n: float(recall_at(histograms, n).mean()) for n in ranks},
        precision_radius_2=float(precision[min(2, n_bits)]),
        radius_precision=precision,
        radius_recall=recall,
        n_bits=n_bits,
        n_queries=histograms.n_queries,
        n_database=histograms.n_items,
        n_without_relevant=int(np.count_nonzero(histograms.relevant.sum(axis=1) == 0)),
        map_asymmetric=None if query_values is None else _map_asymmetric(*sides, *labels, n_bits, query_values, top),
    )


def _map_asymmetric(
    query_codes: npt.ArrayLike,
    database_codes: npt.ArrayLike,
    query_labels: npt.ArrayLike,
    database_labels: npt.ArrayLike,
    n_bits: int,
    query_values: npt.ArrayLike,
    top: int | None,
) -> float:
    queries, database = check_pair(query_codes, database_codes, n_bits)
    labels = pair_relevance(queries, database, query_labels, database_labels)
    values = check_values(query_values, len(queries), n_bits)
    return float(average_precision_by_score(values, database, labels, n_bits, top).mean())
