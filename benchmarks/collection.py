"""Measure how fast large collections open and are searched, in processes of their own, and how repeated codes count.

    python benchmarks/collection.py [--items 1000000,10000000] [--bits 64] [--rounds 3]

Collections of random codes are made in a temporary folder. `search` is `gannet search C ID`, from the start of the
process to its end, with the file in the system's cache. Its peak memory is that of the process, and is compared with a
process that only imports NumPy and click. Before that, random and repeated codes are searched in this process.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from gannet.collection import Collection
from gannet.encoders import Linear
from gannet.index import HammingIndex
from gannet.model import Model

BATCH = 100_000
PEAK = """
import atexit, pathlib, sys
@atexit.register
def peak():
    lines = pathlib.Path("/proc/self/status").read_text().splitlines()
    print(next(line for line in lines if line.startswith("VmHWM")), file=sys.stderr)
"""
SEARCH = "from gannet.cli import main; main()"
IDLE = "import numpy, click"


def build(path: Path, n: int, bits: int) -> None:
    random = np.random.default_rng(0)
    arrays = [random.standard_normal(shape).astype(np.float32) for shape in ((32,), (32, bits), (bits,))]
    with Collection.create(path, Model(Linear(*arrays), "lsh")) as collection:
        for start in range(0, n, BATCH):
            size = min(BATCH, n - start)
            codes = np.packbits(random.random((size, bits)) < 0.5, axis=1)
            collection.add(codes, [f"/photos/{i // 1000}/{i}.jpg" for i in range(start, start + size)])


def run(program: str, *arguments: str) -> tuple[float, float]:
    """Run a Python program and return seconds and peak memory in MB."""
    start = time.perf_counter()
    command = [sys.executable, "-c", PEAK + program, *arguments]
    result = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=True)
    return time.perf_counter() - start, int(result.stderr.split()[-2]) / 1e3


def measure_search(folder: Path, n: int, bits: int, rounds: int) -> None:
    path = folder / f"{n}.gannet"
    start = time.perf_counter()
    build(path, n, bits)
    print(
        f"{n:,} codes of {bits} bits: {path.stat().st_size / 1e6:.0f} MB, written in "
        f"{time.perf_counter() - start:.0f} s"
    )
    path.read_bytes()
    times, peaks = zip(*(run(SEARCH, "search", str(path), str(n // 2), "--json") for _ in range(rounds)), strict=True)
    _, empty = run(IDLE)
    print(
        f"  search by id: {np.median(times):.2f} s ({min(times):.2f} to {max(times):.2f}), peak {max(peaks):.0f} MB, "
        f"{max(peaks) - empty:.0f} MB above the {empty:.0f} MB of an idle process; "
        f"the codes are {n * -(-bits // 8) / 1e6:.0f} MB"
    )
    path.unlink()


def measure_duplicates(n: int, rounds: int) -> None:
    random = np.random.default_rng(0)
    kinds = {
        "64 bits, random": random.integers(0, 256, (n, 8), dtype=np.uint8),
        "64 bits, all identical": np.tile(random.integers(0, 256, (1, 8), dtype=np.uint8), (n, 1)),
        "64 bits, 100 distinct": random.integers(0, 256, (100, 8), dtype=np.uint8)[random.integers(0, 100, n)],
        "16 bits, random": random.integers(0, 256, (n, 2), dtype=np.uint8),
        "16 bits, all identical": np.tile(random.integers(0, 256, (1, 2), dtype=np.uint8), (n, 1)),
    }
    print(f"top 10 of {n:,}, ms per query:              first     one   of 100   random query")
    for name, codes in kinds.items():
        bits = 8 * codes.shape[1]
        queries = codes[:100]
        index = HammingIndex(codes, bits)
        times = [1e3 * seconds(index, queries[:1])]
        for _ in range(60):  # until the index has rearranged the codes
            index.search(queries[:1], 10)
        strange = random.integers(0, 256, (1, bits // 8), dtype=np.uint8)
        jobs = [(queries[:1], 1), (queries, 100), (strange, 1)]
        for some, count in jobs:
            laps = [seconds(index, some) for _ in range(5 * rounds)]
            times.append(1e3 * float(np.median(laps)) / count)
        print(f"  {name:<40}{times[0]:7.2f} {times[1]:7.2f}  {times[2]:7.3f}        {times[3]:7.2f}")


def seconds(index: HammingIndex, queries: np.ndarray) -> float:
    start = time.perf_counter()
    index.search(queries, 10)
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--items", default="1000000,10000000")
    parser.add_argument("--bits", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    measure_duplicates(1_000_000, arguments.rounds)
    with tempfile.TemporaryDirectory() as folder:
        for n in arguments.items.split(","):
            measure_search(Path(folder), int(n), arguments.bits, arguments.rounds)


if __name__ == "__main__":
    main()
