"""Measure searches by id per second over HTTP, in a collection of a million codes with concurrent clients.

    python benchmarks/serve.py [--codes 1000000] [--bits 64] [--clients 1,4,16,64] [--seconds 15] [-k 10]

The server is an unmodified `gannet serve` in its own process. The clients share another process, with one connection
each, and send the next query as soon as the previous one is answered. Both processes share two cores. Every response is
checked: its first result must have distance 0. Requires `pip install 'gannet-hash[serve]'`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from gannet.collection import Collection
from gannet.encoders import Linear
from gannet.model import Model

CORES = 2
WARM_UP_SECONDS = 3


def make_collection(path: Path, n: int, n_bits: int) -> None:
    """Create a collection of random codes."""
    random = np.random.default_rng(0)
    arrays = [np.zeros(shape, np.float32) for shape in ((4,), (4, n_bits), (n_bits,))]
    with Collection.create(path, Model(Linear(*arrays), "lsh")) as collection:
        for start in range(0, n, 100_000):
            size = min(100_000, n - start)
            codes = random.integers(0, 256, (size, n_bits // 8), dtype=np.uint8)
            collection.add(codes, [f"photos/{i}.jpg" for i in range(start, start + size)])


async def ask(port: int, n: int, k: int, seed: int, end: float, times: list[tuple[float, float]]) -> None:
    """Send queries over one connection until ``end``, and record the time of each response and its latency in ms."""
    random = np.random.default_rng(seed)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    while time.perf_counter() < end:
        id_ = int(random.integers(n))
        body = json.dumps({"id": id_, "k": k}).encode()
        head = (
            f"POST /search HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
        )
        start = time.perf_counter()
        writer.write(f"{head}\r\n\r\n".encode() + body)
        answer = await reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"content-length: (\d+)", answer)
        if not answer.startswith(b"HTTP/1.1 200") or length is None:
            raise AssertionError(answer)
        results = json.loads(await reader.readexactly(int(length[1])))["results"]
        stop = time.perf_counter()
        if len(results) != k or results[0]["distance"] != 0:
            raise AssertionError(results)
        times.append((stop, 1e3 * (stop - start)))
    writer.close()


async def load(port: int, n: int, k: int, clients: int, seconds: float) -> tuple[float, list[float]]:
    """Return the queries per second and the latencies in ms, without those of the warm-up."""
    begin = time.perf_counter() + WARM_UP_SECONDS
    times: list[tuple[float, float]] = []
    await asyncio.gather(*(ask(port, n, k, seed, begin + seconds, times) for seed in range(clients)))
    counted = [took for stop, took in times if stop >= begin]
    return len(counted) / seconds, counted


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--codes", type=int, default=1_000_000)
    parser.add_argument("--bits", type=int, default=64)
    parser.add_argument("--clients", default="1,4,16,64")
    parser.add_argument("--seconds", type=float, default=15)
    parser.add_argument("-k", type=int, default=10)
    arguments = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:CORES])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "million.gannet")
        make_collection(path, arguments.codes, arguments.bits)
        command = [sys.executable, "-c", "from gannet.cli import main; main()", "serve", str(path), "--port", "0"]
        start = time.perf_counter()
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
            line = server.stdout.readline()
            port = int(re.search(r":(\d+)/", line)[1])
            print(f"{line.strip()}: ready after {time.perf_counter() - start:.1f} s, {CORES} cores, k = {arguments.k}")
            try:
                for clients in map(int, arguments.clients.split(",")):
                    rate, times = asyncio.run(load(port, arguments.codes, arguments.k, clients, arguments.seconds))
                    p50, p99 = np.percentile(times, [50, 99])
                    print(
                        f"{clients:4} clients  {rate:7.0f} queries/s   p50 {p50:6.1f} ms   p99 {p99:6.1f} ms   "
                        f"longest {max(times):6.1f} ms"
                    )
            finally:
                server.terminate()


if __name__ == "__main__":
    main()
