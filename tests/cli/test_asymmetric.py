"""Images and rows are answered by asymmetric score; ids, and whoever asks for it, by Hamming distance."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from gannet import search as search_collection
from gannet.codes import hamming
from gannet.collection import Collection
from gannet.errors import GannetError
from gannet.model import Model
from gannet.scoring import DEFAULT_CANDIDATES, asymmetric_scores


def search(run, collection: Path, *arguments: object) -> list:
    result = run("search", collection, *arguments, "--json")
    assert (result.status, result.err) == (0, "")
    return json.loads(result.out)


def ids(answer: dict) -> list[int]:
    return [item["id"] for item in answer["results"]]


def expected(model: Model, vectors: np.ndarray, query: np.ndarray, n: int) -> list[int]:
    """Return the ids of the ``n`` nearest by distance, then id, in the order of their scores, then of their places."""
    codes = model.encoder.encode(vectors)
    distances = hamming(model.encoder.encode(query[None]), codes)[0]
    nearest = np.lexsort((np.arange(len(codes)), distances))[:n]
    scores = asymmetric_scores(model.bit_weights(query[None])[0], codes[nearest])
    return nearest[np.argsort(-scores, kind="stable")].tolist()


@pytest.mark.parametrize("n", [3, 10, 37, 100, 500])
def test_the_nearest_n_are_ordered_by_score(
    matrix_collection: Path, matrix_model: Path, vectors, tmp_path: Path, run, n: int
) -> None:
    queries = vectors[:5] + 0.5 * np.random.default_rng(1).standard_normal((5, 20)).astype(np.float32)
    np.save(tmp_path / "queries.npy", queries)
    answers = search(run, matrix_collection, tmp_path / "queries.npy", "-k", 3, "--asymmetric", n)
    model = Model.load(matrix_model)
    assert [ids(answer) for answer in answers] == [expected(model, vectors, query, n)[:3] for query in queries]
    weights = model.bit_weights(queries)
    codes = model.encoder.encode(vectors)
    for answer, of_bits in zip(answers, weights, strict=True):
        for item in answer["results"]:
            assert set(item) == {"id", "path", "distance", "score"}
            assert item["score"] == pytest.approx(asymmetric_scores(of_bits, codes[item["id"]][None])[0], abs=1e-6)


def test_a_row_is_ordered_by_score_and_an_id_by_distance(
    matrix: Path, matrix_collection: Path, matrix_model: Path, vectors, run
) -> None:
    row = f"{matrix}#7"
    by_row, by_id = search(run, matrix_collection, row, "7", "-k", 50)
    assert ids(by_row) == expected(Model.load(matrix_model), vectors, vectors[7], 100)[:50]
    assert ids(by_row) != ids(by_id) and "score" not in by_id["results"][0]
    assert search(run, matrix_collection, row, "-k", 50, "--asymmetric") == [by_row]
    plain = search(run, matrix_collection, row, "-k", 50, "--no-asymmetric")
    assert [answer["results"] for answer in plain] == [by_id["results"]]
    mixed = run("search", matrix_collection, "7", row, "--asymmetric")
    assert mixed.status == 0 and mixed.out.startswith("7: not answered: 7 is answered from its stored code")
    alone = run("search", matrix_collection, "7", "--asymmetric")
    assert alone.status == 2 and "no values to score with" in alone.err and alone.err.count("\n") == 1


def test_the_encoder_decides_the_weights(tmp_path: Path, matrix: Path, vectors, run) -> None:
    file = tmp_path / "refined.model"
    fit = run("fit", matrix, "-o", file, "--method", "itq-refined", "--bits", 12)
    assert fit.status == 0 and run("index", matrix, "-m", file, "-o", tmp_path / "refined").status == 0
    (answer,) = search(run, tmp_path / "refined", f"{matrix}#7", "-k", 100)
    model = Model.load(file)
    assert ids(answer) == expected(model, vectors, vectors[7], 100)
    weights = model.encoder.bit_weights(vectors[7:8].astype(np.float32))[0]
    scores = asymmetric_scores(weights, model.encoder.encode(vectors[ids(answer)]))
    assert (np.diff(scores) <= 0).all() and len(set(scores)) > 20


def test_a_radius_is_ordered_by_score_on_request(matrix: Path, matrix_collection: Path, run) -> None:
    row = f"{matrix}#7"
    (by_distance,) = search(run, matrix_collection, row, "--radius", 4)
    (by_score,) = search(run, matrix_collection, row, "--radius", 4, "--asymmetric")
    assert len(by_distance["results"]) > 5 and sorted(ids(by_distance)) == sorted(ids(by_score))
    places = [(item["distance"], item["id"]) for item in by_distance["results"]]
    assert places == sorted(places) and "score" not in by_distance["results"][0]
    places = [(-item["score"], item["distance"], item["id"]) for item in by_score["results"]]
    assert places == sorted(places)


def test_the_best_scores_are_reranked_on_request(tmp_path: Path, matrix: Path, matrix_model: Path, run) -> None:
    kept, row = tmp_path / "kept", f"{matrix}#7"
    assert run("index", matrix, "-m", matrix_model, "-o", kept, "--keep-features").status == 0
    (by_score,) = search(run, kept, row, "-k", 30)
    (reranked,) = search(run, kept, row, "-k", 30, "--rerank", 30, "--asymmetric")
    scores = {item["id"]: item["score"] for item in by_score["results"]}
    assert {item["id"]: item["score"] for item in reranked["results"]} == scores
    cosines = [item["cosine"] for item in reranked["results"]]
    assert cosines == sorted(cosines, reverse=True)
    (plain,) = search(run, kept, row, "-k", 30, "--rerank", 30)
    nearest = search(run, kept, row, "-k", 30, "--no-asymmetric")[0]
    assert set(ids(plain)) == set(ids(nearest)) != set(scores) and "score" not in plain["results"][0]


def test_bad_numbers_of_items_to_score(matrix: Path, matrix_collection: Path, run) -> None:
    row = f"{matrix}#7"
    for arguments, words in [
        (["-k", 20, "--asymmetric", 19], "19 are below 20"),
        (["-k", 1, "--asymmetric", 0], "0 are below 1"),
        (["-k", 0], "k must be 1 or more"),
        (["--asymmetric", "many"], "'many' is no number of items"),
        (["--asymmetric", 50, "--radius", 3], "give no number of them"),
        (["--asymmetric", "--no-asymmetric"], "exclude each other"),
    ]:
        result = run("search", matrix_collection, row, *arguments)
        assert result.status == 2 and words in result.err and result.err.count("\n") == 1
    assert "put the option after the queries" in run("search", matrix_collection, "--asymmetric", row).err
    with Collection.open(matrix_collection) as collection:
        with pytest.raises(GannetError, match="-5 are below 1"):
            search_collection(collection, [row], k=1, asymmetric=-5)
        with pytest.raises(GannetError, match="20 are below 30"):
            search_collection(collection, [row], k=1, rerank=30, asymmetric=20)
        with pytest.raises(GannetError, match="whole number, not 'all'"):
            search_collection(collection, [row], asymmetric="all")


def test_more_results_than_are_scored_by_default(tmp_path: Path, run) -> None:
    vectors = np.random.default_rng(0).standard_normal((DEFAULT_CANDIDATES + 500, 16)).astype(np.float32)
    np.save(tmp_path / "v.npy", vectors)
    assert run("fit", tmp_path / "v.npy", "-o", tmp_path / "m", "--method", "lsh", "--bits", 16).status == 0
    assert run("index", tmp_path / "v.npy", "-m", tmp_path / "m", "-o", tmp_path / "c").status == 0
    (answer,) = search(run, tmp_path / "c", f"{tmp_path}/v.npy#0", "-k", len(vectors) - 100)
    assert ids(answer) == expected(Model.load(tmp_path / "m"), vectors, vectors[0], len(vectors) - 100)


def test_a_collection_with_gaps_in_its_ids(matrix: Path, matrix_collection: Path, run) -> None:
    row = f"{matrix}#7"
    (before,) = search(run, matrix_collection, row, "-k", 100)
    gone = [0, 1, 5, 30, 31, 99]
    assert run("remove", matrix_collection, *gone).status == 0
    (after,) = search(run, matrix_collection, row, "-k", 100)
    assert after["results"] == [item for item in before["results"] if item["id"] not in gone]


def test_one_image_has_one_answer_whether_the_collection_holds_it_or_not(
    photos: Path, image_collection: Path, image_model: Path, tmp_path: Path, run, encoded: list[int]
) -> None:
    (tmp_path / "copy.png").write_bytes((photos / "05.png").read_bytes())
    inside = search(run, image_collection, photos / "05.png", tmp_path / "copy.png", "-k", 20)
    assert inside[0]["results"] == inside[1]["results"] and encoded == []  # the features come from the cache
    assert inside[0]["results"][0] == {"id": 5, "path": str(photos / "05.png"), "distance": 0, "score": 1.0}
    assert run("remove", image_collection, 5).status == 0
    (outside,) = search(run, image_collection, tmp_path / "copy.png", "-k", 19)
    assert outside["results"] == inside[0]["results"][1:]
    scores = [item["score"] for item in outside["results"]]
    assert scores == sorted(scores, reverse=True) and len(set(scores)) > 10


def test_without_the_network_an_image_of_the_collection_is_answered_by_distance(
    photos: Path, image_collection: Path, run, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from gannet.image_hasher import ImageHasher

    by_id = search(run, image_collection, "5", "-k", 9)[0]["results"]
    error = GannetError("the network is not installed")

    def missing(self: ImageHasher, images: object) -> None:
        raise error

    monkeypatch.setattr(ImageHasher, "features", missing)
    result = run("search", image_collection, photos / "05.png", "-k", 9, "--json")
    assert result.status == 0 and json.loads(result.out)[0]["results"] == by_id
    assert "cannot be encoded: the network is not installed; its stored code is used" in caplog.text
    caplog.clear()
    assert run("search", image_collection, photos).status == 0 and len(caplog.records) == 1
    assert "(and so are 59 more)" in caplog.text
    result = run("search", image_collection, photos / "05.png", "-k", 9, "--asymmetric")
    assert result.status == 2 and "no values to score with" in result.err
    result = run("search", image_collection, photos / "05.png", "-k", 9, "--no-asymmetric", "--json")
    assert (result.status, result.err, json.loads(result.out)[0]["results"]) == (0, "", by_id)


def test_scores_in_lists_and_pages(photos: Path, image_collection: Path, tmp_path: Path, run) -> None:
    page = tmp_path / "page.html"
    result = run("search", image_collection, photos / "05.png", "3", "-k", 2, "--html", page)
    lines = result.out.splitlines()
    assert lines[1].split() == ["1.0000", "0", "5", str(photos / "05.png")]
    assert lines[4].split() == ["0", "3", str(photos / "03.png")]
    html = page.read_text()
    assert html.count(", score 1.000") == 1 and "Results with a score are ordered by it" in html
    assert run("search", image_collection, "3", "-k", 2, "--html", page).status == 0
    assert "score " not in page.read_text().partition("<main")[2]
