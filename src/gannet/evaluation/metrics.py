"""Ranking metrics for Hamming codes, ties handled exactly.

Items at one distance have no order. Every metric here is either the expected value over all orders within
each distance, equally likely (McSherry & Najork, "Computing Information Retrieval Performance Measures
Efficiently in the Presence of Tied Scores", ECIR 2008; He et al., "Hashing as Tie-Aware Learning to Rank",
CVPR 2018), or a bound that some order attains. All come from the histograms of distances alone.
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
    """Average precision of each query, four readings of ``(q,)`` float64.

    ``expected``, ``best`` and ``worst`` divide the sum of the precisions at the hits by the number of hits,
    the relevant items within the cutoff. Where the cutoff falls inside a tie that number is itself random:
    ``expected`` is the mean of the whole ratio, ``best`` and ``worst`` its largest and smallest value.
    ``expected_min`` divides by ``min(cutoff, all relevant items)`` instead. Without hits the value is 0.
    """

    expected: Floats
    best: Floats
    worst: Floats
    expected_min: Floats


def cutoff(top: int | None, n_items: int) -> int:
    """Return how many ranks count: all for None, never more than there are items."""
    if top is not None and top < 1:
        raise GannetError(f"the cutoff must be at least 1, not {top}; leave it out to rank the whole database")
    return n_items if top is None else min(top, n_items)


def average_precision(histograms: DistanceHistograms, top: int | None = None) -> AveragePrecision:
    """Return the average precision of each query over its ``top`` nearest items, or over all of them.

    Over all items, and for the denominator ``min(top, all relevant)``, the expected value is a closed form in
    the counts. For the denominator "hits" it is a sum over the number of hits in the one tie that the cutoff
    splits, which is hypergeometric.
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

    Rank ``before + i`` holds a relevant item with probability r/c; given that, each of the ``i - 1`` tied
    items ahead of it is relevant with probability (r - 1)/(c - 1). Summed over i, with harmonic numbers H:
    r/c [(hits_before + 1) h + (r - 1)/(c - 1) (taken - (before + 1) h)], h = H(before + taken) - H(before).
    """
    h = harmonic[before + taken] - harmonic[before]
    another = (relevant - 1) / np.maximum(items - 1, 1)
    return relevant / np.maximum(items, 1) * ((hits_before + 1) * h + another * (taken - (before + 1) * h))


def _run_gain(harmonic: Floats, before: Any, hits_before: Any, run: Any) -> Any:
    """Return the sum of precisions over ``run`` relevant items in a row, from rank ``before + 1`` on."""
    return run + (hits_before - before) * (harmonic[before + run] - harmonic[before])


def _split_tie(
    harmonic: Floats, sums: list[float], before: int, hits: int, taken: int, items: int, relevant: int
) -> tuple[float, float, float]:
    """Return expected, best and worst average precision where only ``taken`` of a tie of ``items`` count.

    ``sums`` are the precisions summed up to the tie in each of the three readings. Given the number of hits
    in the tie their places are uniform again. More hits need not be better (one far down lowers the mean), so
    the bounds look at every possible number.
    """
    inside = np.arange(max(0, taken - (items - relevant)), min(relevant, taken) + 1)
    count = np.maximum(hits + inside, 1)
    expected = (sums[0] + _expected_gain(harmonic, before, hits, taken, taken, inside)) / count
    best = (sums[1] + _run_gain(harmonic, before, hits, inside)) / count
    worst = (sums[2] + _run_gain(harmonic, before + taken - inside, hits, inside)) / count
    weights = _hypergeometric(inside, items, relevant, taken)
    return float(weights @ expected), float(best.max()), float(worst.min())


def _hypergeometric(support: npt.NDArray[np.int64], items: int, relevant: int, taken: int) -> Floats:
    """Return the probability of each number of relevant items among ``taken`` drawn from ``items``."""
    x = support[:-1].astype(np.float64)  # as floats: the products outgrow 64-bit integers
    ratios = (relevant - x) * (taken - x) / ((x + 1) * (items - relevant - taken + x + 1))
    logs = np.concatenate([[0.0], np.cumsum(np.log(ratios))])
    weights = np.exp(logs - logs.max())
    return np.asarray(weights / weights.sum())


def precision_at(histograms: DistanceHistograms, n: int) -> Floats:
    """Return the expected precision ``(q,)`` within the ``n`` nearest items, or all if there are fewer."""
    limit = cutoff(n, histograms.n_items)
    return _expected_hits(histograms, limit) / limit


def recall_at(histograms: DistanceHistograms, n: int) -> Floats:
    """Return the expected recall ``(q,)`` within the ``n`` nearest items; 0 where nothing is relevant."""
    limit = cutoff(n, histograms.n_items)
    return np.asarray(_expected_hits(histograms, limit) / np.maximum(histograms.relevant.sum(axis=1), 1))


def _expected_hits(histograms: DistanceHistograms, limit: int) -> Floats:
    items = histograms.items
    taken = np.clip(limit - (np.cumsum(items, axis=1) - items), 0, items)
    return np.asarray((histograms.relevant * taken / np.maximum(items, 1)).sum(axis=1))


def within_radius(histograms: DistanceHistograms) -> tuple[Floats, Floats]:
    """Return precision and recall, each ``(q, n_bits + 1)``, of all items within each radius.

    A query with no item within a radius has precision 0 there, as hash lookup is scored in the field.
    """
    items = np.cumsum(histograms.items, axis=1)
    hits = np.cumsum(histograms.relevant, axis=1)
    return hits / np.maximum(items, 1), hits / np.maximum(hits[:, -1:], 1)
