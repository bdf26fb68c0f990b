"""The API returns the results of the index, follows changes of the file, and answers bad input with one line."""

from __future__ import annotations

import io
import os
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw
from served_pictures import ENCODER, N_BITS, SIDE, encode, save_picture
from starlette.testclient import TestClient

from gannet.codes import hamming, unpack
from gannet.collection import Collection
from gannet.data import decode, digest
from gannet.model import Model
from gannet.retrieval import query as search_query
from tiny_model import tiny_model


def png(size: tuple[int, int]) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", size).save(out, "PNG")
    return out.getvalue()


def problem(response, status: int, words: str) -> None:
    assert response.status_code == status
    assert response.headers["content-type"] == "application/problem+json"
    body = response.json()
    assert body["status"] == status and words in body["detail"] and "\n" not in body["detail"]


def ids(response) -> list[int]:
    assert response.status_code == 200
    return [item["id"] for item in response.json()["results"]]


def test_search_by_id_equals_the_command_line(client: TestClient, collection: Path) -> None:
    found = client.post("/search", json={"id": 3, "k": 12}).json()
    with Collection.open(collection) as store:
        (expected,) = search_query.search(store, ["3"], 12)
    results = [{key: item[key] for key in ("id", "path", "distance")} for item in found["results"]]
    assert results == expected["results"] and found["bits"] == N_BITS


def test_the_differing_bits_are_those_that_differ(client: TestClient, collection: Path) -> None:
    found = client.post("/search", json={"id": 3, "k": 1000}).json()
    with Collection.open(collection) as store:
        codes = store.codes([item["id"] for item in found["results"]])
        query = store.codes([3])
    assert len(codes) == 42
    for item, code, distance in zip(found["results"], codes, hamming(codes, query)[:, 0], strict=True):
        different = np.flatnonzero(unpack(code[None], N_BITS) != unpack(query, N_BITS))
        assert item["differing_bits"] == different.tolist() and item["distance"] == len(different) == distance


def test_the_radius_limits_the_k_nearest(client: TestClient) -> None:
    everything = client.post("/search", json={"id": 3, "k": 1000}).json()["results"]
    radius = everything[5]["distance"]
    within = [item["id"] for item in everything if item["distance"] <= radius]
    assert ids(client.post("/search", json={"id": 3, "k": 1000, "radius": radius})) == within
    assert ids(client.post("/search", json={"id": 3, "k": 2, "radius": radius})) == within[:2]
    assert ids(client.post("/search", json={"id": 3, "radius": 0})) == [3]
    assert ids(client.post("/search", json={"id": 0, "radius": 0})) == [0, 40]


def test_an_uploaded_image_is_searched_and_its_code_finds_the_same(client: TestClient, photos: Path) -> None:
    raw = (photos / "07.png").read_bytes()
    found = client.post("/search", files={"image": ("x.png", raw)}, data={"k": 5}).json()
    assert found["results"][0]["id"] == 7 and found["results"][0]["distance"] == 0 and len(found["results"]) == 5
    assert found["code"] == encode(raw).tobytes().hex() == client.get("/items/7").json()["code"]
    by_code = {"code": found["code"], "weights": found["weights"], "k": 5}
    assert client.post("/search", json=by_code).json() == found
    assert client.post("/search", files={"image": ("x.png", raw)}, data={"radius": 0}).json()["results"][0]["id"] == 7


def test_an_uploaded_image_is_ordered_by_score_unless_told_otherwise(client: TestClient, photos: Path) -> None:
    raw = (photos / "07.png").read_bytes()
    values = ENCODER.values(decode(raw, SIDE).reshape(1, -1).astype(np.float32))[0]

    def upload(**limits: object) -> dict:
        return client.post("/search", files={"image": ("x.png", raw)}, data=limits).json()

    found = upload(k=42)
    np.testing.assert_array_equal(np.float32(found["weights"]), values)
    for item in found["results"]:
        signs = np.where(np.isin(np.arange(N_BITS), item["differing_bits"]), -1, 1)
        assert item["score"] == pytest.approx((signs * np.abs(values)).sum() / np.abs(values).sum(), abs=2e-6)
    order = [(-item["score"], item["distance"], item["id"]) for item in found["results"]]
    assert order == sorted(order) and len(order) == 42 and upload(k=5)["results"] == found["results"][:5]
    by_distance = upload(k=42, asymmetric=False)["results"]
    assert [item["id"] for item in by_distance] == ids(client.post("/search", json={"code": found["code"], "k": 42}))
    assert by_distance[0].keys() == {"id", "path", "distance", "differing_bits"}
    near = [item for item in by_distance if item["distance"] <= 11]
    assert 1 < len(near) < 42 and upload(k=42, radius=11)["results"] == near
    within = upload(k=42, radius=11, asymmetric=True)["results"]
    assert within == [item for item in found["results"] if item["distance"] <= 11]


