"""Measure the search of learned and of random codes by hash tables, beside scans and approximate indexes.

    python benchmarks/multi_index.py FEATURES.npy [--codes 10000000] [--bits 64,128] [--graphs 1000000]

FEATURES.npy is a float matrix with a row per item, of which the last 1,000 are the queries. `learned_codes.py` makes
the codes from it; random codes and random queries are measured too. All indexes answer the same queries in turns in one
process on two threads; the times are medians over the queries, of the best of five turns each, since other programs may
use the machine. The recall counts the found items that are as near as the nearest ones. The indexes of graphs (HNSW)
take long to build, so they are left out beyond `--graphs` codes. Needs `pip install 'gannet-hash[bench]'`.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # waiting threads of faiss would take the time of the others

import faiss
import numpy as np
from usearch.index import Index, MetricKind, ScalarKind

from gannet import HammingIndex
from hamming_search import THREADS
from learned_codes import LearnedCodes

K = 10
SINGLES = 40
BATCH = 100
BATCHES = 3
TURNS = 5
MOST_IN_LISTS = 20_000_000
"""Number of codes up to which faiss's tables, which hold a list per bucket, fit into the memory."""
Search = Callable[[np.ndarray], np.ndarray]
"""Returns the distances ``(q, K)`` of the items found."""


def multi_hash(codes: np.ndarray, bits: int) -> Search:
    """Return a search of faiss's tables: as many as Gannet's, with buckets that differ in up to two bits."""
    size = min(21, len(codes).bit_length() - 3)
    index = faiss.IndexBinaryMultiHash(bits, bits // size, size)
    index.nflip = 2
    index.add(codes)
    return lambda queries: index.search(queries, K)[0]


def hnsw(codes: np.ndarray, bits: int) -> Search:
    index = faiss.IndexBinaryHNSW(bits, 16)
    index.hnsw.efConstruction, index.hnsw.efSearch = 40, 40
    index.add(codes)
    return lambda queries: index.search(queries, K)[0]


def usearch(codes: np.ndarray, bits: int) -> Search:
    index = Index(ndim=bits, metric=MetricKind.Hamming, dtype=ScalarKind.B1, connectivity=16, expansion_add=40)
    index.expansion_search = 40
    index.add(np.arange(len(codes)), codes, threads=THREADS)
    return lambda queries: np.reshape(index.search(queries, K, threads=THREADS).distances, (len(queries), K))


def exact(codes: np.ndarray, bits: int, layout: str | None) -> Search:
    index = HammingIndex(codes, bits, layout=layout)
    index.prepare()
    if layout is None:
        store = index._content.store
        print(f"  the index chose {type(store).__name__}; memory {store.nbytes / codes.nbytes:.2f} times the codes")
    return lambda queries: index.search(queries, K)[0]


def best(searches: dict[str, Search], queries: np.ndarray, random: np.random.Generator) -> dict[str, float]:
    """Return the best time per query in ms, of several turns in which the order changes.

    Between two turns of a search, the others replace what it has read in the caches.
    """
    times = dict.fromkeys(searches, np.inf)
    for _ in range(TURNS):
        for name in random.permutation(list(searches)):
            start = time.perf_counter()
            searches[name](queries)
            times[name] = min(times[name], 1e3 * (time.perf_counter() - start) / len(queries))
    return times


def measure(kind: str, codes: np.ndarray, queries: np.ndarray, most_in_graphs: int) -> None:
    bits = 8 * codes.shape[1]
    print(f"{len(codes):,} {kind} codes of {bits} bits, top {K}, {THREADS} threads", flush=True)
    flat = faiss.IndexBinaryFlat(bits)
    flat.add(codes)
    makers: dict[str, Callable[[], Search]] = {
        "gannet": lambda: exact(codes, bits, None),
        "gannet, scan": lambda: exact(codes, bits, "scan"),
        "faiss flat": lambda: lambda queries: flat.search(queries, K)[0],
    }
    if len(codes) <= MOST_IN_LISTS:
        makers["faiss multi-hash"] = lambda: multi_hash(codes, bits)
    if len(codes) <= most_in_graphs:
        makers |= {"faiss HNSW": lambda: hnsw(codes, bits), "usearch HNSW": lambda: usearch(codes, bits)}
    searches, built = {}, {}
    for name, make in makers.items():
        start = time.perf_counter()
        searches[name] = make()
        built[name] = time.perf_counter() - start
        searches[name](queries[:1])
        searches[name](queries[: BATCH // 2])

    random = np.random.default_rng(0)
    singles = [best(searches, queries[i : i + 1], random) for i in range(SINGLES)]
    batches = [best(searches, some, random) for some in np.split(queries[SINGLES : SINGLES + BATCH * BATCHES], BATCHES)]
    some = queries[SINGLES : SINGLES + BATCH]
    true = flat.search(some, K)[0]
    recalls = {}
    for name, search in searches.items():
        distances = search(some)
        recalls[name] = float((distances <= true[:, -1:]).mean())
        if name.startswith("gannet") and not np.array_equal(distances, true):
            raise AssertionError(f"the distances of {name} differ from faiss")
    columns = ["one query", "against flat", "against scan", "in batches of 100", "against flat", "against scan"]
    print(f"  | | {' | '.join(columns)} | recall | built |")
    print("  |---|---|---|---|---|---|---|---|---|")
    for name in searches:
        cells = []
        for times in (singles, batches):
            typical = {one: float(np.median([some[one] for some in times])) for one in searches}
            cells += [f"{typical[name]:.2f} ms"]
            cells += [f"{typical[other] / typical[name]:.1f}" for other in ("faiss flat", "gannet, scan")]
        print(f"  | {name} | {' | '.join(cells)} | {recalls[name]:.3f} | {built[name]:.0f} s |", flush=True)
    scans = [times["gannet"] / times["gannet, scan"] for times in singles]
    print(f"  the slowest of the single queries took {max(scans):.2f} times its scan", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("features")
    parser.add_argument("--codes", type=int, default=10_000_000)
    parser.add_argument("--bits", default="64,128")
    parser.add_argument("--graphs", type=int, default=1_000_000)
    arguments = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:THREADS])
    faiss.omp_set_num_threads(THREADS)
    features = np.load(arguments.features)
    random = np.random.default_rng(0)
    for bits in map(int, arguments.bits.split(",")):
        learned = LearnedCodes(features, bits, n_queries=1000)
        measure("learned", learned.make(arguments.codes), learned.queries, arguments.graphs)
        codes = random.integers(0, 256, (arguments.codes, bits // 8), dtype=np.uint8)
        measure("random", codes, random.integers(0, 256, (1000, bits // 8), dtype=np.uint8), arguments.graphs)


if __name__ == "__main__":
    main()
