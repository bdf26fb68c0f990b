"""Ranking metrics for binary codes, with exact treatment of ties.

Items at equal distance have no order. Every metric is either the expected value over all orders of the ties, each
equally likely (McSherry & Najork, "Computing Information Retrieval Performance Measures Efficiently in the Presence of
Tied Scores", ECIR 2008; He et al., "Hashing as Tie-Aware Learning to Rank", CVPR 2018), or the largest or smallest
value that an order attains.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from gannet.errors import GannetError
from gannet.evaluation.histograms import DistanceHistograms

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class AveragePrecision:
    """Average precision of each query, with two denominators and with bounds.

    Average precision is the sum of the precisions at the ranks of the hits, divided by a denominator. Hits are the
    relevant items within the cutoff. A query without hits has the value 0.

    Attributes
    ----------
    expected : ndarray of shape (q,), dtype float64
        Expected value over the orders of ties; the denominator is the number of hits. If the cutoff splits a tie, that
        number is random, and this is the expected value of the ratio.
    best, worst : ndarray of shape (q,), dtype float64
        Largest and smallest value over the orders of ties, with the same denominator.
    expected_min : ndarray of shape (q,), dtype float64
        Expected value with the denominator ``min(cutoff, number of relevant items)``.
    """

    expected: Floats
    best: Floats
    worst: Floats
    expected_min: Floats


def cutoff(top: int | None, n_items: int) -> int:
    """Return the number of ranks that count: ``top``, or all ``n_items`` if it is None or larger."""
    if top is not None and top < 1:
        raise GannetError(f"the cutoff must be at least 1, not {top}; leave it out to rank the whole database")
    return n_items if top is None else min(top, n_items)


def average_precision(histograms: DistanceHistograms, top: int | None = None) -> AveragePrecision:
    """Return the average precision of each query over its ``top`` nearest items.

    Let a distance have ``c`` items, ``r`` of them relevant, after ``n`` nearer items with ``h`` relevant ones, and let
    ``H = 1/(n + 1) + ... + 1/(n + c)``. Its expected contribution to the sum of precisions is (McSherry & Najork 2008)
    ``r/c * ((h + 1) * H + (r - 1)/(c - 1) * (c - (n + 1) * H))``. If the cutoff splits a tie, the number of hits in the
    tie has a hypergeometric distribution, and the expected value is a sum over it.

    Parameters
    ----------
    histograms : DistanceHistograms
        Counts of items by distance.
    top : int, optional
        Cutoff of the ranking. By default, the whole database is ranked.

    Returns
    -------
    AveragePrecision
        The values of each query.

    Raises
    ------
    GannetError
        If ``top`` is below 1.

    Examples
    --------
    Two items at distance 0, and one at distance 1, where one of the first two and the third are relevant:

    >>> import numpy as np
    >>> from gannet.evaluation import DistanceHistograms, average_precision
    >>> result = average_precision(DistanceHistograms(items=np.array([[2, 1]]), relevant=np.array([[1, 1]])))
    >>> result.best.round(3), result.worst.round(3), result.expected.round(3)
    (array([0.833]), array([0.583]), array([0.708]))
    """
    limit = cutoff(top, histograms.n_items)
    harmonic = np.concatenate([[0.0], np.cumsum(1.0 / np.arange(1, histograms.n_items + 1))])
    items, relevant = histograms.items, histograms.relevant
    before = np.cumsum(items, axis=1) - items
    hits_before = np.cumsum(relevant, axis=1) - relevant
    taken = np.clip(limit - before, 0, items)
    whole = taken == items

    gains = _expected_gain(harmonic, before, hits_before, taken, items, relevant)
    best_gains = _run_gain(harmonic, before, hits_before, relevant)
    worst_gains = _run_gain(harmonic, before + items - relevant, hits_before, relevant)
    hits = (relevant * whole).sum(axis=1)
    sums = [(gain * whole).sum(axis=1) for gain in (gains, best_gains, worst_gains)]
    expected, best, worst = (total / np.maximum(hits, 1) for total in sums)

    for q, d in zip(*np.nonzero(~whole & (taken > 0)), strict=True):
        expected[q], best[q], worst[q] = _split_tie(
            harmonic,
            [total[q] for total in sums],
            before[q, d],
            hits[q],
            taken[q, d],
            items[q, d],
            relevant[q, d],
        )
    possible = np.minimum(limit, relevant.sum(axis=1))
    return AveragePrecision(expected, best, worst, gains.sum(axis=1) / np.maximum(possible, 1))


def _expected_gain(harmonic: Floats, before: Any, hits_before: Any, taken: Any, items: Any, relevant: Any) -> Any:
    """Return the expected sum of precisions at the hits among the first ``taken`` of a tie of ``items``.

    With c items in the tie, r of them relevant, the item at rank ``before + i`` is relevant with probability r/c. If it
    is, each of the ``i - 1`` tied items before it is relevant with probability (r - 1)/(c - 1). The sum over i is, with
    harmonic numbers H and h = H(before + taken) - H(before):
    r/c [(hits_before + 1) h + (r - 1)/(c - 1) (taken - (before + 1) h)].
    """
    h = harmonic[before + taken] - harmonic[before]
    another = (relevant - 1) / np.maximum(items - 1, 1)
    return relevant / np.maximum(items, 1) * ((hits_before + 1) * h + another * (taken - (before + 1) * h))


def _run_gain(harmonic: Floats, before: Any, hits_before: Any, run: Any) -> Any:
    """Return the sum of precisions at ``run`` consecutive relevant items that start at rank ``before + 1``."""
    return run + (hits_before - before) * (harmonic[before + run] - harmonic[before])


def _split_tie(
    harmonic: Floats, sums: list[float], before: int, hits: int, taken: int, items: int, relevant: int
) -> tuple[float, float, float]:
    """Return expected, best and worst average precision of a query whose cutoff takes ``taken`` of ``items`` in a tie.

    ``sums`` are the expected, largest and smallest sums of precisions before the tie. Given the number of hits in the
    tie, all their orders are equally likely. More hits can lower average precision, if they have low ranks, so the
    bounds are taken over every possible number.
    """
    inside = np.arange(max(0, taken - (items - relevant)), min(relevant, taken) + 1)
    count = np.maximum(hits + inside, 1)
    expected = (sums[0] + _expected_gain(harmonic, before, hits, taken, taken, inside)) / count
    best = (sums[1] + _run_gain(harmonic, before, hits, inside)) / count
    worst = (sums[2] + _run_gain(harmonic, before + taken - inside, hits, inside)) / count
    weights = _hypergeometric(inside, items, relevant, taken)
    return float(weights @ expected), float(best.max()), float(worst.min())


def _hypergeometric(support: npt.NDArray[np.int64], items: int, relevant: int, taken: int) -> Floats:
    """Return the probability of each number of relevant items among ``taken`` items drawn from ``items``."""
    x = support[:-1].astype(np.float64)  # float64, because the products overflow int64
    ratios = (relevant - x) * (taken - x) / ((x + 1) * (items - relevant - taken + x + 1))
    logs = np.concatenate([[0.0], np.cumsum(np.log(ratios))])
    weights = np.exp(logs - logs.max())
    return np.asarray(weights / weights.sum())


def precision_at(histograms: DistanceHistograms, n: int) -> Floats:
    """Return the expected precision of each query among its ``n`` nearest items, or among all if there are fewer.

    Parameters
    ----------
    histograms : DistanceHistograms
        Counts of items by distance.
    n : int
        Cutoff of the ranking.

    Returns
    -------
    ndarray of shape (q,), dtype float64
        Values of each query.

    Raises
    ------
    GannetError
        If ``n`` is below 1.
    """
    limit = cutoff(n, histograms.n_items)
    return _expected_hits(histograms, limit) / limit


def recall_at(histograms: DistanceHistograms, n: int) -> Floats:
    """Return the expected recall of each query among its ``n`` nearest items; 0 if no item is relevant.

    Parameters
    ----------
    histograms : DistanceHistograms
        Counts of items by distance.
    n : int
        Cutoff of the ranking.

    Returns
    -------
    ndarray of shape (q,), dtype float64
        Values of each query.

    Raises
    ------
    GannetError
        If ``n`` is below 1.
    """
    limit = cutoff(n, histograms.n_items)
    return np.asarray(_expected_hits(histograms, limit) / np.maximum(histograms.relevant.sum(axis=1), 1))


def _expected_hits(histograms: DistanceHistograms, limit: int) -> Floats:
    items = histograms.items
    taken = np.clip(limit - (np.cumsum(items, axis=1) - items), 0, items)
    return np.asarray((histograms.relevant * taken / np.maximum(items, 1)).sum(axis=1))


def within_radius(histograms: DistanceHistograms) -> tuple[Floats, Floats]:
    """Return precision and recall of each query within distances 0, 1, ..., ``n_bits``.

    A query with no item within a distance has precision 0 there, as is usual for hash lookup.

    Parameters
    ----------
    histograms : DistanceHistograms
        Counts of items by distance.

    Returns
    -------
    precision, recall : ndarray of shape (q, n_bits + 1), dtype float64
        Values of each query and distance.
    """
    items = np.cumsum(histograms.items, axis=1)
    hits = np.cumsum(histograms.relevant, axis=1)
    return hits / np.maximum(items, 1), hits / np.maximum(hits[:, -1:], 1)