def test_what_has_no_values_is_not_ordered_by_score(client: TestClient) -> None:
    code = "00" * (N_BITS // 8)
    problem(client.post("/search", json={"id": 3, "asymmetric": True}), 422, "no values to score with")
    problem(client.post("/search", json={"code": code, "asymmetric": True}), 422, "no values to score with")
    problem(client.post("/search", json={"code": code, "weights": [1.0] * 3}), 422, "24 weights")
    problem(client.post("/search", json={"id": 3, "weights": [1.0] * N_BITS}), 422, "weights belong to a code")
    problem(client.post("/search", json={"code": code, "weights": [1e39] * N_BITS}), 422, "weights")
    assert "score" not in client.post("/search", json={"id": 3}).json()["results"][0]
    zeros = client.post("/search", json={"code": code, "weights": [0.0] * N_BITS, "k": 50}).json()["results"]
    assert [item["score"] for item in zeros] == [0] * 42
    assert [item["id"] for item in zeros] == ids(client.post("/search", json={"code": code, "k": 50}))


def test_an_item_and_its_picture(client: TestClient, photos: Path) -> None:
    item = client.get("/items/5").json()
    assert item["id"] == 5 and item["path"] == str(photos / "05.png")
    picture = client.get("/items/5/thumbnail")
    assert picture.headers["content-type"] == "image/jpeg"
    with Image.open(io.BytesIO(picture.content)) as image:
        assert image.format == "JPEG" and image.size == (96, 96)
    problem(client.get("/items/41/thumbnail"), 404, "item 41 has no picture")


def test_a_sample_is_spread_over_the_collection(client: TestClient) -> None:
    assert [item["id"] for item in client.get("/items?limit=4").json()["items"]] == [0, 10, 21, 31]
    assert [item["id"] for item in client.get("/items?limit=1000").json()["items"]] == list(range(42))


def test_duplicates(client: TestClient) -> None:
    found = client.get("/duplicates").json()
    assert found["total"] == 1 and found["groups"][0]["size"] == 2
    assert [item["id"] for item in found["groups"][0]["items"]] == [0, 40]
    assert client.get("/duplicates?offset=1").json() == {"radius": 0, "total": 1, "groups": []}
    (most,) = client.get("/duplicates?radius=3&limit=1").json()["groups"]
    assert most["size"] == len(most["items"]) >= 2


def test_duplicates_are_compared_by_their_pictures(
    collection: Path, photos: Path, open_client: Callable[..., TestClient]
) -> None:
    pages = []
    for text in ("several words on a page", "and others on the next", "several words on a page"):
        page = Image.new("L", (96, 96), 255)
        ImageDraw.Draw(page).multiline_text((4, 4), text.replace(" ", "\n"), fill=0)
        pages.append(photos / f"page {len(pages)}.png")
        page.save(pages[-1])
    raws = [page.read_bytes() for page in pages]
    with Collection.open(collection) as store:
        ids = store.add(np.full((3, 3), 255, np.uint8), list(map(str, pages)), list(map(digest, raws)))
    groups = open_client(collection).get("/duplicates").json()["groups"]
    assert [[item["id"] for item in group["items"]] for group in groups] == [[0, 40], [ids[0], ids[2]]]


def test_health(client: TestClient) -> None:
    health = client.get("/health").json()
    assert health["items"] == 42 and health["bits"] == N_BITS and health["editable"] is False
    assert health["collection"] == "photos.gannet"


def test_names_that_are_not_utf8_come_through(collection: Path, open_client: Callable[..., TestClient]) -> None:
    name = os.fsdecode(b"/x/caf\xe9.jpg")
    with Collection.open(collection) as store:
        (id_,) = store.add(np.full((1, 3), 255, np.uint8), [name]).tolist()
    client = open_client(collection)
    assert client.get(f"/items/{id_}").json()["path"] == name
    assert client.post("/search", json={"id": id_, "k": 1}).json()["results"][0]["path"] == name
    problem(client.get(f"/items/{id_}/thumbnail"), 404, "no picture")


# The file changes ---------------------------------------------------------------------------------


def test_changes_by_others_are_followed(client: TestClient, collection: Path, photos: Path) -> None:
    assert ids(client.post("/search", json={"id": 0, "radius": 0})) == [0, 40]
    with Collection.open(collection) as store:
        store.remove([0])
        (added,) = store.add(store.codes([40]), [str(photos / "00.png")]).tolist()
    problem(client.post("/search", json={"id": 0}), 404, "there is no item 0")
    problem(client.get("/items/0/thumbnail"), 404, "there is no item 0")
    assert ids(client.post("/search", json={"id": 40, "radius": 0})) == [40, added]
    assert client.get("/health").json()["items"] == 42


def test_a_collection_in_its_place_is_served(client: TestClient, collection: Path) -> None:
    assert client.get("/health").json()["bits"] == N_BITS
    other = collection.with_name("other")
    with Collection.create(other, tiny_model(8)) as store:
        store.add(np.array([[1], [2]], np.uint8), ["a", "b"])
    other.replace(collection)
    assert client.get("/health").json()["items"] == 2
    assert ids(client.post("/search", json={"id": 1})) == [1, 0]


def test_a_file_in_its_place_that_is_none_is_a_problem(client: TestClient, collection: Path) -> None:
    other = collection.with_name("other")
    other.write_text("not a collection" * 100)
    other.replace(collection)
    for answer in (client.get("/health"), client.post("/search", json={"id": 1}), client.get("/items/1/thumbnail")):
        problem(answer, 409, "not a Gannet collection")


# Removing -----------------------------------------------------------------------------------------


def test_removing_needs_edit(client: TestClient) -> None:
    problem(client.delete("/items/3"), 403, "--edit")
    assert client.get("/items/3").status_code == 200


def test_removing(collection: Path, photos: Path, open_client: Callable[..., TestClient]) -> None:
    client = open_client(collection, editable=True)
    assert 3 in ids(client.post("/search", json={"id": 3}))
    assert client.delete("/items/3").status_code == 204
    problem(client.delete("/items/3"), 404, "there is no item 3")
    problem(client.get("/items/3"), 404, "there is no item 3")
    assert 3 not in ids(client.post("/search", json={"id": 4, "k": 1000}))
    assert (photos / "03.png").exists()
    with Collection.open(collection) as store:
        assert len(store) == 41
        store.check()


# Only pictures of the collection ------------------------------------------------------------------


def test_a_picture_that_has_changed_is_not_shown(client: TestClient, photos: Path, tmp_path: Path) -> None:
    secret = save_picture(tmp_path / "secret.png", 1000)
    (photos / "05.png").unlink()
    (photos / "05.png").symlink_to(secret)
    problem(client.get("/items/5/thumbnail"), 404, "not the one that was indexed")
    save_picture(photos / "06.png", 1000)
    problem(client.get("/items/6/thumbnail"), 404, "not the one that was indexed")
    (photos / "07.png").unlink()
    problem(client.get("/items/7/thumbnail"), 404, "no picture")


@pytest.mark.parametrize("path", ["/etc/passwd", "../../etc/passwd", "/dev/zero", "\x00", "a" * 5000])
def test_a_path_alone_shows_no_file(collection: Path, open_client: Callable[..., TestClient], path: str) -> None:
    with Collection.open(collection) as store:
        (id_,) = store.add(np.zeros((1, 3), np.uint8), [path], [b"digest"]).tolist()
    problem(open_client(collection).get(f"/items/{id_}/thumbnail"), 404, "no picture")


@pytest.mark.parametrize(
    "address",
    [
        "/items/..%2f..%2fetc%2fpasswd/thumbnail",
        "/static/..%2fserve.html",
        "/static/../app.py",
        "/static/%2e%2e/app.py",
        "/static//etc/passwd",
        "/photos/00.png",
    ],
)
def test_nothing_is_served_by_path(client: TestClient, address: str) -> None:
    assert client.get(address).status_code in (404, 422)


def test_thumbnails_are_encoded_again(collection: Path, photos: Path, open_client: Callable[..., TestClient]) -> None:
    file = photos / "late.png"
    raw = (photos / "00.png").read_bytes() + b"<script>alert(1)</script>"
    file.write_bytes(raw)
    with Collection.open(collection) as store:
        (id_,) = store.add(encode(raw), [str(file)], [digest(raw)]).tolist()
    served = open_client(collection).get(f"/items/{id_}/thumbnail").content
    assert served.startswith(b"\xff\xd8") and b"script" not in served


# Bad input ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({}, "give either"),
        ({"id": 1, "code": "000000"}, "give either"),
        ({"id": "1"}, "id"),
        ({"id": -1}, "id"),
        ({"id": 2**63}, "id"),
        ({"id": 10**400}, "id"),
        ({"id": 1.5}, "id"),
        ({"id": True}, "id"),
        ({"id": 1, "k": 0}, "k"),
        ({"id": 1, "k": 1001}, "k"),
        ({"id": 1, "k": "many"}, "k"),
        ({"id": 1, "radius": -1}, "radius"),
        ({"id": 1, "radius": 10**30}, "radius"),
        ({"id": 1, "color": "red"}, "color"),
        ({"code": ""}, "code"),
        ({"code": "00"}, "24 bits"),
        ({"code": "00000000"}, "24 bits"),
        ({"code": "00000"}, "code"),
        ({"code": "00000g"}, "code"),
        ({"code": "../../"}, "code"),
        ([], "object"),
    ],
)
def test_searches_that_make_no_sense(shared_client: TestClient, body: object, words: str) -> None:
    response = shared_client.post("/search", json=body)
    assert response.status_code == 422
    assert words in response.json()["detail"]


