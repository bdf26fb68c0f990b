"""The files in deploy/: replicas with the command of compose.yaml answer alike from one Postgres, and keep no state."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import yaml
from places import Make, Run

from gannet.collection import Collection

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
DOCKERFILE = (DEPLOY / "Dockerfile").read_text("utf-8")
SETTINGS = {"PGPASSWORD": "secret", "GANNET_PICTURES": "/pictures", "GANNET_HOST": "photos.example"}
QUESTIONS: list[dict[str, Any]] = [
    {"id": 7, "k": 20},
    {"id": 7, "radius": 2},
    {"code": "010203", "weights": [float(i - 11) for i in range(24)]},
    {"id": 60},
]


def compose() -> dict[str, Any]:
    """Return the compose file with its variables replaced by settings, or by their defaults."""
    text = (DEPLOY / "compose.yaml").read_text("utf-8")
    return yaml.safe_load(re.sub(r"\$\{(\w+)[^}]*\}", lambda found: SETTINGS[found[1]], text))


@pytest.fixture
def database(postgres: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Make the database of the compose file for libpq's variables, and return the folder of the server's socket."""
    psycopg = pytest.importorskip("psycopg")
    name = compose()["services"]["db"]["environment"]["POSTGRES_DB"]
    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
        monkeypatch.setenv("PGHOST", connection.info.host)
        monkeypatch.setenv("PGUSER", connection.info.user)
        yield connection.info.host
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@contextlib.contextmanager
def replica(host: str) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """Run the command of the compose file, with its environment, at a free port, and yield the process and the port."""
    service = compose()["services"]["gannet"]
    command = [sys.executable, "-c", "from gannet.cli import main; main()", *service["command"], "--port=0"]
    environment = {**os.environ, **service["environment"], "PGHOST": host, "PGUSER": os.environ["PGUSER"]}
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment, text=True) as process:
        try:
            assert process.stdout
            line = process.stdout.readline()
            found = re.search(r"http://0\.0\.0\.0:(\d+)/", line)
            assert found, line
            yield process, int(found[1])
        finally:
            process.kill()


def answers(port: int, host: str = "photos.example") -> list[tuple[int, Any]]:
    """Return a replica's answers to requests that a balancer passes on from a page."""
    headers = {"Host": host, "Origin": f"https://{host}", "Sec-Fetch-Site": "same-origin"}
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", headers=headers, timeout=60) as client:
        found = [client.post("/search", json=question) for question in QUESTIONS]
        found += [client.get(path) for path in ("/health", "/items/7", "/items?limit=9")]
        return [(response.status_code, response.json()) for response in found]


def is_healthy(port: int) -> bool:
    """Run the health check of the image against a port."""
    found = re.search(r"CMD (\[.*\])\n", DOCKERFILE[DOCKERFILE.index("HEALTHCHECK") :])
    assert found
    _, *arguments = (word.replace(":8000/", f":{port}/") for word in json.loads(found[1]))
    return subprocess.run([sys.executable, *arguments], stderr=subprocess.DEVNULL).returncode == 0


def test_replicas(database: str, make_collection: Make, run: Run) -> None:
    codes = np.random.default_rng(0).integers(0, 8, (60, 3), dtype=np.uint8)
    file = make_collection(codes, 24)
    assert run("export", file, "postgresql:///photos").status == 0
    with replica(database) as (_, one), replica(database) as (other_process, other):
        before = answers(one)
        assert before == answers(other)
        assert [status for status, _ in before] == [200, 200, 200, 404, 200, 200, 200]
        assert {status for status, _ in answers(one, "elsewhere.example")} == {400}
        with Collection.open(file) as collection:
            collection.remove([3])
            assert collection.add(np.full((1, 3), 255, np.uint8), ["new.jpg"], [b"new"]) == [60]
        assert run("export", file, "postgresql:///photos", "--sync").status == 0
        after = answers(one)
        assert after == answers(other)
        assert after[3][1]["results"][0]["path"] == "new.jpg" and after != before
        ports = itertools.cycle((one, other))  # a conversation over both, as through a balancer
        found = [
            httpx.post(f"http://127.0.0.1:{next(ports)}/search", json={"id": 60, "k": 60}).json() for _ in range(4)
        ]
        assert found[0] == found[1] == found[2] == found[3] and len(found[0]["results"]) == 60
        assert is_healthy(one) and is_healthy(other)
        other_process.kill()
        other_process.wait()
        assert not is_healthy(other) and answers(one) == after
    with replica(database) as (_, again):
        assert answers(again) == after


def test_the_image_installs_extras_that_exist_from_files_that_exist() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]
    wanted = re.search(r"pip install '\.\[(.*)\]'", DOCKERFILE)
    assert wanted and set(wanted[1].split(",")) <= set(extras)
    copied = [
        word for line in re.findall(r"^COPY ((?!--from).*) \S+$", DOCKERFILE, re.MULTILINE) for word in line.split()
    ]
    sent = re.findall(r"^!(.*)$", (DEPLOY / "Dockerfile.dockerignore").read_text("utf-8"), re.MULTILINE)
    assert sorted(copied) == sorted(sent) and all((ROOT / name).exists() for name in copied)


def test_the_services_fit_together() -> None:
    services = compose()["services"]
    assert f"EXPOSE {8000}\n" in DOCKERFILE and "dynamic a gannet 8000 " in (DEPLOY / "Caddyfile").read_text("utf-8")
    assert services["gannet"]["environment"]["PGHOST"] == "db"
    assert services["gannet"]["environment"]["PGUSER"] == services["db"]["environment"]["POSTGRES_USER"]
    assert services["gannet"]["environment"]["PGPASSWORD"] == services["db"]["environment"]["POSTGRES_PASSWORD"]
    assert "secret" not in json.dumps([service.get("command") for service in services.values()])
    folder = services["gannet"]["volumes"][0]
    assert folder["source"] == folder["target"] and folder["read_only"]
