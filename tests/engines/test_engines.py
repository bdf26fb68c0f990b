"""Every exact engine gives the same distances and ids as `HammingIndex`, for all lengths of codes, with ties."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from places import Make, Place

from gannet import Collection, GannetError, HammingIndex, search
from gannet.codes import hamming, n_bytes, pack
from gannet.engines import Header, Rows, open_engine, open_target
from gannet.engines.export import export

LENGTHS = (16, 24, 63, 64, 128, 256)


def random_codes(n: int, n_bits: int, seed: int, distinct: int) -> np.ndarray:
    """Return codes with many duplicates, near each other, so that most distances are tied."""
    random = np.random.default_rng(seed)
    centers = random.random((distinct, n_bits)) < random.choice([0.1, 0.5, 0.9])
    return pack(centers[random.integers(distinct, size=n)])


class TestEngine:
    """What every exact engine has to do; a new engine joins in by the fixture ``place``."""

    @settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(
        n_bits=st.sampled_from(LENGTHS),
        n=st.integers(0, 60),
        seed=st.integers(0, 2**32 - 1),
        distinct=st.integers(1, 30),
    )
    def test_search_is_that_of_the_hamming_index(
        self, place: Place, n_bits: int, n: int, seed: int, distinct: int
    ) -> None:
        codes = random_codes(n, n_bits, seed, distinct)
        ids = np.sort(np.random.default_rng(seed).choice(4 * n + 1, n, replace=False)) + 3
        engine = open_engine(place(), writable=True)
        engine.create(Header(n_bits, "0" * 64, "test"), b"model")
        if n:
            engine.write(Rows(ids, codes, [b"%d" % i for i in ids], [None] * n))
        engine.finish()
        assert engine.exact and len(engine) == n
        index = HammingIndex(codes, n_bits, ids=ids)
        queries = np.concatenate([codes[:3], random_codes(3, n_bits, seed + 1, 3)])
        for k in (1, 5, n + 1):
            expected, found = index.search(queries, k), engine.search(queries, k)
            for one, other in zip(expected, found, strict=True):
                assert other.dtype == np.int64
                np.testing.assert_array_equal(one, other)
        for r in (0, 2, n_bits // 4, n_bits):
            for (distances, near), (some, those) in zip(
                index.radius(queries, r), engine.radius(queries, r), strict=True
            ):
                np.testing.assert_array_equal(distances, some)
                np.testing.assert_array_equal(near, those)
        engine.close()

    @pytest.mark.parametrize("n_bits", LENGTHS)
    def test_rows_are_stored_as_given(self, place: Place, n_bits: int) -> None:
        codes = random_codes(6, n_bits, 0, 6)
        paths = [b"a", b"", b"\xff\xfe.jpg", "ü'\"\\#!?%\n.jpg".encode(), b"a", b"x" * 3000]
        digests = [b"1" * 16, None, b"\0\xff", b"1" * 16, None, b"d" * 64]
        ids = np.array([0, 1, 5, 7, 1000, 2**31 + 5])
        address = place()
        engine = open_engine(address, writable=True)
        assert engine.header() is None
        header = Header(n_bits, "a" * 64, "then", "later", "state", 7, "next", 3)
        engine.create(header, b"\0model\xff" * 1000)
        low = Rows(ids[:5], codes[:5], paths[:5], digests[:5])
        engine.write(low)
        engine.write(low)
        engine.write(Rows(ids[5:], codes[5:], paths[5:], digests[5:]))
        engine.finish()
        engine.close()
        engine.close()

        engine = open_engine(address)
        assert engine.header() == header and engine.model() == b"\0model\xff" * 1000 and len(engine) == 6
        rows = engine.read(np.array([1, 2, 5, 2**31 + 5]))
        assert rows.ids.tolist() == [1, 5, 2**31 + 5] and rows.ids.dtype == np.int64
        assert [*rows.paths] == [paths[1], paths[2], paths[5]] and [*rows.digests] == [None, digests[2], digests[5]]
        np.testing.assert_array_equal(rows.codes, codes[[1, 2, 5]])
        found, stored = engine.codes(np.array([1, 2, 5, 2**31 + 5]))
        assert found.tolist() == rows.ids.tolist() and stored.tolist() == rows.codes.tolist()
        nothing = engine.read(np.array([2, 3]))
        assert len(nothing) == 0 and nothing.codes.shape == (0, n_bytes(n_bits))
        found, marks = engine.marks(1, 1000)
        assert found.tolist() == [1, 5, 7] and marks.tolist() == low.marks[1:4].tolist()
        assert engine.find("path", [b"a", b"", b"nothing"]).tolist() == [0, 1, 1000]
        assert engine.find("path", [paths[2], paths[3], paths[5]]).tolist() == [5, 7, 2**31 + 5]
        assert engine.find("digest", [b"1" * 16, b"\0\xff"]).tolist() == [0, 5, 7]
        engine.close()

    def test_rows_are_replaced_and_deleted(self, place: Place) -> None:
        codes = random_codes(40, 24, 0, 9)
        ids = np.arange(0, 80, 2)
        rows = Rows(ids, codes, [b"%d" % i for i in ids], [None] * 40)
        engine = open_engine(place(), writable=True)
        engine.create(Header(24, "a" * 64, "test"), b"")
        engine.write(rows)
        engine.delete(np.array([0, 1, 4, 1000]))
        changed = Rows(np.array([2, 3]), np.array([[1, 2, 3], [0, 0, 0]], np.uint8), [b"new", b"n"], [b"d", None])
        engine.write(changed)
        engine.write_header(header := Header(24, "a" * 64, "test", "now", "later", 80))
        assert engine.header() == header
        found, marks = engine.marks(0, 10)
        assert found.tolist() == [2, 3, 6, 8] and marks[:2].tolist() == changed.marks.tolist()
        assert marks[2:].tolist() == rows.marks[3:5].tolist()
        assert engine.read(np.array([2])).codes.tolist() == [[1, 2, 3]]
        assert engine.search(np.zeros((1, 3), np.uint8), 1)[1].tolist() == [[3]] and len(engine) == 39
        engine.close()


def test_many_threads_search_at_once(place: Place, make_collection: Make) -> None:
    codes = random_codes(500, 64, 0, 400)
    export(make_collection(codes, 64), address := place())
    distances, ids = HammingIndex(codes, 64).search(codes[:64], 7)
    with open_target(address) as target, ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda i: target.search(codes[i : i + 1], 7), range(64)))
        paths = list(pool.map(target.paths, ids))
    assert [row[0].tolist() for row, _ in found] == distances.tolist()
    assert [row[0].tolist() for _, row in found] == ids.tolist()
    assert paths == [[f"{id_}.jpg" for id_ in row] for row in ids]


def test_a_target_answers_as_the_collection(place: Place, make_collection: Make, tmp_path: Path) -> None:
    codes = random_codes(300, 63, 0, 60)
    file = make_collection(codes, 63)
    with Collection.open(file) as collection:
        collection.remove([0, 5, 299])
    vectors = tmp_path / "vectors.npy"
    np.save(vectors, np.random.default_rng(0).standard_normal((3, 4)).astype(np.float32))
    done = export(file, address := place())
    assert (done.items, done.added, done.removed, done.renamed) == (297, 297, 0, 0)
    assert done.exact and done.recall is None
    queries = ["7", "9.jpg", str(vectors), f"{vectors}#2", "5", "no such file"]
    with Collection.open(file) as collection, open_target(address) as target:
        assert len(target) == 297 and target.model() == collection.model()
        for options in ({}, {"k": 20}, {"radius": 9}, {"asymmetric": False}):
            expected, found = search(collection, queries, **options), search(target, queries, **options)
            assert [answer["results"] for answer in found] == [answer["results"] for answer in expected]
            assert ["error" in answer for answer in found] == ["error" in answer for answer in expected]
        distances, ids = target.search(codes[:2], 3)
        assert (distances[0] == hamming(codes[:1], target.codes(ids[0]))[0]).all()
        with pytest.raises(GannetError, match="features for re-ranking, which are not exported"):
            search(target, ["7"], rerank=20)
        with pytest.raises(GannetError, match=r"has no item 0, 5$|has no item 0, 5;"):
            target.paths([0, 5, 6])
