"""Requests of other sites and for other hosts are refused, and every response has the security headers."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from gannet.errors import GannetError
from gannet.retrieval.live import LiveCollection
from gannet.server import create_app
from gannet.server.security import is_loopback

SEARCH = {"json": {"id": 3}}


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:8000", "127.0.0.1.evil.example", "192.168.1.5", "", "[::1", "a@b", "localhost."],
)
def test_other_hosts_are_refused(shared_client: TestClient, host: str) -> None:
    for response in (
        shared_client.get("/", headers={"Host": host}),
        shared_client.post("/search", headers={"Host": host}, **SEARCH),
    ):
        assert response.status_code == 400 and "Host" in response.json()["detail"]


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.1:8000", "localhost", "LOCALHOST:1", "[::1]:8000"])
def test_the_own_host_passes(shared_client: TestClient, host: str) -> None:
    assert shared_client.get("/health", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    ("bound", "host", "status"),
    [
        ("0.0.0.0", "192.168.1.5:8000", 200),
        ("0.0.0.0", "[fe80::1]", 200),
        ("0.0.0.0", "evil.example", 400),
        ("photos.lan", "photos.lan:8000", 200),
        ("photos.lan", "evil.example", 400),
        ("127.0.0.1", "10.0.0.1", 400),
    ],
)
def test_a_server_bound_to_more_takes_addresses(
    collection: Path, open_client: Callable[..., TestClient], bound: str, host: str, status: int
) -> None:
    client = open_client(collection, host=bound)
    assert client.get("/health", headers={"Host": host}).status_code == status


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "http://127.0.0.1:3000"},
        {"Origin": "null"},
        {"Origin": "http://[x"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "same-origin", "Origin": "https://evil.example"},
    ],
)
def test_pages_of_other_sites_change_and_ask_nothing(
    collection: Path, open_client: Callable[..., TestClient], headers: dict[str, str]
) -> None:
    client = open_client(collection, editable=True)
    assert client.post("/search", headers=headers, **SEARCH).status_code == 403
    assert client.delete("/items/3", headers=headers).status_code == 403
    assert client.get("/items/3").status_code == 200


@pytest.mark.parametrize(
    "headers", [{}, {"Origin": "http://127.0.0.1:8000", "Sec-Fetch-Site": "same-origin"}, {"Sec-Fetch-Site": "none"}]
)
def test_the_own_page_and_programs_pass(shared_client: TestClient, headers: dict[str, str]) -> None:
    assert shared_client.post("/search", headers=headers, **SEARCH).status_code == 200


def test_every_answer_carries_the_headers(shared_client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LiveCollection, "sample", lambda *_: 1 / 0)
    answers = [
        shared_client.get("/"),
        shared_client.get("/static/page.js"),
        shared_client.get("/health"),
        shared_client.get("/items/3/thumbnail"),
        shared_client.get("/items/x"),
        shared_client.get("/nope"),
        shared_client.get("/", headers={"Host": "evil.example"}),
        shared_client.post("/search", headers={"Origin": "http://evil.example"}, **SEARCH),
        shared_client.get("/items"),
    ]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 200, 422, 404, 400, 403, 500]
    assert answers[-1].json()["status"] == 500
    for answer in answers:
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy and "unsafe" not in policy and "http" not in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["cross-origin-resource-policy"] == "same-origin"
        assert "set-cookie" not in answer.headers
        assert "access-control-allow-origin" not in answer.headers


def test_the_page_has_nothing_inline_and_nothing_from_outside(shared_client: TestClient) -> None:
    page = shared_client.get("/").text
    assert not re.search(r"<style|\son\w+=|\sstyle=|javascript:|https?://", page)
    scripts = re.findall(r"<script[^>]*>(.*?)</script>", page, re.DOTALL)
    assert scripts == [""]
    for address in re.findall(r'(?:src|href)="(/static/[^"]+)"', page):
        assert shared_client.get(address).status_code == 200
    for name in ("page.js", "view.js", "api.js", "serve.css"):
        text = shared_client.get(f"/static/{name}").text.replace("http://www.w3.org/2000/svg", "")
        assert not re.search(r"https?://|innerHTML|insertAdjacentHTML|eval\(|document\.write|@import|url\(", text), name


def test_the_name_of_a_collection_is_escaped(collection: Path, open_client: Callable[..., TestClient]) -> None:
    hostile = collection.with_name("<img src=x onerror=alert(1)>.gannet")
    collection.rename(hostile)
    page = open_client(hostile).get("/").text
    assert "<img" not in page and "&lt;img" in page


def test_the_description_of_the_api_is_there(shared_client: TestClient) -> None:
    description = shared_client.get("/openapi.json").json()
    assert description["openapi"].startswith("3.")
    assert set(description["paths"]) == {
        "/search",
        "/items",
        "/items/{id}",
        "/items/{id}/thumbnail",
        "/duplicates",
        "/health",
    }
    assert set(description["paths"]["/search"]["post"]["requestBody"]["content"]) == {
        "application/json",
        "multipart/form-data",
    }
    assert shared_client.get("/docs").status_code == 404


@pytest.mark.parametrize(
    ("host", "expected"), [("127.0.0.1", True), ("localhost", True), ("::1", True), ("127.9.9.9", True)]
)
def test_loopback(host: str, expected: bool) -> None:
    assert is_loopback(host) is expected
    assert not is_loopback("0.0.0.0") and not is_loopback("photos.lan")


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "photos.example"}, 200),
        ({"Host": "Photos.Example:8443"}, 200),
        ({"Host": "photos.example", "Origin": "https://photos.example"}, 200),
        ({"Host": "127.0.0.1:8000", "Origin": "https://photos.example:8443"}, 200),  # a proxy that replaces the host
        ({"Host": "evil.example"}, 400),
        ({"Host": "sub.photos.example"}, 400),
        ({"Host": "photos.example", "Origin": "https://evil.example"}, 403),
        ({"Host": "photos.example", "Origin": "https://photos.example.evil.example"}, 403),
        ({"Host": "photos.example", "Origin": "null"}, 403),
        ({"Host": "photos.example", "Origin": "https://photos.example", "Sec-Fetch-Site": "cross-site"}, 403),
    ],
)
def test_allowed_hosts(
    collection: Path, open_client: Callable[..., TestClient], headers: dict[str, str], status: int
) -> None:
    client = open_client(collection, allowed_hosts=["photos.example", "10.0.0.7", "::7"])
    assert client.post("/search", headers=headers, **SEARCH).status_code == status
    assert client.get("/health", headers={"Host": "10.0.0.7"}).status_code == 200
    assert client.get("/health", headers={"Host": "[::7]:80"}).status_code == 200
    assert client.get("/health").status_code == 200


@pytest.mark.parametrize("name", ["", "https://photos.example", "photos.example:443", "a/b", "a@b", "*", "[::1", "a b"])
def test_invalid_host_names_are_refused(collection: Path, name: str) -> None:
    with contextlib.closing(LiveCollection(collection)) as live, pytest.raises(GannetError, match="not a host name"):
        create_app(live, allowed_hosts=[name])
