"""The server on a socket: clients that are silent, slow, huge or gone do not disturb others."""

from __future__ import annotations

import contextlib
import http.client
import io
import json
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import uvicorn
from PIL import Image
from served_pictures import encode_image

from gannet.retrieval.live import LiveCollection
from gannet.server import api, connections, create_app, security

Ask = Callable[..., tuple[int, dict]]
FORM = "multipart/form-data; boundary=x"


def form(image: bytes) -> bytes:
    return b'--x\r\nContent-Disposition: form-data; name="image"; filename="a"\r\n\r\n' + image + b"\r\n--x--\r\n"


def head(kind: str, length: int) -> bytes:
    lines = ["POST /search HTTP/1.1", "Host: 127.0.0.1", f"Content-Type: {kind}", f"Content-Length: {length}", "", ""]
    return "\r\n".join(lines).encode()


@pytest.fixture
def address(collection: Path) -> Iterator[tuple[str, int]]:
    """Serve the collection from a thread."""
    with contextlib.closing(LiveCollection(collection)) as live, socket.create_server(("127.0.0.1", 0)) as bound:
        server = uvicorn.Server(connections.server_config(create_app(live)))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [bound]})
        thread.start()
        yield bound.getsockname()
        server.should_exit = True
        thread.join(20)
        assert not thread.is_alive()


@pytest.fixture
def ask(address: tuple[str, int]) -> Ask:
    """Send one request on a connection of its own."""

    def send(body: object = None, path: str = "/search", kind: str = "application/json") -> tuple[int, dict]:
        with contextlib.closing(http.client.HTTPConnection(*address, timeout=20)) as client:
            content = body if isinstance(body, bytes) else json.dumps(body).encode()
            client.request("GET" if body is None else "POST", path, content, {"Content-Type": kind})
            response = client.getresponse()
            return response.status, json.loads(response.read())

    return send


def is_closed(client: socket.socket, seconds: float) -> bool:
    """Return whether the server closes a connection in some seconds."""
    client.settimeout(seconds)
    try:
        while client.recv(1 << 16):
            pass
    except TimeoutError:
        return False
    except OSError:
        pass
    return True


@pytest.mark.parametrize(
    "start", [b"GET / HTTP/1.1\r\nX: ", b"GET /", b"GET / HTTP/1.1\r\n", b"POST /search HTTP/1.1\r\n"]
)
def test_headers_are_limited(address: tuple[str, int], ask: Ask, start: bytes) -> None:
    line = b"a: " + bytes([97]) * 1000 + b"\r\n" if start.endswith(b"\n") else b"a" * 1000
    sent = len(start)
    with socket.create_connection(address, timeout=20) as client:
        client.sendall(start)
        with pytest.raises(OSError):  # the server closes the connection
            for _ in range(300_000):
                client.sendall(line)
                sent += len(line)
    assert sent < 20 << 20
    assert ask({"id": 3})[0] == 200


def test_silent_connections_give_way(address: tuple[str, int], ask: Ask) -> None:
    with contextlib.ExitStack() as stack:
        silent = [
            stack.enter_context(socket.create_connection(address)) for _ in range(connections.MAX_CONNECTIONS + 60)
        ]
        for client in silent[::2]:
            with contextlib.suppress(OSError):
                client.sendall(b"GET /health HT")
        for _ in range(5):
            assert ask(path="/health")[0] == 200
        assert is_closed(silent[0], 5) and not is_closed(silent[-1], 0.1)


def test_a_kept_connection_gives_way_too(address: tuple[str, int], ask: Ask) -> None:
    kept = [http.client.HTTPConnection(*address, timeout=20) for _ in range(connections.MAX_CONNECTIONS)]
    for client in kept:
        client.request("GET", "/health")
        assert client.getresponse().read()
    assert ask(path="/health")[0] == 200
    for client in kept:
        client.close()


