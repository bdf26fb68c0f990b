"""What would be used without Gannet: signs of the values, the floats themselves, and the codes of faiss."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from gannet.codes import pack
from gannet.encoders import Floats
from gannet.errors import GannetError
from gannet.evaluation.advice.candidate import Candidate
from gannet.evaluation.advice.measuring import Trial
from gannet.evaluation.advice.sampled import Ranking
from gannet.evaluation.advice.timing import SCANNED, K, seconds_of, tiled
from gannet.support.arrays import unit_rows

PQ, OPQ, RABITQ = "faiss PQ", "faiss OPQ", "faiss RaBitQ"
_MOST_COMPONENTS = 128
"""OPQ learns on at most so many principal components, so that it is quick."""
_OPQ_ITERATIONS = 8
_CENTROIDS = 256
_OF_RABITQ = 8
"""RaBitQ keeps two numbers of an item beside its bits, in so many bytes."""


def of_floats(trial: Trial) -> Candidate:
    """Return the exact search of floats by cosine."""
    queries, database = unit_rows(trial.sampled.queries), unit_rows(trial.sampled.database)
    ranking: Ranking = np.argsort(-(queries @ database.T), axis=1, kind="stable")[:, : trial.n_ranked]
    return trial.candidate(
        "floats", None, "cosine", 4 * database.shape[1], ranking, trial.times.of_floats(trial.sampled.database)
    )


def of_signs(trial: Trial, centered: bool) -> list[Candidate]:
    """Return the signs of all values, which databases offer as binary quantization, or of centered values."""
    mean = trial.sampled.database.mean(axis=0) if centered else np.float32(0)
    queries, database = trial.sampled.queries - mean, trial.sampled.database - mean
    name = "centered signs" if centered else "signs"
    return trial.of_codes(name, pack(queries > 0), pack(database > 0), queries)


def of_faiss(trial: Trial, faiss: Any, method: str, n_bytes: int) -> list[Candidate]:
    """Return codes of faiss of ``n_bytes`` bytes, in the order of its estimates and re-ranked by the kept floats.

    Rows have unit length. Raises a `GannetError` if the data do not allow the codes.
    """
    faiss.omp_set_num_threads(1)  # its threads wait for each other, which takes long where other programs run
    rows, queries = unit_rows(trial.sampled.database), unit_rows(trial.sampled.queries)
    index, codes, bits = _made(faiss, method, n_bytes, *rows.shape)
    started = time.perf_counter()
    index.train(rows)
    trained = time.perf_counter()
    index.add(rows)
    encoded = time.perf_counter()
    _, ranking = index.search(queries, trial.n_ranked)
    times = trained - started, (encoded - trained) / len(rows)
    search = _search_seconds(faiss, index, codes, queries) * trial.times.n_items / SCANNED
    size = int(codes.code_size)
    return [
        trial.candidate(method, bits, "estimate", size, ranking, search, *times),
        trial.candidate(method, bits, "rerank", size, trial.reranked(ranking), search + trial.rerank_seconds, *times),
    ]


def rabitq_components(n_bytes: int, d: int) -> int:
    """Return on how many principal components of ``d`` values RaBitQ has codes of at most ``n_bytes`` bytes."""
    return min(8 * (n_bytes - _OF_RABITQ), d)


def _made(faiss: Any, method: str, n_bytes: int, n: int, d: int) -> tuple[Any, Any, int]:
    """Return an index, the index of codes within it, and the number of bits."""
    if method == RABITQ:
        components = rabitq_components(n_bytes, d)
        if components < 1:
            raise GannetError(f"it keeps {_OF_RABITQ} bytes beside the bits")
        if n < components:
            raise GannetError(f"it needs {components} items for as many principal components, and there are {n}")
        codes = faiss.IndexRaBitQ(components, faiss.METRIC_L2)
        return _after_pca(faiss, d, components, codes), codes, components
    if n < _CENTROIDS:
        raise GannetError(f"it learns {_CENTROIDS} centroids, and there are {n} items")
    if method == PQ:
        if d % n_bytes:
            raise GannetError(f"it divides the values into {n_bytes} equal parts, and there are {d}")
        codes = faiss.IndexPQ(d, n_bytes, 8)
        index = codes
    else:
        components = min(_MOST_COMPONENTS, d) // n_bytes * n_bytes
        if not components:
            raise GannetError(f"it divides the values into {n_bytes} parts, and there are {d}")
        codes = faiss.IndexPQ(components, n_bytes, 8)
        rotation = faiss.OPQMatrix(components, n_bytes)
        rotation.niter = _OPQ_ITERATIONS
        rotation.pq = quantizer = faiss.ProductQuantizer(components, n_bytes, 8)
        quantizer.cp.min_points_per_centroid = 1
        index = _after_pca(faiss, d, components, faiss.IndexPreTransform(rotation, codes))
    codes.pq.cp.min_points_per_centroid = 1  # faiss would warn on standard error
    return index, codes, 8 * n_bytes


def _after_pca(faiss: Any, d: int, components: int, index: Any) -> Any:
    return index if components == d else faiss.IndexPreTransform(faiss.PCAMatrix(d, components), index)


def _search_seconds(faiss: Any, index: Any, codes: Any, queries: Floats) -> float:
    """Return the time of one query among 200,000 codes."""
    stored = faiss.vector_to_array(codes.codes).reshape(-1, codes.code_size)
    many = tiled(stored)
    index.reset()
    codes.add_sa_codes(many)
    index.ntotal = codes.ntotal
    return seconds_of(lambda: index.search(queries[:1], K), times=3)
