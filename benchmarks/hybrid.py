"""Compare hybrid codes with the codes of each method: MAP, and the share of the nearest items that codes find.

    python benchmarks/hybrid.py cifar10-uhga [--path DIR] [--bits 64] [--seeds 3] [--kind uhga-graph] [--nearest itq]
    python benchmarks/hybrid.py texts.npz    # arrays `features` and `labels`; a tenth are queries, at most 1,000

The methods learn from the protocol's training set, or from the database. MAP is over the whole ranking. Recall is the
share of the 10 nearest items by cosine that are among the best 100 by code. Both are given for the ranking by Hamming
distance and for the one by asymmetric score, as means over the seeds with the standard deviation.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gannet import FeatureReader, evaluate
from gannet.encoders import Encoder
from gannet.evaluation import float_map
from gannet.evaluation.held_out import HeldOut
from gannet.evaluation.items import find_protocol
from gannet.evaluation.split_data import read_split
from gannet.hashers import get_hasher

Array = NDArray[np.generic]


class Data(NamedTuple):
    """Features of a split, and the labels of queries and database."""

    query: Array
    database: Array
    train: Array
    query_labels: Array
    database_labels: Array


def read_protocol(name: str, path: str | None, kind: str) -> tuple[Data, Array]:
    """Return the features of a protocol, and its training set in the form that the method of the first bits takes."""
    data, _ = read_split(*find_protocol(name, path), FeatureReader())
    views = data.given_to(get_hasher(kind)()).train
    return Data(*data.features, data.query_labels, data.database_labels), views


def read_arrays(path: str) -> tuple[Data, Array]:
    """Return a random split of the arrays in a file."""
    with np.load(path) as arrays:
        features, labels = arrays["features"].astype(np.float32), arrays["labels"]
    order = np.random.default_rng(0).permutation(len(features))
    queries, items = np.split(order, [min(1000, len(order) // 10)])
    data = Data(features[queries], features[items], features[items], labels[queries], labels[items])
    return data, data.train


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data")
    parser.add_argument("--path")
    parser.add_argument("--bits", type=int, default=64)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--kind", default="uhga-graph")
    parser.add_argument("--nearest", default="itq")
    arguments = parser.parse_args()
    n_bits, kind, nearest = arguments.bits, arguments.kind, arguments.nearest
    is_file = Path(arguments.data).suffix == ".npz"
    data, views = read_arrays(arguments.data) if is_file else read_protocol(arguments.data, arguments.path, kind)
    held_out = HeldOut.of(data.query, data.database)
    ceiling = float_map(data.query, data.database, data.query_labels, data.database_labels)
    print(f"{len(data.query):,} queries, {len(data.database):,} items, {len(data.train):,} to learn from")
    print(f"MAP by cosine of the features: {ceiling:.3f}")
    rows: dict[str, list[list[float]]] = {}
    for seed in range(arguments.seeds):
        started = time.perf_counter()
        fitted: dict[str, Encoder] = {}
        for name, train in ((kind, views), (nearest, data.train)):
            for length in (n_bits, n_bits // 2):
                fitted[f"{name}, {length} bits"] = get_hasher(name)(length, random_state=seed).fit(train).encoder_
        for name in ("hybrid", "hybrid-refined"):
            for share in (0.25, 0.5, 0.75):
                hasher = get_hasher(name)(n_bits, kind=kind, share=share, random_state=seed)
                fitted[f"{name}, {share:.0%} {kind}"] = hasher.fit(views).encoder_
        for name, encoder in fitted.items():
            rows.setdefault(name, []).append(figures(encoder, data, held_out))
        print(f"seed {seed} in {time.perf_counter() - started:.0f} s", flush=True)
    print("| codes | MAP | recall | MAP by score | recall by score |\n|---|---|---|---|---|")
    for name, values in rows.items():
        cells = (
            f"{mean:.3f}±{std:.3f}" for mean, std in zip(np.mean(values, axis=0), np.std(values, axis=0), strict=True)
        )
        print(f"| {name} | {' | '.join(cells)} |")


def figures(encoder: Encoder, data: Data, held_out: HeldOut) -> list[float]:
    """Return MAP and recall by Hamming distance, then by asymmetric score."""
    query, database, n_bits = encoder.encode(data.query), encoder.encode(data.database), encoder.n_bits
    weights = encoder.bit_weights(np.asarray(data.query, np.float32))
    result = evaluate(query, database, data.query_labels, data.database_labels, n_bits, query_values=weights)
    recalls = [held_out.recall(query, database, n_bits, query_values=values)[100] for values in (None, weights)]
    return [result.map, recalls[0], result.map_asymmetric, recalls[1]]


if __name__ == "__main__":
    main()