@pytest.mark.parametrize(
    "body", [b"", b"{", b"\xff\xfe", b"[" * 100_000, b'{"id": NaN}', b'{"id": "\\ud800"}', b"\x00"]
)
def test_bodies_that_are_not_json(shared_client: TestClient, body: bytes) -> None:
    response = shared_client.post("/search", content=body, headers={"Content-Type": "application/json"})
    problem(response, 422, "")


def test_other_kinds_of_bodies(shared_client: TestClient) -> None:
    problem(
        shared_client.post("/search", content=b"id=3", headers={"Content-Type": "text/plain"}),
        415,
        "multipart/form-data",
    )
    problem(shared_client.post("/search"), 415, "multipart/form-data")


@pytest.mark.parametrize("kind", ["", "; boundary=", "; boundary=a", "; boundary=a; charset=base64", "; boundary=\xff"])
@pytest.mark.parametrize(
    "body", [b"", b"--a", b"--a\r\n\r\n", b"--a\r\nContent-Disposition: form-data\r\n\r\nx\r\n--a--"]
)
def test_forms_that_cannot_be_read(shared_client: TestClient, kind: str, body: bytes) -> None:
    headers = {"Content-Type": f"multipart/form-data{kind}".encode("latin-1")}
    response = shared_client.post("/search", content=body, headers=headers)
    assert response.status_code in (400, 422)
    problem(response, response.status_code, "")


