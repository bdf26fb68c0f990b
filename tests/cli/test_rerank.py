"""Re-ranking: the nearest items by Hamming distance are ordered by the cosine of their stored features."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from gannet.collection import Collection
from gannet.collection.feature_rows import half_unit
from gannet.errors import GannetError


@pytest.fixture
def kept(tmp_path: Path, matrix: Path, matrix_model: Path, run) -> Path:
    path = tmp_path / "kept.gannet"
    assert run("index", matrix, "-m", matrix_model, "-o", path, "--keep-features").status == 0
    return path


def search(run, collection: Path, *arguments: object) -> list:
    result = run("search", collection, *arguments, "--json")
    assert (result.status, result.err) == (0, "")
    return json.loads(result.out)


def cosines(vectors: np.ndarray, query: np.ndarray) -> np.ndarray:
    return vectors @ query / np.linalg.norm(vectors, axis=1) / np.linalg.norm(query)


def test_all_candidates_give_the_order_by_cosine(kept: Path, matrix: Path, vectors, run) -> None:
    by_id, by_row = search(run, kept, "7", f"{matrix}#7", "--rerank", 100)
    exact = cosines(vectors, vectors[7])
    assert [item["id"] for item in by_id["results"]] == np.argsort(-exact)[:10].tolist()
    for item in by_id["results"]:
        assert item["cosine"] == pytest.approx(exact[item["id"]], abs=1e-3)
        assert set(item) == {"id", "path", "distance", "cosine"}
    assert by_row["results"] == by_id["results"]


def test_few_candidates_are_the_nearest_by_distance(kept: Path, vectors, run) -> None:
    plain = search(run, kept, "7", "-k", 20)[0]["results"]
    ranked = search(run, kept, "7", "-k", 20, "--rerank", 20)[0]["results"]
    assert {item["id"] for item in plain} == {item["id"] for item in ranked}
    assert [item["cosine"] for item in ranked] == sorted((item["cosine"] for item in ranked), reverse=True)
    assert "cosine" not in plain[0]
    text = run("search", kept, "7", "--rerank", 50).out.splitlines()
    cosine, distance, id_, _ = text[1].split()
    assert (float(cosine), distance, id_) == (pytest.approx(1, abs=1e-3), "0", "7")


def test_changes_keep_features_and_codes_together(
    photos: Path, image_model: Path, tmp_path: Path, save_image, run
) -> None:
    from gannet.image_hasher import ImageHasher

    path = tmp_path / "kept.gannet"
    assert run("index", photos, "-m", image_model, "-o", path, "--keep-features").status == 0
    (photos / "01.png").rename(photos / "one.png")
    (photos / "copy.png").write_bytes((photos / "02.png").read_bytes())
    (photos / "03.png").unlink()
    save_image(photos / "04.png", 1000)
    assert run("sync", path, photos).status == 0
    assert run("remove", path, photos / "06.png").status == 0
    assert run("check", path).status == 0
    assert json.loads(run("info", path, "--json").out)["features"] == 24
    with Collection.open(path) as collection:
        ids = collection.ids
        stored = collection.features(ids)
        names = collection.paths(ids)
    found = ImageHasher.load(image_model).features([Path(name) for name in names])
    np.testing.assert_array_equal(stored, half_unit(found.values))
    answer = search(run, path, photos / "copy.png", "-k", 2, "--rerank", 59)[0]["results"]
    assert {Path(item["path"]).name for item in answer} == {"copy.png", "02.png"}


def test_damage_is_found(kept: Path, run) -> None:
    for change in ("DELETE FROM features WHERE id = 7", "UPDATE features SET data = zeroblob(40) WHERE id = 8"):
        with closing(sqlite3.connect(kept)) as db, db:
            db.execute(change)
        result = run("check", kept)
        assert result.status == 2 and "damaged" in result.err and result.err.count("\n") == 1
        assert run("search", kept, "3", "-k", 3, "--rerank", 100).status == 2


def test_impossible_requests_are_explained(kept: Path, matrix_collection: Path, vectors, run) -> None:
    for arguments, words in [
        ((matrix_collection, "3", "--rerank", 50), "index --keep-features"),
        ((kept, "3", "--rerank", 5), "5 are below 10"),
        ((kept, "3", "--rerank", 50, "--radius", 3), "not both"),
        ((kept, "3", "--rerank", 50, "-k", -5), "k must be 1 or more, not -5"),
    ]:
        result = run("search", *arguments)
        assert result.status == 2 and words in result.err and result.err.count("\n") == 1
    codes = np.zeros((2, 2), np.uint8)
    with Collection.open(kept) as with_, Collection.open(matrix_collection) as without:
        for collection, features, words in [
            (without, vectors[:2], "keeps no features"),
            (with_, None, "pass the features of the items too"),
            (with_, vectors[:1], r"shape \(2, 20\)"),
            (with_, vectors[:2, :3], r"shape \(2, 20\)"),
            (with_, np.full((2, 20), np.nan), "NaN"),
        ]:
            with pytest.raises(GannetError, match=words):
                collection.add(codes, ["a", "b"], features=features)
        assert len(with_) == len(without) == 100


@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e30])
def test_half_precision_at_unit_length(scale: float) -> None:
    random = np.random.default_rng(0)
    features = random.standard_normal((50, 30)) * scale
    features[3] = 0
    halves = half_unit(features)
    assert halves.dtype == np.float16 and np.isfinite(halves).all() and not halves[3].any()
    lengths = np.linalg.norm(features, axis=1, keepdims=True)
    np.testing.assert_allclose(halves, features / np.where(lengths > 0, lengths, 1), atol=2**-11)
