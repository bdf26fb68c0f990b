"""A small collection of pictures, and the application over it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from served_pictures import PARTS, TEXTS, make_collection, make_photos

from gannet.retrieval.live import LiveCollection

pytest.importorskip("fastapi")
from starlette.testclient import TestClient

from gannet.server import create_app


def client_of(live: LiveCollection, **settings: object) -> TestClient:
    # An exception that the application does not handle is then an answer with status 500, as it is for a browser.
    return TestClient(create_app(live, **settings), base_url="http://127.0.0.1:8000", raise_server_exceptions=False)


@pytest.fixture(autouse=True)
def networks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let Gannet find the network of the collection's model by its entry point."""
    monkeypatch.syspath_prepend(Path(__file__).parents[1] / "networks")


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return make_photos(tmp_path)


@pytest.fixture
def collection(tmp_path: Path, photos: Path) -> Path:
    return make_collection(tmp_path, photos)


@pytest.fixture
def described(tmp_path: Path, photos: Path) -> Path:
    """The same collection, with codes of two parts and a model that takes texts."""
    return make_collection(tmp_path, photos, PARTS, TEXTS)


@pytest.fixture
def open_client() -> Iterator[Callable[..., TestClient]]:
    """Open a client of the application over a collection; settings go to `create_app`."""
    opened: list[LiveCollection] = []

    def open_one(path: Path, editable: bool = False, **settings: object) -> TestClient:
        opened.append(LiveCollection(path, editable))
        return client_of(opened[-1], **settings)

    yield open_one
    for live in opened:
        live.close()


@pytest.fixture
def client(collection: Path, open_client: Callable[..., TestClient]) -> TestClient:
    return open_client(collection)


@pytest.fixture(scope="session")
def shared_client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """A client for requests that change nothing."""
    folder = tmp_path_factory.mktemp("shared")
    with contextlib.closing(LiveCollection(make_collection(folder, make_photos(folder)))) as live:
        yield client_of(live)
