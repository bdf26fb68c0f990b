"""Measure how many items a search must order by score, and how long the scores take.

    python benchmarks/asymmetric.py SOURCE [--methods itq,uhga] [--bits 64,128] [--queries 1000] [--train 10000]

SOURCE is a folder of images or a matrix. Queries are drawn from it at random; the other items are the collection, and
the first of them the training set. A figure is the share of the true 10 nearest items by cosine that are among the
best 100 by asymmetric score, if only the N nearest by Hamming distance are scored. "hamming" is the share among the
100 nearest by Hamming distance, and "all" that of scoring the whole collection.
"""

from __future__ import annotations

import argparse
import time

import numpy as np

from gannet.feature_reader import FeatureReader
from gannet.hashers import get_hasher
from gannet.index import HammingIndex
from gannet.scoring import asymmetric_scores, best_first, signs
from gannet.support.arrays import unit_rows

CANDIDATES = (200, 500, 1000, 2000, 5000)
NEAREST, SHOWN = 10, 100


def shares(found: list[np.ndarray], nearest: np.ndarray) -> float:
    """Return the mean share of the nearest items that were found."""
    return float(np.mean([np.isin(true, some).mean() for true, some in zip(nearest, found, strict=True)]))


def row(name: str, bits: int, queries: np.ndarray, items: np.ndarray, nearest: np.ndarray, train: int) -> str:
    hasher = get_hasher(name)(bits, random_state=0).fit(items[:train])
    codes, values = hasher.transform(items), hasher.decision_function(queries)
    _, ids = HammingIndex(codes, bits).search(hasher.transform(queries), min(max(CANDIDATES), len(items)))
    scores = values @ signs(codes, bits).T
    figures = [shares([some[:SHOWN] for some in ids], nearest)]
    for n in CANDIDATES:
        ordered = [some[:n][best_first(of[some[:n]])][:SHOWN] for some, of in zip(ids, scores, strict=True)]
        figures.append(shares(ordered, nearest))
    figures.append(shares([best_first(of)[:SHOWN] for of in scores], nearest))
    return f"| {name}, {bits} bits | " + " | ".join(f"{figure:.3f}" for figure in figures) + " |"


def microseconds(bits: int, n: int = 1000, rounds: int = 2000) -> float:
    """Return the shortest time in which ``n`` random codes were scored."""
    random = np.random.default_rng(0)
    weights, codes = random.standard_normal(bits), np.packbits(random.random((n, bits)) < 0.5, axis=1)
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        asymmetric_scores(weights, codes)
        times.append(time.perf_counter() - start)
    return 1e6 * min(times)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source")
    parser.add_argument("--methods", default="itq,uhga")
    parser.add_argument("--bits", default="64,128")
    parser.add_argument("--queries", type=int, default=1000)
    parser.add_argument("--train", type=int, default=10_000)
    given = parser.parse_args()
    lengths = [int(bits) for bits in given.bits.split(",")]
    for bits in lengths:
        print(f"1,000 codes of {bits} bits are scored in {microseconds(bits):.0f} µs")
    features = FeatureReader().read(given.source).values
    order = np.random.default_rng(0).permutation(len(features))
    queries, items = features[order[: given.queries]], features[order[given.queries :]]
    nearest = np.argsort(-(unit_rows(queries) @ unit_rows(items).T), axis=1)[:, :NEAREST]
    print(f"\n{len(items):,} items, {len(queries):,} queries\n")
    print("| | hamming | " + " | ".join(f"{n:,}" for n in CANDIDATES) + " | all |")
    print("|---" * (len(CANDIDATES) + 3) + "|")
    for name in given.methods.split(","):
        for bits in lengths:
            print(row(name, bits, queries, items, nearest, given.train), flush=True)


if __name__ == "__main__":
    main()