@pytest.mark.parametrize(
    ("image", "words"),
    [
        (b"", "empty file"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "not an image"),
        (b"hello", "not an image"),
        (b"\x89PNG\r\n\x1a\n", "not an image"),
        (png((200, 200))[:60], "image file"),
    ],
)
def test_uploads_that_are_not_images(shared_client: TestClient, image: bytes, words: str) -> None:
    problem(shared_client.post("/search", files={"image": ("x.png", image)}), 422, words)


def test_a_form_without_an_image(shared_client: TestClient) -> None:
    raw = png((8, 8))
    problem(shared_client.post("/search", files={"other": ("x.png", raw)}), 422, "other")
    problem(shared_client.post("/search", files={"image": ("x", raw)}, data={"k": ["1", "2"]}), 422, "twice")
    problem(shared_client.post("/search", files={"x": ("", b"")}, data={"image": "x"}), 422, "")
    problem(shared_client.post("/search", files={"image": ("x", raw)}, data={"id": 3}), 422, "id")
    two = [("image", ("x", raw)), ("image", ("y", raw))]
    problem(shared_client.post("/search", files=two), 400, "Too many files")


def test_uploads_are_limited(collection: Path, open_client: Callable[..., TestClient]) -> None:
    client = open_client(collection, max_bytes=100_000, max_pixels=10_000)
    problem(client.post("/search", files={"image": ("x", bytes(200_000))}), 413, "larger than")

    def chunks():
        for _ in range(100):
            yield bytes(10_000)

    for kind in ("application/json", "multipart/form-data; boundary=a"):
        problem(client.post("/search", content=chunks(), headers={"Content-Type": kind}), 413, "larger than")
    raw = png((200, 200))
    problem(client.post("/search", files={"image": ("x", raw)}), 422, "too many pixels")


