"""The API searches by texts, and by one part of hybrid codes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from served_pictures import N_BITS, PARTS
from starlette.testclient import TestClient

from gannet import search
from gannet.codes import hamming, unpack
from gannet.collection import Collection
from gannet.retrieval.live import LiveCollection
from gannet.retrieval.parts import part_index

RANGES = {"kind": slice(0, 12), "nearest": slice(12, 24)}


@pytest.fixture
def client(described: Path, open_client: Callable[..., TestClient]) -> TestClient:
    return open_client(described)


def refused(response, words: str) -> None:
    assert response.status_code == 422
    assert words in response.json()["detail"] and "\n" not in response.json()["detail"]


def red() -> np.ndarray:
    """The features of the text "red", computed here."""
    unit = np.tile([1.0, 0, 0], 64) / 8
    return (1900 * (unit - 0.01) + 128).astype(np.float32)[None]


def test_a_text_is_searched_by_the_score_of_its_features(client: TestClient, described: Path) -> None:
    found = client.post("/search", json={"text": "red", "k": 42}).json()
    np.testing.assert_allclose(found["weights"], PARTS.values(red())[0], rtol=1e-3, atol=1e-2)
    assert found["code"] == PARTS.encode(red()).tobytes().hex()
    with Collection.open(described) as store:
        (expected,) = search(store, texts=["red"], k=42)
        codes = store.codes()
    results = [{key: item[key] for key in ("id", "path", "distance", "score")} for item in found["results"]]
    assert results == expected["results"] and len(results) == 42
    distances = hamming(PARTS.encode(red()), codes)[0]
    assert all(item["distance"] == distances[item["id"]] for item in results)
    by_code = {"code": found["code"], "weights": found["weights"], "k": 42}
    assert client.post("/search", json=by_code).json() == found
    by_distance = client.post("/search", json={"text": "red", "k": 42, "asymmetric": False}).json()["results"]
    assert [item["distance"] for item in by_distance] == sorted(distances)
    assert client.post("/search", data={"text": "red", "k": 42}, files={"x": b""}).status_code == 422
    assert client.get("/health").json()["takes_texts"] is True


def test_texts_that_cannot_be_searched_for(client: TestClient, shared_client: TestClient) -> None:
    refused(shared_client.post("/search", json={"text": "red"}), "no text tower")
    assert shared_client.get("/health").json()["takes_texts"] is False
    refused(client.post("/search", json={"text": "nothing"}), "cannot encode texts: there is no color nothing")
    refused(client.post("/search", json={"text": ""}), "text: ")
    refused(client.post("/search", json={"text": "x" * 1001}), "text: ")
    refused(client.post("/search", json={"text": "red", "id": 3}), "give either the id of an item, a text or a code")


@pytest.mark.parametrize("part", RANGES)
def test_a_part_of_the_codes(client: TestClient, described: Path, photos: Path, part: str) -> None:
    with Collection.open(described) as store:
        bits = unpack(store.codes(), N_BITS)[:, RANGES[part]]
    answer = client.post("/search", json={"id": 3, "k": 42, "part": part}).json()
    found, first = answer["results"], RANGES[part].start
    assert answer["compared"] == [first, first + 12]
    distances = (bits != bits[3]).sum(axis=1)
    assert [item["id"] for item in found] == np.lexsort((np.arange(42), distances)).tolist()
    for item in found:
        assert item["distance"] == distances[item["id"]]
        assert item["differing_bits"] == (first + np.flatnonzero(bits[item["id"]] != bits[3])).tolist()
    with Collection.open(described, index=part_index(described, part)) as store:
        (by_text,), (by_image,) = search(store, texts=["red"]), search(store, [str(photos / "07.png")])
    answers = (
        client.post("/search", json={"text": "red", "k": 10, "part": part}),
        client.post("/search", files={"image": (photos / "07.png").read_bytes()}, data={"k": 10, "part": part}),
    )
    for answer, expected in zip(answers, (by_text, by_image), strict=True):
        shown = [(item["id"], item["distance"], item["score"]) for item in answer.json()["results"]]
        assert shown == [(item["id"], item["distance"], item["score"]) for item in expected["results"]]


def test_codes_without_parts(client: TestClient, shared_client: TestClient, described: Path) -> None:
    assert client.get("/health").json()["parts"] == ["kind", "nearest"]
    assert shared_client.get("/health").json()["parts"] == []
    refused(shared_client.post("/search", json={"id": 3, "part": "kind"}), "have no parts: leave the part out")
    refused(client.post("/search", json={"id": 3, "part": "kin"}), "part: ")


def test_a_server_of_one_part_has_no_parts(described: Path) -> None:
    live = LiveCollection(described, index=part_index(described, "kind"))
    assert live.parts == [] and live.takes_texts
    live.close()


def test_the_page_offers_what_the_collection_takes(client: TestClient, shared_client: TestClient) -> None:
    with_both, without = client.get("/").text, shared_client.get("/").text
    for element in ('id="text"', 'id="part"'):
        assert element in with_both and element not in without
