"""Measure exact top-10 Hamming search against faiss.IndexBinaryFlat and against the bandwidth of the memory.

    python benchmarks/hamming_search.py [--codes 10000000] [--bits 64,128] [--rounds 9]

All searches run in turns in one process, on the same random codes and two threads; the numbers are medians. `scan`
reads the same bytes and does nothing else: no search that reads every code can answer a single query faster.
Needs `pip install 'gannet-hash[bench]'`.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import faiss
import numba
import numpy as np

from gannet import HammingIndex

K = 10
THREADS = 2
QUERIES = 100


@numba.njit(nogil=True)
def _sum(words: np.ndarray) -> int:
    total = np.uint64(0)
    for word in words:
        total += word
    return total


def medians(jobs: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Run the jobs in turns and return the median time of each in ms."""
    times: dict[str, list[float]] = {name: [] for name in jobs}
    for _ in range(rounds):
        for name, job in jobs.items():
            start = time.perf_counter()
            job()
            times[name].append(1e3 * (time.perf_counter() - start))
    return {name: float(np.median(some)) for name, some in times.items()}


def measure(n: int, bits: int, rounds: int) -> None:
    random = np.random.default_rng(0)
    codes = random.integers(0, 256, (n, bits // 8), dtype=np.uint8)
    queries = random.integers(0, 256, (QUERIES, bits // 8), dtype=np.uint8)
    one = queries[:1]

    flat = faiss.IndexBinaryFlat(bits)
    flat.add(codes)
    start = time.perf_counter()
    index = HammingIndex(codes, bits)
    for _ in range(2):  # the first search rearranges the codes
        distances, _ = index.search(queries, K)
    built = time.perf_counter() - start
    distances, _ = index.search(queries, K)
    if not np.array_equal(distances, flat.search(queries, K)[0]):
        raise AssertionError("distances differ from faiss")

    halves = np.array_split(codes.view(np.uint64).ravel(), THREADS)
    pool = ThreadPoolExecutor(THREADS)
    _sum(halves[0][:1])
    single = medians(
        {
            "gannet": lambda: index.search(one, K),
            "faiss": lambda: flat.search(one, K),
            "scan": lambda: list(pool.map(_sum, halves)),
        },
        5 * rounds,
    )
    batch = medians(
        {"gannet": lambda: index.search(queries, K), "faiss": lambda: flat.search(queries, K)}, max(3, rounds // 3)
    )
    print(f"{n:,} codes of {bits} bits, top {K}, {THREADS} threads; first search with layout {built:.1f} s")
    speed = codes.nbytes / single["scan"] / 1e6
    print(f"  scan       {single['scan']:7.2f} ms ({speed:.0f} GB/s)")
    for name, times, count in (("one query", single, 1), (f"{QUERIES} queries", batch, QUERIES)):
        ours, theirs = times["gannet"] / count, times["faiss"] / count
        print(
            f"  {name:<12}gannet {ours:7.2f} ms/query   faiss {theirs:7.2f} ms/query   "
            f"{theirs / ours:5.1f} times faster   {single['scan'] / ours:.2f} times the scan's speed"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--codes", type=int, default=10_000_000)
    parser.add_argument("--bits", default="64,128")
    parser.add_argument("--rounds", type=int, default=9)
    arguments = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:THREADS])
    faiss.omp_set_num_threads(THREADS)
    for bits in arguments.bits.split(","):
        measure(arguments.codes, int(bits), arguments.rounds)


if __name__ == "__main__":
    main()
