"""Measure what learning from a random sample costs, and what it does to the codes.

    python benchmarks/sampling.py cost [--methods itq,lsh,...] [--rows 1000000] [--features 256] [--bits 64]
    python benchmarks/sampling.py quality [--methods itq,dsh] [--seeds 3] [--larger 100000]
    python benchmarks/sampling.py faiss

`cost` runs the whole process ``gannet fit`` on a made matrix, reading included, and prints seconds, CPU seconds and the
peak of resident memory. `quality` prints the share of the 10 nearest items by cosine that are among the best 100 by
code, for the default sample and for a larger one: 1,000 other queries, 50,000 items. `faiss` times our ITQ and faiss's
on the same 50,000 rows in turns.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from gannet import ITQ
from gannet.evaluation.held_out import HeldOut
from gannet.hashers import all_hashers, get_hasher


def make_matrix(path: Path, n_rows: int, n_features: int) -> None:
    """Write a rectified mixture of 500 Gaussians with a decaying spectrum, float32."""
    random = np.random.default_rng(0)
    centers = random.normal(size=(500, n_features)).astype(np.float32)
    scales = (np.arange(1, n_features + 1) ** -0.5).astype(np.float32)
    turn = np.linalg.qr(random.normal(size=(n_features, n_features)))[0].astype(np.float32)
    out = np.lib.format.open_memmap(path, "w+", np.float32, (n_rows, n_features))
    for start in range(0, n_rows, 50_000):
        n = min(50_000, n_rows - start)
        rows = 0.5 * centers[random.integers(0, 500, n)] + random.normal(size=(n, n_features)).astype(np.float32)
        out[start : start + n] = np.maximum(rows * scales @ turn, 0)
    out.flush()


def cost(path: Path, method: str, bits: int) -> str:
    """Return a row of the table for one method."""
    program = "from gannet.cli import main; main()"
    output = path.with_suffix(".model")
    command = [sys.executable, "-c", program, "fit", path, "-o", output, "--method", method, "--bits", str(bits)]
    with tempfile.TemporaryFile() as printed:
        started = time.perf_counter()
        process = subprocess.Popen([*command, "--json"], stdout=printed, stderr=subprocess.DEVNULL)
        _, status, used = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - started
        if status:
            return f"| {method} | failed | | | |"
        printed.seek(0)
        record = json.loads(printed.read())
    cpu = used.ru_utime + used.ru_stime
    return f"| {method} | {record['n_items']:,} | {seconds:.0f} | {cpu:.0f} | {used.ru_maxrss / 1e6:.2f} |"


def quality(path: Path, method: str, bits: int, n_seeds: int, larger: int) -> str:
    """Return a row of the table for one method."""
    matrix = np.load(path, mmap_mode="r")
    order = np.random.default_rng(1).permutation(len(matrix))
    held_out = HeldOut.of(matrix[np.sort(order[:1000])], matrix[np.sort(order[1000:51_000])])
    rest = order[51_000:]
    cells = []
    for size in (get_hasher(method).sample_size, larger):
        found = []
        for seed in range(n_seeds):
            rows = np.sort(np.random.default_rng(seed).choice(rest, min(size, len(rest)), replace=False))
            hasher = get_hasher(method)(bits, random_state=seed).fit(matrix[rows])
            codes = hasher.transform(held_out.queries), hasher.transform(held_out.database)
            found.append(held_out.recall(*codes, bits)[100])
        cells.append(f"{size:,}: {np.mean(found):.3f}±{np.std(found):.3f}")
    return f"| {method} | {' | '.join(cells)} |"


def against_faiss(path: Path, bits: int) -> None:
    """Print the times of both and their ratio, each the best of three."""
    import faiss

    rows = np.array(np.load(path, mmap_mode="r")[:50_000])
    ours, theirs = [], []
    for _ in range(3):
        for times in (ours, theirs):
            started, used = time.perf_counter(), resource.getrusage(resource.RUSAGE_SELF)
            if times is ours:
                ITQ(bits).fit(rows)
            else:
                transform = faiss.ITQTransform(rows.shape[1], bits, True)
                transform.max_train_per_dim = len(rows)  # faiss would learn from ten rows per feature
                transform.train(rows)
            now = resource.getrusage(resource.RUSAGE_SELF)
            cpu = now.ru_utime + now.ru_stime - used.ru_utime - used.ru_stime
            times.append((time.perf_counter() - started, cpu))
    (seconds, cpu), (their_seconds, their_cpu) = np.min(ours, axis=0), np.min(theirs, axis=0)
    print(f"gannet {seconds:.2f} s, {cpu:.2f} CPU s; faiss {their_seconds:.2f} s, {their_cpu:.2f} CPU s")
    print(f"gannet takes {seconds / their_seconds:.2f} of faiss's time, {cpu / their_cpu:.2f} of its CPU time")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("cost", "quality", "faiss"))
    parser.add_argument("--methods")
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--features", type=int, default=256)
    parser.add_argument("--bits", type=int, default=64)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--larger", type=int, default=100_000)
    parser.add_argument("--matrix", type=Path, help="an .npy file to use in place of the made one")
    arguments = parser.parse_args()
    of_features = [name for name, cls in all_hashers().items() if cls().takes.kind == "features"]
    methods = arguments.methods.split(",") if arguments.methods else of_features
    with tempfile.TemporaryDirectory() as folder:
        path = arguments.matrix or Path(folder) / "matrix.npy"
        if arguments.matrix is None:
            # In a process of its own: a command's peak of memory is at least that of the process that starts it.
            maker = multiprocessing.get_context("spawn").Process(
                target=make_matrix, args=(path, arguments.rows, arguments.features)
            )
            maker.start()
            maker.join()
            if maker.exitcode:
                raise SystemExit("the matrix could not be made")
        if arguments.what == "faiss":
            against_faiss(path, arguments.bits)
            return
        heading = "items learned from | seconds | CPU seconds | GB" if arguments.what == "cost" else "default | larger"
        print(f"| method | {heading} |\n|{'---|' * (heading.count('|') + 2)}")
        for method in methods:
            if arguments.what == "cost":
                row = cost(path, method, arguments.bits)
            else:
                row = quality(path, method, arguments.bits, arguments.seeds, arguments.larger)
            print(row, flush=True)


if __name__ == "__main__":
    main()
