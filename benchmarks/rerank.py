"""Measure the recall and the cost of re-ranking by cosine on CIFAR-10.

    python benchmarks/rerank.py CIFAR10 [--queries 200] [--bits 64] [--method itq]

Recall@10 is the share of the ten items nearest by exact cosine of the features that are among the results; a result as
near as the tenth counts. Queries are random images that are not in the collection; the model learns from 10,000 others.
Times are per query, for an open collection with its index in memory: searching, reading features and ordering.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np

from gannet import ImageHasher
from gannet.collection import Collection
from gannet.collection.feature_rows import half_unit
from gannet.collection.indexing import build_collection, encode_source
from gannet.data import Subset
from gannet.data.datasets.cifar10 import Cifar10
from gannet.hashers import get_hasher
from gannet.retrieval.query import rank_by_cosine

K = 10


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("cifar10")
    parser.add_argument("--queries", type=int, default=200)
    parser.add_argument("--bits", type=int, default=64)
    parser.add_argument("--method", default="itq")
    parser.add_argument("--candidates", default="50,200,1000")
    arguments = parser.parse_args()
    dataset = Cifar10().load(arguments.cifar10)
    order = np.random.default_rng(0).permutation(len(dataset))
    queries, items = order[: arguments.queries], np.sort(order[arguments.queries :])
    hasher = ImageHasher(get_hasher(arguments.method)(arguments.bits, random_state=0))
    hasher.learn(hasher.features(Subset(dataset.source, order[-10_000:])))
    asked = hasher.features(Subset(dataset.source, queries)).values
    codes = hasher.model.encoder.encode(asked)
    halves = half_unit(asked)
    with tempfile.TemporaryDirectory() as folder:
        sizes = {}
        for keep in (False, True):
            path = Path(folder) / f"{keep}.gannet"
            build_collection(path, hasher.model, encode_source(hasher, Subset(dataset.source, items), keep))
            sizes[keep] = (path.stat().st_size - len(hasher.model.to_bytes())) / len(items)
        print(f"{len(items):,} items, {len(queries):,} queries, {arguments.method} {arguments.bits} bits")
        print(f"bytes per item: {sizes[False]:.0f} with codes and paths, {sizes[True]:.0f} with features too")
        with Collection.open(path, readonly=True) as collection:
            index = collection.index()
            all_ids = collection.ids
            exact = unit(asked) @ unit(hasher.features(Subset(dataset.source, items)).values).T
            tenth = np.partition(exact, -K, axis=1)[:, -K]
            place = {int(id_): i for i, id_ in enumerate(all_ids)}
            index.search(codes, K)
            for candidates in [0, *map(int, arguments.candidates.split(","))]:
                recalls, times = [], []
                for query in range(len(queries)):
                    start = time.perf_counter()
                    ids = index.search(codes[query : query + 1], candidates or K)[1][0]
                    if candidates:
                        features = collection.features(ids)
                        ids = ids[rank_by_cosine(halves[query : query + 1], features, K)[0]]
                    times.append(1e3 * (time.perf_counter() - start))
                    found = exact[query, [place[int(id_)] for id_ in ids]]
                    recalls.append((found >= tenth[query] - 1e-6).mean())
                name = f"re-ranked {candidates}" if candidates else "by Hamming distance"
                print(f"{name:<20} recall@10 {np.mean(recalls):.3f}   {np.median(times):6.2f} ms per query")


def unit(features: np.ndarray) -> np.ndarray:
    return features / np.linalg.norm(features, axis=1, keepdims=True)


if __name__ == "__main__":
    main()
