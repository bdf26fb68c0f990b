"""`gannet serve` over a target: its API answers as that of the collection."""

from __future__ import annotations

import contextlib
import re
import subprocess
import sys

import numpy as np
import pytest

pytest.importorskip("fastapi")
from places import Make, Place
from starlette.testclient import TestClient

from gannet.engines import open_target
from gannet.engines.export import export
from gannet.retrieval.live import LiveCollection
from gannet.retrieval.live_target import LiveTarget
from gannet.server import create_app


def client_of(live: LiveCollection | LiveTarget) -> TestClient:
    return TestClient(create_app(live), base_url="http://127.0.0.1:8000", raise_server_exceptions=False)


def test_the_api(place: Place, make_collection: Make) -> None:
    codes = np.random.default_rng(0).integers(0, 8, (60, 3), dtype=np.uint8)
    file, address = make_collection(codes, 24), place()
    export(file, address)
    with (
        contextlib.closing(LiveCollection(file)) as collection,
        contextlib.closing(LiveTarget(open_target(address))) as target,
    ):
        one, other = client_of(collection), client_of(target)
        for question in (
            {"id": 7},
            {"id": 7, "k": 50, "radius": 3},
            {"code": "010203"},
            {"code": "010203", "weights": [float(i - 11) for i in range(24)]},
            {"id": 60},
            {"id": 7, "k": 0},
        ):
            expected, found = one.post("/search", json=question), other.post("/search", json=question)
            assert found.status_code == expected.status_code
            assert found.json().get("results") == expected.json().get("results")
        assert other.get("/items/7").json() == one.get("/items/7").json()
        assert other.get("/items?limit=20").json() == one.get("/items?limit=20").json()
        health = other.get("/health").json()
        assert health["items"] == 60 and health["bits"] == 24 and health["editable"] is False
        assert health["changed"] == one.get("/health").json()["changed"]
        assert other.get("/").status_code == 200 and other.get("/items/7/thumbnail").status_code == 404
        assert other.delete("/items/7").status_code == 403
        problem = other.get("/duplicates")
        assert problem.status_code == 409 and "gannet duplicates" in problem.json()["detail"]


def test_two_servers_of_one_target(place: Place, make_collection: Make) -> None:
    address = place()
    export(make_collection(np.zeros((5, 3), np.uint8), 24), address)
    with contextlib.ExitStack() as servers:
        running = []
        for option in ([], ["--index"]):
            command = [sys.executable, "-c", "from gannet.cli import main; main()", "serve", *option, address]
            server = subprocess.Popen([*command, "--port", "0"], stdout=subprocess.PIPE, text=True)
            running.append(servers.enter_context(server))
            servers.callback(server.kill)
        for server in running:
            assert server.stdout and re.search(r"5 items, at http://127.0.0.1:\d+/", server.stdout.readline())