@pytest.mark.parametrize(
    "start", [b"", b"GET /health HTTP/1.1\r\n", b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\nG"]
)
def test_a_silent_connection_is_closed(address: tuple[str, int], monkeypatch: pytest.MonkeyPatch, start: bytes) -> None:
    monkeypatch.setattr(connections, "HEADER_SECONDS", 0.5)
    with socket.create_connection(address) as client:
        client.sendall(start)
        time.sleep(0.2)
        if start:
            client.sendall(b"X")
        assert is_closed(client, 5)


def test_a_body_that_does_not_arrive(address: tuple[str, int], ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(security, "BODY_SECONDS", 0.5)
    for kind in ("application/json", FORM):
        with socket.create_connection(address, timeout=10) as client:
            client.sendall(head(kind, 9) + (b"-" if kind == FORM else b"{"))
            assert client.recv(1 << 16).startswith(b"HTTP/1.1 408")
    assert ask({"id": 3})[0] == 200


def test_slow_images_delay_no_other_request(ask: Ask, photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started = threading.Semaphore(0)

    def slow(_: LiveCollection, image: bytes) -> object:
        started.release()
        time.sleep(1)
        return encode_image(image)

    monkeypatch.setattr(LiveCollection, "encode", slow)
    upload = form((photos / "07.png").read_bytes())
    with ThreadPoolExecutor(60) as pool:
        uploads = [pool.submit(ask, upload, kind=FORM) for _ in range(60)]
        assert started.acquire(timeout=10)
        for _ in range(20):
            before = time.monotonic()
            assert ask({"id": 3, "k": 1})[0] == 200
            assert time.monotonic() - before < 0.9
        monkeypatch.setattr(LiveCollection, "encode", lambda _, image: encode_image(image))
        answers = [upload.result() for upload in uploads]
    assert {status for status, _ in answers} == {200}
    assert {answer["results"][0]["id"] for _, answer in answers} == {7}


def test_images_are_given_up_after_a_time(ask: Ask, photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    end = threading.Event()
    encoded: list[bytes] = []

    def stuck(_: LiveCollection, image: bytes) -> object:
        encoded.append(image)
        end.wait(20)
        return encode_image(image)

    monkeypatch.setattr(LiveCollection, "encode", stuck)
    monkeypatch.setattr(api, "UPLOAD_SECONDS", 0.5)
    upload = form((photos / "07.png").read_bytes())
    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(lambda _: ask(upload, kind=FORM), range(12)))
    assert {status for status, _ in answers} == {503}
    assert all("busy with other queries" in answer["detail"] for _, answer in answers)
    end.set()
    monkeypatch.setattr(api, "UPLOAD_SECONDS", 20)
    assert ask(upload, kind=FORM)[0] == 200
    assert len(encoded) == 2  # those that were given up before their turn are not decoded


NETWORKS = Path(__file__).parents[1] / "networks"
SERVER = """
import resource, sys, time
sys.path.append(sys.argv[4])
from gannet.retrieval.live import LiveCollection
from gannet.server import serve
if sys.argv[2] != "0":
    LiveCollection.encode = lambda *_: (print("encoding", flush=True), time.sleep(float(sys.argv[2])))
if sys.argv[3] != "0":
    resource.setrlimit(resource.RLIMIT_AS, (int(sys.argv[3]), -1))
serve(LiveCollection(sys.argv[1]), "127.0.0.1", 0, lambda line: print(line, flush=True))
"""


@contextlib.contextmanager
def process(
    collection: Path, seconds: float, memory: int = 0
) -> Iterator[tuple[subprocess.Popen[str], tuple[str, int]]]:
    command = [sys.executable, "-c", SERVER, str(collection), str(seconds), str(memory), str(NETWORKS)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        try:
            line = running.stdout.readline()  # type: ignore[union-attr]
            yield running, ("127.0.0.1", int(line.partition("127.0.0.1:")[2].partition("/")[0]))
        finally:
            running.kill()


def test_aborted_uploads_print_nothing(collection: Path) -> None:
    with process(collection, 0) as (running, address):
        for kind in ("application/json", FORM):
            for begun in (
                b"",
                b"--x\r\nContent-Disposition: form-data; name=image; filename=a\r\n\r\n" + bytes(100_000),
            ):
                with socket.create_connection(address) as client:
                    client.sendall(head(kind, 9_000_000) + begun)
                    time.sleep(0.2)
        with contextlib.closing(http.client.HTTPConnection(*address, timeout=10)) as client:
            client.request("GET", "/health")
            assert client.getresponse().status == 200
        running.send_signal(signal.SIGTERM)
        assert running.communicate(timeout=20)[1] == "" and running.returncode == 0


def test_it_stops_while_an_image_is_being_encoded(collection: Path, photos: Path) -> None:
    with (
        process(collection, 300) as (running, address),
        contextlib.closing(http.client.HTTPConnection(*address, timeout=30)) as client,
    ):
        client.request("POST", "/search", form((photos / "07.png").read_bytes()), {"Content-Type": FORM})
        assert running.stdout.readline() == "encoding\n"  # type: ignore[union-attr]
        running.send_signal(signal.SIGTERM)
        response = client.getresponse()
        assert response.status == 503 and "stopping" in json.loads(response.read())["detail"]
        _, printed = running.communicate(timeout=connections.STOP_SECONDS + 7)
        assert running.returncode == 0 and "Traceback" not in printed


def test_small_files_of_large_images_do_not_stop_a_small_server(collection: Path) -> None:
    with (
        process(collection, 0, 3 << 29) as (running, address),
        contextlib.closing(http.client.HTTPConnection(*address, timeout=60)) as client,
    ):
        for image in (Image.new("RGB", (9999, 9999)), Image.new("F", (9000, 9000)), Image.new("L", (9999, 9999))):
            out = io.BytesIO()
            if image.mode == "RGB":
                image.save(out, "WEBP", lossless=True)
            else:
                image.save(out, "TIFF", compression="tiff_adobe_deflate")
            assert len(out.getvalue()) < 1_000_000
            client.request("POST", "/search", form(out.getvalue()), {"Content-Type": FORM})
            response = client.getresponse()
            detail = response.read()
            assert response.status == 200 or (response.status == 422 and b"memory" in detail), detail
        client.request("GET", "/health")
        assert client.getresponse().status == 200 and running.poll() is None
