"""Measures of rankings, and of the codes that Gannet's methods learn."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from gannet.codes import Codes
from gannet.encoders import Encoder, Floats
from gannet.errors import GannetError
from gannet.evaluation.advice.candidate import Candidate
from gannet.evaluation.advice.sampled import Ranking, Sampled
from gannet.evaluation.advice.timing import RERANKED, SearchTimes
from gannet.hashers.base import Hasher
from gannet.hashers.pairwise import PairwiseHasher
from gannet.index import HammingIndex
from gannet.model import Model
from gannet.scoring import DEFAULT_CANDIDATES, asymmetric_scores, best_first
from gannet.support.arrays import unit_rows
from gannet.training.observe import ObservedStep


@dataclass(frozen=True)
class Trial:
    """The sample and the planned size of the collection, with which everything is measured."""

    sampled: Sampled
    times: SearchTimes
    rerank_seconds: float

    @classmethod
    def of(cls, sampled: Sampled, n_items: int) -> Trial:
        """Return the trial for a sample and a planned size."""
        times = SearchTimes(n_items)
        return cls(sampled, times, times.of_reranking(sampled.kept, sampled.queries[0]))

    @property
    def n_ranked(self) -> int:
        """Number of results of each query that are measured."""
        return min(DEFAULT_CANDIDATES, len(self.sampled.database))

    def candidate(
        self,
        method: str,
        bits: int | None,
        order: str,
        code_bytes: int,
        ranking: Ranking,
        search_seconds: float,
        fit_seconds: float | None = None,
        encode_seconds: float | None = None,
    ) -> Candidate:
        """Return what a ranking of the database ``(q, n)``, best first, amounts to."""
        nearest = self.sampled.nearest
        is_first = ranking == nearest[:, :1]
        ten = [np.isin(near, found).mean() for near, found in zip(nearest, ranking[:, :100], strict=True)]
        kept = 2 * self.sampled.database.shape[1] if order == "rerank" else 0
        return Candidate(
            method,
            bits,
            order,
            code_bytes,
            code_bytes + kept,
            recall_at_1=float(is_first[:, :1].any(axis=1).mean()),
            recall_at_10=float(is_first[:, :10].any(axis=1).mean()),
            recall_at_100=float(is_first[:, :100].any(axis=1).mean()),
            recall_at_10_in_100=float(np.mean(ten)),
            map=self._map(ranking),
            fit_seconds=fit_seconds,
            encode_seconds=encode_seconds,
            search_seconds=search_seconds,
        )

    def _map(self, ranking: Ranking) -> float | None:
        """Return mean average precision of the results, divided by the number of relevant ones among them."""
        if self.sampled.relevant is None:
            return None
        hits = np.take_along_axis(self.sampled.relevant, ranking, axis=1)
        precision = np.cumsum(hits, axis=1) / np.arange(1, ranking.shape[1] + 1)
        return float(((precision * hits).sum(axis=1) / np.maximum(hits.sum(axis=1), 1)).mean())

    def of_codes(
        self,
        method: str,
        query_codes: Codes,
        codes: Codes,
        weights: Floats,
        fit_seconds: float | None = None,
        encode_seconds: float | None = None,
    ) -> list[Candidate]:
        """Return codes searched by Hamming distance, by score, and with re-ranking, as `gannet search` does it."""
        n_bits = weights.shape[1]
        _, by_distance = HammingIndex(codes, n_bits).search(query_codes, self.n_ranked)
        pairs = zip(weights, by_distance, strict=True)
        by_score = np.stack([found[best_first(asymmetric_scores(each, codes[found]))] for each, found in pairs])
        scan, score = self.times.of_codes(codes, weights[0])
        return [
            self.candidate(method, n_bits, order, codes.shape[1], ranking, search, fit_seconds, encode_seconds)
            for order, ranking, search in (
                ("hamming", by_distance, scan),
                ("asymmetric", by_score, score),
                ("rerank", self.reranked(by_score), score + self.rerank_seconds),
            )
        ]

    def reranked(self, ranking: Ranking) -> Ranking:
        """Order the first 200 results of each query by the cosine of their kept floats."""
        queries = unit_rows(self.sampled.queries)
        result = ranking.copy()
        for found, query in zip(result, queries, strict=True):
            first = found[:RERANKED]
            cosines = self.sampled.kept[first].astype(np.float32) @ query
            found[:RERANKED] = first[np.argsort(-cosines, kind="stable")]
        return result

    def of_method(self, hasher: Hasher, end: float) -> list[Candidate]:
        """Return the codes that a method learns; raises a `GannetError` if the data do not allow it.

        The training of methods that learn from pairs is given up after half of the time that is left before ``end``, a
        time of `time.monotonic`, so that other methods have their turns.
        """
        database, queries = self.sampled.database, self.sampled.queries
        if isinstance(hasher, PairwiseHasher):
            now = time.monotonic()
            hasher.observer = _stopper(now + (end - now) / 2)
        started = time.perf_counter()
        model = Model.of(hasher.fit(database), None)
        fitted = time.perf_counter()
        codes = model.encoder.encode(database)
        encoded = time.perf_counter()
        times = fitted - started, (encoded - fitted) / len(codes)
        return self.of_codes(hasher.name, model.encoder.encode(queries), codes, model.bit_weights(queries), *times)


def _stopper(end: float) -> Callable[[ObservedStep, Callable[[], Encoder]], None]:
    def stop_late(step: ObservedStep, encoder: Callable[[], Encoder]) -> None:
        if time.monotonic() > end:
            raise GannetError("learning was given up after half of the time that was left")

    return stop_late
