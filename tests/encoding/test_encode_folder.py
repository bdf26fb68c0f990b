"""Folders of codes are the same for every number of processes, and lose nothing when a run is killed."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from gannet.code_folder import CodeFolder
from gannet.data import MatrixSource
from gannet.encoding import encode_folder
from tiny_model import tiny_model

N, KILLS = 1000, {1: 4, 2: 2}

# Encodes the rows of a matrix, a few rows per file.
RUN = """
import sys
from gannet import Model
from gannet.data import open_source
from gannet.encoding import encode_folder
if __name__ == "__main__":
    matrix, model, folder, n_workers = sys.argv[1:]
    print("begin", flush=True)
    encode_folder([open_source(matrix)], Model.load(model), folder, n_workers=int(n_workers), items_per_shard=10)
"""


@pytest.fixture
def points() -> np.ndarray:
    return np.random.default_rng(0).standard_normal((N, 4)).astype(np.float32)


def everything(folder: Path) -> list[tuple[int, bytes, str]]:
    return [
        (id_, bytes(code), path)
        for block in CodeFolder.open(folder).blocks()
        for id_, code, path in zip(block.ids.tolist(), block.codes, block.paths, strict=True)
    ]


def test_the_bytes_do_not_depend_on_the_number_of_processes(tmp_path: Path, points: np.ndarray) -> None:
    model, sources = tiny_model(13), [MatrixSource("a", points[:105]), MatrixSource("b", points[105:200])]
    for name, n_workers in (("one", 1), ("two", 2)):
        done = encode_folder(sources, model, tmp_path / name, n_workers=n_workers, items_per_shard=10)
        assert (done.n_items, done.n_encoded, done.n_shards, list(done.skipped)) == (200, 200, 21, [])
    files = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert len(files) == 21 + 2
    assert all((tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes() for name in files)
    assert [id_ for id_, _, _ in everything(tmp_path / "two")] == list(range(200))
    assert b"".join(code for _, code, _ in everything(tmp_path / "two")) == model.encoder.encode(points[:200]).tobytes()


@pytest.mark.parametrize("n_workers", [1, 2])
def test_kills_at_random_moments_lose_and_double_nothing(tmp_path: Path, points: np.ndarray, n_workers: int) -> None:
    np.save(tmp_path / "points.npy", points)
    model, folder, rng = tiny_model(13), tmp_path / "codes", random.Random(n_workers)
    model.save(tmp_path / "model")
    (tmp_path / "run.py").write_text(RUN)
    command = [sys.executable, "run.py", "points.npy", "model", "codes", str(n_workers)]
    counts = []
    for _ in range(KILLS[n_workers]):
        with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout and process.stdout.readline() == "begin\n"
            began, before = time.monotonic(), len(list(folder.glob("codes-*")))
            while len(list(folder.glob("codes-*"))) == before and time.monotonic() < began + 30:
                if process.poll() is not None:
                    break
                time.sleep(0.001)
            time.sleep(rng.uniform(0, 0.03))
            process.send_signal(signal.SIGKILL)
        counts.append(len(list(folder.glob("codes-*"))))
        for file in folder.glob("codes-*"):  # each file that is there is whole
            assert pq.read_table(file).num_rows == 10
    assert counts == sorted(counts) and 0 < counts[0] < N // 10, counts
    subprocess.run(command, cwd=tmp_path, check=True, stdout=subprocess.DEVNULL)
    stored = everything(folder)
    assert [id_ for id_, _, _ in stored] == list(range(N))
    assert b"".join(code for _, code, _ in stored) == model.encoder.encode(points).tobytes()
    assert len(list(folder.iterdir())) == N // 10 + 2  # no temporary file is left
