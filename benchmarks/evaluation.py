"""Time MAP over a whole ranking, from histograms of distances and with a sorting loop like those of other projects.

Run: ``python benchmarks/evaluation.py``. The compiler vectorizes the population count for AVX2 and for AVX-512
VPOPCNTDQ, with different speeds, so the extension that the processor has is printed too.
"""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from gannet.codes import pack
from gannet.evaluation import average_precision, distance_histograms, evaluate

N_BITS, N_CLASSES = 64, 10


def sorting_loop(queries: npt.NDArray, database: npt.NDArray, query_onehot: npt.NDArray, onehot: npt.NDArray) -> float:
    """Compute MAP from ±1 codes and one-hot labels, with two products, an argsort and a running count per query."""
    total = 0.0
    for code, label in zip(queries, query_onehot, strict=True):
        distances = 0.5 * (N_BITS - database @ code)
        relevant = (onehot @ label > 0)[np.argsort(distances)]
        ranks = np.flatnonzero(relevant) + 1.0
        if len(ranks):
            total += np.mean(np.arange(1, len(ranks) + 1) / ranks)
    return total / len(queries)


def fastest(call: Callable[[], float], repeats: int) -> tuple[float, float]:
    """Return the value, and the shortest time in seconds of several repeats."""
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        value = call()
        seconds.append(time.perf_counter() - start)
    return value, min(seconds)


def sample(rng: np.random.Generator, n: int) -> tuple[npt.NDArray, npt.NDArray]:
    """Return bits that are scattered around one center per class, and the classes, so that MAP is well above chance."""
    classes = rng.integers(0, N_CLASSES, n)
    centers = np.random.default_rng(0).integers(0, 2, (N_CLASSES, N_BITS))
    return centers[classes] ^ (rng.random((n, N_BITS)) < 0.35), classes


def vector_popcount() -> str:
    try:
        with open("/proc/cpuinfo", encoding="ascii", errors="ignore") as file:  # noqa: PTH123
            flags = file.read()
    except OSError:
        return "unknown"
    return next((name for name in ("avx512_vpopcntdq", "avx2") if name in flags), "neither")


def main() -> None:
    print(f"{os.cpu_count()} cores, vector extension for popcount: {vector_popcount()}")
    rng = np.random.default_rng(1)

    (query_bits, query_labels), (bits, labels) = sample(rng, 1_000), sample(rng, 59_000)
    packed = pack(query_bits), pack(bits), query_labels, labels, N_BITS
    evaluate(*packed)  # compiles
    signs = tuple((2 * side - 1).astype(np.float32) for side in (query_bits, bits))
    onehot = np.eye(N_CLASSES, dtype=np.float32)
    print(f"MAP, 1,000 queries x 59,000 codes of {N_BITS} bits, {N_CLASSES} classes")
    with threadpool_limits(1):  # the products are too small for threads, which slow them down on a busy machine
        slow_map, slow = fastest(lambda: sorting_loop(*signs, onehot[query_labels], onehot[labels]), 3)
    print(f"  sorting loop           {slow:8.3f} s   MAP {slow_map:.4f} (ties in the order of the sort)")
    fast_map, fast = fastest(lambda: float(average_precision(distance_histograms(*packed)).expected.mean()), 10)
    ratio = slow / fast
    print(f"  histograms, MAP alone  {fast:8.3f} s   MAP {fast_map:.4f} (expected)   {ratio:.0f} times faster")
    _, full = fastest(lambda: evaluate(*packed).map, 10)
    print(f"  histograms, evaluate   {full:8.3f} s   all figures{slow / full:24.0f} times faster")

    (query_bits, query_labels), (bits, labels) = sample(rng, 10_000), sample(rng, 50_000)
    packed = pack(query_bits), pack(bits), query_labels, labels, N_BITS
    for top in (None, 1_000):
        value, seconds = fastest(lambda top=top: evaluate(*packed, top=top).map, 3)
        print(f"evaluate, 10,000 x 50,000, top {top}: {seconds:.3f} s, MAP {value:.4f}")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"peak memory of the whole run {peak:.0f} MiB (the distances alone would take 500 MB at one byte each)")


if __name__ == "__main__":
    main()