@pytest.mark.parametrize("id_", ["x", "-1", "1.5", str(2**63), "9" * 5000, "%00", "nan", "1e3"])
def test_ids_that_are_none(shared_client: TestClient, id_: str) -> None:
    for method, address in (("GET", ""), ("GET", "/thumbnail"), ("DELETE", "")):
        problem(shared_client.request(method, f"/items/{id_}{address}"), 422, "id")


def test_ids_that_are_not_there(shared_client: TestClient) -> None:
    for id_ in (42, 2**63 - 1):
        problem(shared_client.get(f"/items/{id_}"), 404, f"there is no item {id_}")
        problem(shared_client.post("/search", json={"id": id_}), 404, f"there is no item {id_}")


@pytest.mark.parametrize("query", ["radius=-1", "radius=4", "radius=x", "limit=0", "limit=501", "offset=-1"])
def test_duplicates_out_of_range(shared_client: TestClient, query: str) -> None:
    problem(shared_client.get(f"/duplicates?{query}"), 422, query.partition("=")[0])


def test_collections_of_vectors_take_no_image(tmp_path: Path, open_client: Callable[..., TestClient]) -> None:
    with Collection.create(tmp_path / "c", Model(ENCODER, "lsh")) as store:
        store.add(np.zeros((1, 3), np.uint8), ["vectors.npy#0"])
    raw = png((8, 8))
    client = open_client(tmp_path / "c")
    problem(client.post("/search", files={"image": ("x", raw)}), 422, "of vectors, not of images")
    assert ids(client.post("/search", json={"id": 0})) == [0]


def test_an_empty_collection(tmp_path: Path, open_client: Callable[..., TestClient]) -> None:
    Collection.create(tmp_path / "c", tiny_model(8)).close()
    client = open_client(tmp_path / "c")
    assert ids(client.post("/search", json={"code": "00"})) == []
    assert client.get("/items").json() == {"items": []}
    assert client.get("/duplicates?radius=1").json()["total"] == 0
    assert client.get("/").status_code == 200


def test_unknown_addresses_and_methods(shared_client: TestClient) -> None:
    problem(shared_client.get("/nope"), 404, "Not Found")
    problem(shared_client.put("/items/3"), 405, "Method Not Allowed")


@pytest.mark.parametrize(
    ("address", "allowed"),
    [
        ("/items/3", "DELETE, GET, OPTIONS"),
        ("/items/3/thumbnail", "GET, OPTIONS"),
        ("/search", "OPTIONS, POST"),
        ("/items", "GET, OPTIONS"),
        ("/health", "GET, OPTIONS"),
    ],
)
def test_options_name_all_methods_of_a_path(shared_client: TestClient, address: str, allowed: str) -> None:
    response = shared_client.options(address)
    assert (response.status_code, response.headers["allow"], response.content) == (204, allowed, b"")
    refused = shared_client.request("PATCH", address)
    problem(refused, 405, "Method Not Allowed")
    assert refused.headers["allow"] == allowed


def test_a_null_radius_means_no_limit(client: TestClient, photos: Path) -> None:
    expected = client.post("/search", json={"id": 3, "k": 7}).json()
    assert client.post("/search", json={"id": 3, "k": 7, "radius": None}).json() == expected
    content = client.get("/openapi.json").json()["paths"]["/search"]["post"]["requestBody"]["content"]
    assert "null" in str(content["application/json"]["schema"]["properties"]["radius"])
    assert "null" not in str(content["multipart/form-data"]) and "anyOf" not in str(content["multipart/form-data"])
    raw = (photos / "07.png").read_bytes()
    for text in ("null", "", "x"):
        problem(client.post("/search", files={"image": ("x", raw)}, data={"radius": text}), 422, "radius")


@pytest.mark.parametrize(("side", "limit"), [(10_001, 100), (60_000, 100), (40_000, 3)])
def test_the_limit_that_is_said_is_the_one_that_holds(
    collection: Path, open_client: Callable[..., TestClient], side: int, limit: int
) -> None:
    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0))
    raw = b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")
    client = open_client(collection, max_pixels=limit * 10**6)
    problem(client.post("/search", files={"image": ("x", raw)}), 422, f"above {limit} million")
