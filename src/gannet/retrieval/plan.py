"""The order of a search's results: by distance, by score, or by the cosine of stored features."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from gannet.codes import Codes, Ids
from gannet.collection.stored_codes import Searcher
from gannet.encoders import Floats
from gannet.errors import GannetError
from gannet.index.part import PartIndex
from gannet.index.protocol import Distances, ReadOnlyIndex
from gannet.retrieval.queries import Query, cosines
from gannet.retrieval.searchable import Searchable
from gannet.scoring import DEFAULT_CANDIDATES, asymmetric_scores, best_first


@dataclass(frozen=True)
class Ranked:
    """The ids ``(m,)`` of items in their order, with distances and, if they were computed, scores and cosines."""

    ids: Ids
    distances: Distances
    scores: Floats | None = None
    cosines: Floats | None = None

    def take(self, order: npt.NDArray[np.int64]) -> Ranked:
        """Return the items at the places ``order``."""
        scores = None if self.scores is None else self.scores[order]
        return replace(self, ids=self.ids[order], distances=self.distances[order], scores=scores)

    def first(self, n: int) -> Ranked:
        """Return the first ``n`` items, or all if there are fewer."""
        return self.take(np.arange(min(n, len(self.ids))))

    def by_score(self, weights: npt.ArrayLike, codes: Codes) -> Ranked:
        """Return the items by their scores for the weights of a query; items with equal scores keep their order."""
        scores = asymmetric_scores(weights, codes)
        return replace(self, scores=scores).take(best_first(scores))


@dataclass(frozen=True)
class Plan:
    """How many results a search returns, and how many items it orders by score and by cosine on the way.

    ``n_scored`` is the number of nearest items that are ordered by score; it is None if none are. With ``radius``, all
    items within that distance are results. With ``rerank``, so many items are ordered by cosine.
    """

    k: int
    radius: int | None
    rerank: int | None
    n_scored: int | None

    def candidates(self, index: ReadOnlyIndex, codes: Codes, weighed: bool) -> Sequence[tuple[Distances, Ids]]:
        """Return the nearest items to each code, by distance, then id; ``weighed`` queries are ordered by score."""
        if self.radius is not None:
            return index.radius(codes, self.radius)
        n = self.n_scored if weighed else self.rerank
        return list(zip(*index.search(codes, n or self.k), strict=True))

    def order(
        self, collection: Searchable, searcher: Searcher, query: Query, candidates: tuple[Distances, Ids]
    ) -> Ranked:
        """Return the results of a query among its candidates."""
        distances, ids = candidates
        found = Ranked(ids, distances)
        if query.weights is not None:
            found = found.by_score(query.weights, searcher.codes(ids))
        if self.radius is not None:
            return found
        if self.rerank is None:
            return found.first(self.k)
        found = found.first(self.rerank)
        similarities = cosines(collection, query, found.ids)
        order = best_first(similarities)[: self.k]
        return replace(found.take(order), cosines=similarities[order])


def compared_bits(index: ReadOnlyIndex) -> tuple[int, int]:
    """Return the first bit that an index compares, and the one after the last."""
    return index.bits if isinstance(index, PartIndex) else (0, index.n_bits)


def compared_weights(index: ReadOnlyIndex, weights: npt.ArrayLike) -> Floats:
    """Return the weights ``(n_bits,)`` of a query, zero for the bits that an index of one part does not compare."""
    given = np.asarray(weights, np.float32)
    if not isinstance(index, PartIndex) or given.shape != (index.n_bits,):
        return given
    compared = np.zeros_like(given)
    part = slice(*compared_bits(index))
    compared[part] = given[part]
    return compared


def make_plan(k: int, radius: int | None, rerank: int | None, asymmetric: int | bool | None) -> Plan:
    """Return the plan of a search; the arguments are those of `gannet.search`, and so are the errors."""
    if radius is not None and rerank is not None:
        raise GannetError("a search is by radius or re-ranked, not both: give one of them")
    if radius is None and k < 1:
        raise GannetError(f"k must be 1 or more, not {k}")
    if rerank is not None and rerank < k:
        raise GannetError(f"there must be as many candidates to re-rank as results: {rerank} are below {k}")
    return Plan(k, radius, rerank, _n_scored(k, radius, rerank, asymmetric))


def _n_scored(k: int, radius: int | None, rerank: int | None, asymmetric: int | bool | None) -> int | None:
    needed = k if rerank is None else rerank
    if asymmetric is False or (asymmetric is None and (radius is not None or rerank is not None)):
        return None
    if asymmetric is None or asymmetric is True:
        return max(DEFAULT_CANDIDATES, needed)
    if radius is not None:
        raise GannetError("a search by radius scores all items that it finds: give no number of them to score")
    try:
        n = operator.index(asymmetric)
    except TypeError:
        raise GannetError(f"the number of items to score must be a whole number, not {asymmetric!r}") from None
    if n < needed:
        what = "results" if rerank is None else "items to re-rank"
        raise GannetError(f"there must be as many items to score as {what}: {n} are below {needed}")
    return n
