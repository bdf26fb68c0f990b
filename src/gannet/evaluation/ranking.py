"""Evaluate codes against labels: every figure of one retrieval run in one result."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gannet.evaluation.histograms import distance_histograms
from gannet.evaluation.metrics import (
    Floats,
    average_precision,
    cutoff,
    precision_at,
    recall_at,
    within_radius,
)

RANKS = (1, 10, 100, 1000)


@dataclass(frozen=True)
class Evaluation:
    """The figures of one set of codes; each is the mean over all queries.

    A query with no relevant item in the database scores 0 and stays in every mean, as published evaluators
    have it; ``n_without_relevant`` says how many there are.
    """

    map: float
    """Expected AP over random orders within a distance, divided by the hits within the cutoff."""
    map_best: float
    """The highest that AP can be, whatever the order within a distance."""
    map_worst: float
    """The lowest that AP can be, whatever the order within a distance."""
    map_min_denominator: float
    """Expected AP divided by ``min(cutoff, all relevant)`` in place of the hits."""
    map_at: int | None
    """The cutoff used, never above the size of the database; None for the whole ranking."""
    precision_at: dict[int, float]
    """Expected precision among the N nearest."""
    recall_at: dict[int, float]
    """Expected share of the relevant items among the N nearest."""
    precision_radius_2: float
    """Precision of all items within Hamming distance 2; a query with none counts 0."""
    radius_precision: Floats
    """The precision-recall curve by radius: precision within distance 0, 1, ... n_bits, ``(n_bits + 1,)``."""
    radius_recall: Floats
    """Recall within distance 0, 1, ... n_bits, ``(n_bits + 1,)``."""
    n_bits: int
    n_queries: int
    n_database: int
    n_without_relevant: int


def evaluate(
    query_codes: npt.ArrayLike,
    database_codes: npt.ArrayLike,
    query_labels: npt.ArrayLike,
    database_labels: npt.ArrayLike,
    n_bits: int,
    top: int | None = None,
    ranks: Sequence[int] = RANKS,
) -> Evaluation:
    """Rank the database for each query by Hamming distance and score the ranking against labels.

    Parameters: packed codes ``(q, w)`` and ``(m, w)`` uint8, ``w = ceil(n_bits / 8)``; labels as class ids
    ``(n,)`` or 0/1 rows ``(n, n_labels)``, where one shared label makes an item relevant; ``top``, the cutoff
    of average precision (None: the whole database); ``ranks``, the N of precision@N and recall@N.
    Raises: `GannetError` if codes and labels do not fit together or the cutoff is below 1.
    """
    histograms = distance_histograms(query_codes, database_codes, query_labels, database_labels, n_bits)
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
    )
