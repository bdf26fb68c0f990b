"""Servers that stop, full disks, missing libraries and approximate searches."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from places import Make, Run

from gannet import Collection, GannetError, search
from gannet.engines import open_engine, open_target
from gannet.engines.export import export

psycopg = pytest.importorskip("psycopg")


def codes(n: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (n, 8), dtype=np.uint8)


def test_postgres_is_stopped_and_started_again(postgres_server: Any, postgres: str, make_collection: Make) -> None:
    file, address = make_collection(codes(50), 64), f"{postgres}&table=stopped"
    export(file, address)
    with open_target(address) as target, Collection.open(file) as collection:
        expected = search(collection, ["7"])
        assert search(target, ["7"]) == expected
        postgres_server.stop()
        for _ in range(2):
            with pytest.raises(GannetError, match=r"postgresql:///postgres\?table=stopped") as error:
                search(target, ["7"])
            assert "\n" not in str(error.value)
        postgres_server.ensure_postgres_running()
        assert search(target, ["7"]) == expected


def test_a_connection_of_postgres_is_lost_in_a_query(postgres: str, make_collection: Make) -> None:
    file, address = make_collection(codes(50), 64), f"{postgres}&table=lost"
    export(file, address)
    with open_target(address) as target, psycopg.connect(postgres, autocommit=True) as other:
        other.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid != pg_backend_pid()")
        with pytest.raises(GannetError, match="cannot be used: terminating connection") as error:
            target.search(codes(1), 3)
        assert "\n" not in str(error.value)
        assert target.search(codes(1), 3)[0].shape == (1, 3)


def test_hnsw_of_postgres(postgres: str, make_collection: Make, run: Run) -> None:
    file, exact = make_collection(codes(2000), 64), f"{postgres}&table=hnsw"
    approximate = f"{exact}&approximate=hnsw"
    export(file, exact)
    with pytest.raises(GannetError, match="has no HNSW index: run `gannet export`"):
        open_target(approximate)
    done = export(file, f"{approximate}&ef=10")
    assert done.exact is False and done.added == 0 and done.recall is not None and 0.1 < done.recall <= 1
    better = export(file, f"{approximate}&ef=500")
    assert better.recall is not None and done.recall <= better.recall and better.recall > 0.9
    assert f"recall {better.recall:.3f} of the 10 nearest" in run("export", file, f"{approximate}&ef=500").out
    with open_target(f"{approximate}&ef=500") as target, open_target(exact) as full:
        distances, ids = target.search(codes(20), 30)
        expected, _ = full.search(codes(20), 30)
        assert ids.shape == (20, 30) and (distances >= expected).all() and (distances == expected).mean() > 0.9
        for row, found in zip(distances, ids, strict=True):
            assert sorted(zip(row, found, strict=True)) == list(zip(row, found, strict=True))
        assert target.search(codes(1), 5000)[0].shape == (1, 2000)
        np.testing.assert_array_equal(target.radius(codes(1), 25)[0][1], full.radius(codes(1), 25)[0][1])


@pytest.mark.parametrize(
    ("library", "extra", "target"),
    [
        ("duckdb", "duckdb", "duckdb:x"),
        ("psycopg", "postgres", "postgresql://x/y"),
        ("faiss", "faiss", "faiss:x"),
        ("usearch", "usearch", "usearch:x"),
        ("lancedb", "lancedb", "lancedb:x"),
        ("pymilvus", "milvus", "milvus://x"),
    ],
)
def test_a_missing_library(library: str, extra: str, target: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(GannetError, match=rf"needs {library}: pip install 'gannet-hash\[{extra}\]'"):
        open_engine(target)


@pytest.fixture
def disk() -> Iterator[Path]:
    """A disk of 512 KB."""
    with tempfile.TemporaryDirectory() as name:
        command = ["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", name]
        try:
            subprocess.run(command, check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError):
            pytest.skip("no disk can be mounted here")
        yield Path(name)
        subprocess.run(["umount", "-l", name], check=True)


@pytest.mark.parametrize("engine", ["duckdb", "faiss", "lancedb", "parquet", "postgresql"])
def test_a_full_disk(engine: str, disk: Path, make_collection: Make, request: pytest.FixtureRequest) -> None:
    file = make_collection(codes(50_000), 64)
    address = f"{engine}:{disk}/export"
    if engine == "postgresql":
        address = f"{request.getfixturevalue('postgres')}&table=full&options=-c%20default_tablespace%3Dsmall"
        with psycopg.connect(request.getfixturevalue("postgres"), autocommit=True) as connection:
            (data,) = connection.execute("SHOW data_directory").fetchone()
            shutil.chown(disk, Path(data).owner())
            connection.execute(f"CREATE TABLESPACE small LOCATION '{disk}'")
    with pytest.raises(GannetError, match=r"(?i)no space left on") as error:
        export(file, address)
    assert "\n" not in str(error.value) and str(error.value).count(engine) == 1
    subprocess.run(["mount", "-o", "remount,size=200m", str(disk)], check=True)
    export(file, address)
    with open_target(address) as target:
        assert len(target) == 50_000 and target.search(codes(1), 1)[1].tolist() == [[0]]


def test_a_file_of_duckdb_that_is_in_use(make_collection: Make, tmp_path: Path) -> None:
    file, address = make_collection(codes(50), 64), f"duckdb:{tmp_path}/d"
    export(file, address)
    with open_target(address) as target, open_target(address) as another:
        assert target.search(codes(1), 3)[1].tolist() == another.search(codes(1), 3)[1].tolist()
        with pytest.raises(GannetError, match="is in use by another program, and one of the two writes to it"):
            export(file, address)
        command = [sys.executable, "-c", "from gannet.cli import main; main()", "export", str(file), address]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 2 and "is in use by another program" in done.stderr
