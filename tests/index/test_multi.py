"""Hash tables give the results of a brute-force search, whether a query is looked up or scanned."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gannet.codes import hamming, pack
from gannet.errors import GannetError
from gannet.index import HammingIndex
from gannet.index._multi import Multi, arrange
from gannet.support import threads


class Tables(Multi):
    """Every search that can be done with the tables is, however long it takes."""

    scan_cost = batch_scan_cost = 1e15


class Parts(Tables):
    """The buckets of every single query are shared by the threads."""

    cost_per_thread = 0.0


class Scans(Multi):
    """Every search is a scan."""

    scan_cost = batch_scan_cost = 0.0


KINDS = pytest.mark.parametrize("kind", [Tables, Parts, Scans, Multi])


@pytest.fixture(autouse=True)
def four_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "cores", lambda: 4)


def codes_of(n: int, n_bits: int, seed: int, spread: float, repeats: int = 1) -> np.ndarray:
    """Codes around five centers, of which each bit differs with probability ``spread``, some of them repeated."""
    random = np.random.default_rng(seed)
    centers = np.random.default_rng(0).integers(0, 2, (5, n_bits))
    codes = pack(centers[random.integers(0, 5, n)] ^ (random.random((n, n_bits)) < spread))
    return codes[random.integers(0, -(-n // repeats), n)]


def made(kind: type[Multi], codes: np.ndarray) -> Multi:
    store = arrange(codes, always=True)
    assert type(store) is Multi
    store.__class__ = kind
    return store


def assert_exact(store: Multi, codes: np.ndarray, queries: np.ndarray, k: int, removed: np.ndarray) -> None:
    """Compare searches of a batch and of single queries with all distances."""
    away = hamming(queries, codes)
    away[:, removed] = 10_000
    order = np.argsort(away, axis=1, kind="stable")[:, :k]
    singly = [store.nearest(queries[i : i + 1], k) for i in range(len(queries))]
    for found in (store.nearest(queries, k), [np.concatenate(part) for part in zip(*singly, strict=True)]):
        np.testing.assert_array_equal(found[1], order)
        np.testing.assert_array_equal(found[0], np.take_along_axis(away, order, 1))
    for radius in (0, 3, int(np.median(singly[0][0]))):
        each = [store.within(queries[i : i + 1], radius)[0] for i in range(len(queries))]
        for row, *results in zip(away, store.within(queries, radius), each, strict=True):
            expected = np.flatnonzero(row <= radius)
            expected = expected[np.argsort(row[expected], kind="stable")]
            for distances, positions in results:
                np.testing.assert_array_equal(positions, expected)
                np.testing.assert_array_equal(distances, row[expected])


@settings(max_examples=25, deadline=None)
@given(
    n=st.integers(1, 3000),
    n_bits=st.integers(32, 200),
    n_queries=st.integers(1, 20),
    spread=st.sampled_from([0.0, 0.02, 0.1, 0.5]),
    repeats=st.sampled_from([1, 30]),
    share=st.floats(0, 1),
    removed=st.sampled_from([0.0, 0.3]),
    seed=st.integers(0, 2**32 - 1),
)
@KINDS
def test_exact_for_any_codes(kind, n, n_bits, n_queries, spread, repeats, share, removed, seed) -> None:
    codes = codes_of(n, n_bits, seed, spread, repeats)
    queries = codes_of(n_queries, n_bits, seed + 1, spread)
    queries[::2] = codes[np.arange(0, n_queries, 2) % n]
    gone = np.random.default_rng(seed).random(n) < removed
    gone[0] = False
    store = made(kind, codes).without(np.packbits(gone, bitorder="little"))
    assert_exact(store, codes, queries, 1 + int(share * (n - 1 - gone.sum())), gone)


@KINDS
@pytest.mark.parametrize("n_bits", [32, 64, 128])
def test_ties_go_to_the_first_position_among_many_duplicates(kind, n_bits: int) -> None:
    codes = codes_of(20_000, n_bits, 0, 0.02, repeats=4000)
    assert_exact(made(kind, codes), codes, codes[:3], 50, np.zeros(len(codes), bool))
    same = np.zeros((20_000, n_bits // 8), np.uint8)
    assert_exact(made(kind, same), same, codes[:3], 7, np.zeros(len(codes), bool))


def test_tables_are_used() -> None:
    """The tables find near codes without the scan, which is broken here."""
    codes = codes_of(50_000, 64, 0, 0.05)
    store = made(Tables, codes)
    expected = store.slices.nearest(codes[:40], 10)
    store.slices.blocks = store.slices.blocks._replace(planes=None)
    np.testing.assert_array_equal(store.nearest(codes[:40], 10), expected)
    np.testing.assert_array_equal(store.nearest(codes[:1], 10), [part[:1] for part in expected])
    assert len(store.within(codes[:1], 3)[0][0]) > 0


def clumped(n: int) -> np.ndarray:
    """Random codes that each have near ones."""
    random = np.random.default_rng(0)
    centers = random.integers(0, 256, (n // 50, 8), dtype=np.uint8)
    flips = random.integers(0, 64, (n, 2))
    codes = centers[random.integers(0, len(centers), n)]
    for flip in flips.T:
        codes[np.arange(n), flip // 8] ^= np.uint8(128) >> (flip % 8).astype(np.uint8)
    return codes


def test_an_index_takes_tables_where_they_pay() -> None:
    codes = clumped(1_000_000)
    far = np.random.default_rng(1).integers(0, 256, codes.shape, dtype=np.uint8)
    for searched, expected in ((codes, "Multi"), (far, "Slices"), (codes[:300_000], "Slices")):
        index = HammingIndex(searched, 64)
        index.prepare()
        assert type(index._content.store).__name__ == expected
    index = HammingIndex(codes, 64)
    index.prepare()
    scan = HammingIndex(codes, 64, layout="scan")
    for queries in (codes[:1], codes[:50], far[:1], far[:50]):
        np.testing.assert_array_equal(index.search(queries, 10), scan.search(queries, 10))
        for some, others in zip(index.radius(queries, 4), scan.radius(queries, 4), strict=True):
            np.testing.assert_array_equal(some, others)


@pytest.mark.parametrize(("layout", "n_bits", "expected"), [
    ("scan", 64, "Slices"), ("multi", 64, "Multi"), ("multi", 32, "Multi"), ("multi", 24, "Slices"),
])  # fmt: skip
def test_the_layout_can_be_chosen(layout, n_bits: int, expected: str) -> None:
    codes = codes_of(100, n_bits, 0, 0.1)
    index = HammingIndex(codes, n_bits, layout=layout)
    np.testing.assert_array_equal(index.search(codes[:5], 9), HammingIndex(codes, n_bits).search(codes[:5], 9))
    assert type(index._content.store).__name__ == expected
    copy = pickle.loads(pickle.dumps(index))
    assert copy.layout == layout
    np.testing.assert_array_equal(copy.search(codes[:5], 9), index.search(codes[:5], 9))


def test_an_unknown_layout_is_refused() -> None:
    with pytest.raises(GannetError, match="unknown layout 'mutli'; did you mean 'multi'"):
        HammingIndex(np.zeros((1, 8), np.uint8), 64, layout="mutli")  # type: ignore[arg-type]


def test_tables_take_little_memory() -> None:
    codes = codes_of(1 << 18, 64, 0, 0.3)
    assert made(Multi, codes).nbytes < 4.5 * codes.nbytes
