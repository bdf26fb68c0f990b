"""``gannet serve`` as a process: it prints its address, answers, stops on signals, and reports errors in one line."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from gannet.collection import Collection

pytest.importorskip("fastapi")

SERVE = [sys.executable, "-c", "from gannet.cli import main; main()", "serve"]


@pytest.fixture
def server(matrix_collection: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    with subprocess.Popen(
        [*SERVE, str(matrix_collection), "--port", "0"], stdout=subprocess.PIPE, text=True
    ) as process:
        line = process.stdout.readline()  # type: ignore[union-attr]
        found = re.search(r"http://127\.0\.0\.1:\d+/", line)
        assert found and "100 items" in line
        try:
            yield process, found[0]
        finally:
            process.kill()


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_it_answers_and_stops(
    server: tuple[subprocess.Popen[str], str], matrix_collection: Path, stop: signal.Signals
) -> None:
    process, address = server
    request = urllib.request.Request(f"{address}search", b'{"id": 3, "k": 2}', {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=20) as answer:
        assert json.load(answer)["results"][0]["id"] == 3
        assert "server" not in {name.lower() for name in answer.headers}
    with urllib.request.urlopen(address, timeout=20) as answer:
        assert b"<title>vectors.gannet" in answer.read()
    with Collection.open(matrix_collection) as collection:
        collection.remove([5])
    with urllib.request.urlopen(f"{address}health", timeout=20) as answer:
        assert json.load(answer)["items"] == 99
    process.send_signal(stop)
    assert process.wait(20) == 0
    assert not list(
        matrix_collection.parent.glob(f"{matrix_collection.name}-*")
    )  # the server was the last to close the file


def test_a_port_in_use(matrix_collection: Path, run) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = run("serve", matrix_collection, "--port", port)
    assert (result.status, result.out) == (2, "")
    assert result.err == f"gannet: port {port} of 127.0.0.1 is in use: choose another with --port, or 0 for any\n"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["absent"], "there is no collection absent"),
        (["{c}", "--port", "70000"], "a port is a number from 0 to 65535"),
        (["{c}", "--port", "-1"], "a port is a number from 0 to 65535"),
        (["{c}", "--port", "x"], "'x' is not a valid integer"),
        (["{c}", "--host", "192.0.2.1"], "cannot serve at 192.0.2.1"),
        (["{c}", "--host", "absent.invalid"], "cannot serve at absent.invalid"),
        (["{c}", "--host", ""], "--host"),
        (["{c}", "--host", "a" * 300], "--host"),
        (["{c}", "--allow-host", "http://a"], "'http://a' is not a host name"),
        ([], "COLLECTION"),
    ],
)
def test_arguments_that_cannot_be_served(matrix_collection: Path, run, arguments: list[str], words: str) -> None:
    result = run("serve", *(text.format(c=matrix_collection) for text in arguments))
    assert result.status == 2 and result.out == ""
    assert (
        words in result.err
        and "while" not in result.err
        and result.err.count("\n") == 1
        and result.err.startswith("gannet: ")
    )


def test_without_the_libraries(matrix_collection: Path, run, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("gannet.server")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    result = run("serve", matrix_collection)
    assert (result.status, result.err) == (2, "gannet: gannet serve needs uvicorn: pip install 'gannet-hash[serve]'\n")


def test_serving_loads_nothing_to_learn_with(matrix_collection: Path) -> None:
    program = (
        "import sys; from gannet.server import create_app; from gannet.retrieval.live import LiveCollection\n"
        "live = LiveCollection(sys.argv[1]); create_app(live); live.search(live.item(3).code, 5)\n"
        "print([name for name in ('torch', 'openvino', 'sklearn') if name in sys.modules])"
    )
    command = [sys.executable, "-c", program, str(matrix_collection)]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "[]\n"
