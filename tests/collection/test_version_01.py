"""Collections and models written by version 0.1 open, give the same results, and can be changed."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gannet.collection import Collection
from gannet.collection.indexing import add_source, sync
from gannet.collection.relocation import relocate
from gannet.collection.stored_model import read_model
from gannet.collection.summary import summarize
from gannet.data import open_source
from gannet.errors import GannetError
from gannet.image_hasher import ImageHasher
from gannet.model import Model
from gannet.retrieval.duplicates import find_duplicates
from gannet.retrieval.query import search

DATA = Path(__file__).parents[1] / "data_v01"
EXPECTED = json.loads((DATA / "expected.json").read_text())

pytestmark = pytest.mark.parametrize("name", ["vectors", "features"])


@pytest.fixture
def file(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of a collection in the working directory, with the matrix beside it."""
    for copied in (f"{name}.gannet", f"{name}.model", "matrix.npy"):
        shutil.copy(DATA / copied, tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path / f"{name}.gannet"


@pytest.fixture
def expected(name: str) -> dict[str, Any]:
    return EXPECTED[name]


def test_it_holds_the_recorded_items(file: Path, expected: dict[str, Any]) -> None:
    before = file.read_bytes()
    with Collection.open(file, readonly=True) as collection:
        collection.check()
        assert collection.info() == expected["info"] and collection.n_features == expected["n_features"]
        assert collection.ids.tolist() == expected["ids"]
        assert collection.paths(collection.ids) == expected["paths"]
        assert collection.codes().tobytes().hex() == expected["codes"]
        assert summarize(collection)["codes"] == pytest.approx(expected["statistics"])
        if expected["features"]:
            assert collection.features([0, 39]).tolist() == expected["features"]
    assert file.read_bytes() == before


def test_it_gives_the_recorded_answers(file: Path, expected: dict[str, Any]) -> None:
    with Collection.open(file, readonly=True) as collection:
        queries = ["3", "/tmp/v01/matrix.npy#8", "matrix.npy#21"]
        assert search(collection, queries, k=6, asymmetric=False) == expected["search"]
        assert all("score" in item for item in search(collection, queries[2:], k=6)[0]["results"])
        assert search(collection, ["17"], radius=2) == expected["radius"]
        assert find_duplicates(collection, 0, 0.0) == expected["duplicates"]
        if expected["rerank"]:
            assert find_duplicates(collection, 2, 0.7) == expected["duplicates_by_features"]
            reranked = search(collection, ["5", "matrix.npy#21"], k=4, rerank=12)
            for answer, recorded in zip(reranked, expected["rerank"], strict=True):
                assert answer["query"] == recorded["query"]
                for item, same in zip(answer["results"], recorded["results"], strict=True):
                    assert item == {**same, "cosine": pytest.approx(same["cosine"], abs=2e-6)}


def test_its_model_makes_the_same_codes(file: Path, expected: dict[str, Any]) -> None:
    stored = Model.load(file.with_suffix(".model"))
    assert stored.id == expected["info"]["model_id"] and stored.method == expected["method"]
    with Collection.open(file, readonly=True) as collection:
        assert read_model(collection).id == collection.model_id == stored.id
    assert stored.encoder.encode(np.load("matrix.npy")).tobytes().hex() == expected["codes"]


def test_it_is_changed(file: Path, expected: dict[str, Any]) -> None:
    n = expected["info"]["items"]
    with Collection.open(file) as collection:
        hasher = ImageHasher(model=read_model(collection))
        changes, skipped = add_source(collection, open_source("matrix.npy"), hasher)
        assert changes.added == n and not skipped and len(collection) == 2 * n
        np.testing.assert_array_equal(collection.codes()[n:], collection.codes()[:n])
        if collection.n_features:
            np.testing.assert_array_equal(collection.features(np.arange(n, 2 * n)), collection.features(np.arange(n)))
        changes, _ = add_source(collection, open_source("matrix.npy"), hasher)
        assert changes.added == 0 and changes.known == n
        with pytest.raises(GannetError, match="is no folder or archive of images"):
            sync(collection, str(file.parent / "matrix.npy"), hasher)
        assert collection.remove(np.arange(n)) == n
        collection.check()
    with Collection.open(file) as collection:
        collection.check()
        assert collection.ids.tolist() == list(range(n, 2 * n))
        assert collection.codes().tobytes().hex() == expected["codes"]


def test_rows_of_a_moved_matrix_keep_their_ids(file: Path, expected: dict[str, Any]) -> None:
    with Collection.open(file) as collection:
        relocate(collection, "/tmp/v01", str(file.parent / "gone"))
        if not collection.path(0).endswith("#0"):
            pytest.skip("these items are no rows of a matrix")
        changes, _ = add_source(collection, open_source("matrix.npy"))
        assert (changes.added, changes.moved, len(collection)) == (0, 40, 40)
        assert collection.ids.tolist() == expected["ids"]
        assert collection.path(3) == f"{file.parent / 'matrix.npy'}#3"
