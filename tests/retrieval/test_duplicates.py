"""Groups of near codes and similar features are those found by comparing all pairs, but much faster."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from gannet.codes import hamming, pack
from gannet.collection import Collection
from gannet.errors import GannetError
from gannet.retrieval.duplicates import find_duplicates, group_alike, group_codes, limits
from tiny_model import tiny_model


def groups_by_all_pairs(codes: np.ndarray, radius: int) -> list[list[int]]:
    return groups_of(hamming(codes, codes) <= radius if len(codes) else np.zeros((0, 0), bool))


def groups_of(near: np.ndarray) -> list[list[int]]:
    left, groups = set(range(len(near))), []
    while left:
        group, border = set(), {min(left)}
        while border:
            group |= border
            border = set(np.flatnonzero(near[sorted(border)].any(axis=0)).tolist()) - group
        left -= group
        groups.append(sorted(group))
    return sorted((group for group in groups if len(group) > 1), key=lambda group: (-len(group), group[0]))


def as_lists(groups: list[np.ndarray]) -> list[list[int]]:
    return [group.tolist() for group in groups]


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from([1, 7, 16, 24, 63, 64, 65, 128, 200]),
    st.integers(0, 60),
    st.integers(0, 20),
    st.integers(1, 12),
    st.floats(0, 0.5),
    st.integers(0, 2**32 - 1),
)
def test_the_same_groups_as_by_all_pairs(
    n_bits: int, n: int, radius: int, centers: int, noise: float, seed: int
) -> None:
    random = np.random.default_rng(seed)
    around = random.random((centers, n_bits)) < 0.5
    codes = pack(around[random.integers(0, centers, n)] ^ (random.random((n, n_bits)) < noise * random.random((n, 1))))
    assert as_lists(group_codes(codes, n_bits, radius)) == groups_by_all_pairs(codes, radius)


@pytest.mark.parametrize(("n_bits", "radius"), [(64, 3), (64, 6), (24, 2), (128, 9), (16, 1)])
def test_the_same_groups_of_many(n_bits: int, radius: int) -> None:
    random = np.random.default_rng(n_bits)
    around = random.random((400, n_bits)) < 0.5
    flips = random.random((2500, n_bits)) < radius / n_bits * random.random((2500, 1)) * 1.5
    codes = pack(around[random.integers(0, 400, 2500)] ^ flips)
    found = as_lists(group_codes(codes, n_bits, radius))
    assert found == groups_by_all_pairs(codes, radius) and found


def test_chains_are_followed() -> None:
    codes = pack(np.tri(65, 64, -1, dtype=bool))  # each code differs from the previous one in one bit
    assert as_lists(group_codes(codes, 64, 1)) == [list(range(65))]
    assert group_codes(codes, 64, 0) == []
    assert as_lists(group_codes(codes[[0, 2, 40]], 64, 2)) == [[0, 1]]


def test_edges() -> None:
    codes = np.array([[0], [128], [0]], np.uint8)
    assert as_lists(group_codes(codes, 1, 0)) == [[0, 2]]
    assert as_lists(group_codes(codes, 1, 1)) == as_lists(group_codes(codes, 1, 99)) == [[0, 1, 2]]
    for n in (0, 1):
        assert group_codes(codes[:n], 1, 0) == group_codes(codes[:n], 1, 1) == []
    with pytest.raises(GannetError, match="0 bits or more"):
        group_codes(codes, 1, -1)


def test_codes_that_are_the_same_do_not_add_up() -> None:
    random = np.random.default_rng(0)
    few = random.integers(0, 256, (50, 8), dtype=np.uint8)
    group_codes(few, 64, 3)  # compiles
    codes = few[random.integers(0, 50, 400_000)]
    start = time.perf_counter()
    groups = group_codes(codes, 64, 3)
    grouped = time.perf_counter()
    np.argsort(random.permutation(len(codes)))
    assert len(groups) == 50 and sum(map(len, groups)) == len(codes)
    # Comparing 80 billion pairs would take minutes; identical codes are grouped by sorting.
    assert grouped - start < 50 * (time.perf_counter() - grouped)


def cosines(features: np.ndarray) -> np.ndarray:
    lengths = np.linalg.norm(features, axis=1, keepdims=True)
    unit = features / np.where(lengths > 0, lengths, 1)
    return unit @ unit.T


@settings(max_examples=80, deadline=None)
@given(
    st.sampled_from([1, 7, 24, 63, 65, 128]),
    st.sampled_from([1, 2, 127, 128, 129, 300]),
    st.integers(0, 60),
    st.integers(0, 20),
    st.floats(0.01, 0.999),
    st.integers(0, 2**32 - 1),
)
def test_the_same_alike_groups_as_by_all_pairs(
    n_bits: int, d: int, n: int, radius: int, cosine: float, seed: int
) -> None:
    random = np.random.default_rng(seed)
    around, centers = random.random((3, n_bits)) < 0.5, random.standard_normal((3, d))
    codes = pack(around[random.integers(0, 3, n)] ^ (random.random((n, n_bits)) < 0.2 * random.random((n, 1))))
    features = centers[random.integers(0, 3, n)] + random.standard_normal((n, d)) * random.random((n, 1))
    features *= random.choice([0, 1e-20, 1, 1e20], (n, 1), p=[0.05, 0.15, 0.65, 0.15])
    found = group_alike(codes, n_bits, radius, features.__getitem__, cosine)
    exact = cosines(features)
    assume((np.abs(exact - cosine) > 3e-4).all())  # close pairs depend on rounding
    near = hamming(codes, codes) <= radius if n else np.zeros((0, 0), bool)
    assert as_lists(found) == groups_of(near & (exact >= cosine))


def test_alike_among_thousands_of_the_same_code() -> None:
    random = np.random.default_rng(0)
    motif = random.integers(0, 1500, 3000)
    features = random.standard_normal((1500, 64))[motif]
    codes = np.zeros((3000, 8), np.uint8)
    for radius in (0, 3):
        found = as_lists(group_alike(codes, 64, radius, features.__getitem__, 0.99))
        assert found == groups_of(motif[:, None] == motif)
        assert as_lists(group_alike(codes, 64, radius, (-np.abs(features)).__getitem__, 0.01)) == [list(range(3000))]


def test_a_cosine_of_one_links_equal_features_and_zeros_none() -> None:
    random = np.random.default_rng(0)
    features = random.standard_normal((7, 1280)).astype(np.float16)
    features[3], features[5], features[[1, 6]] = features[0], -features[2], 0
    for codes in (np.zeros((7, 1), np.uint8), np.arange(7, dtype=np.uint8)[:, None]):
        assert as_lists(group_alike(codes, 8, 3, features.__getitem__, 1.0)) == [[0, 3]]
        for cosine in (-0.5, 0, 1.01, float("nan")):
            with pytest.raises(GannetError, match="above 0 and at most 1"):
                group_alike(codes, 8, 3, features.__getitem__, cosine)
    with pytest.raises(GannetError, match="0 bits or more"):
        group_alike(codes, 8, -1, features.__getitem__, 0.9)


def test_only_features_of_items_with_near_codes_are_read() -> None:
    codes = np.array([[0], [15], [0], [240], [255]], np.uint8)
    asked: list[int] = []

    def read(positions: np.ndarray) -> np.ndarray:
        asked.extend(positions)
        return np.ones((len(positions), 3))

    assert as_lists(group_alike(codes, 8, 0, read, 0.9)) == [[0, 2]]
    assert sorted(asked) == [0, 2]


def test_features_of_a_collection_are_compared(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    features = random.standard_normal((6, 20))
    features[4], features[5] = features[1] * 3, features[2]
    with Collection.create(tmp_path / "c", tiny_model(64), n_features=20) as collection:
        assert find_duplicates(collection) == []
        codes = np.zeros((6, 8), np.uint8)
        codes[4, 0], codes[5] = 15, 255
        ids = collection.add(codes, list("abcdef"), features=features)
        collection.remove(ids[:1])
        assert limits(collection) == (4, 0.9) and limits(collection, 1) == (1, 0.9)
        assert limits(collection, cosine=0.0) == (0, 0.0) and limits(collection, 2, 0.5) == (2, 0.5)
        assert find_duplicates(collection) == [[{"id": 1, "path": "b"}, {"id": 4, "path": "e"}]]
        assert [[item["path"] for item in group] for group in find_duplicates(collection, 64)] == [
            ["b", "e"],
            ["c", "f"],
        ]
        assert find_duplicates(collection, 3) == []
        assert [len(group) for group in find_duplicates(collection, cosine=0)] == [3]
    with Collection.create(tmp_path / "without", tiny_model(64)) as collection:
        collection.add(codes, list("abcdef"))
        assert limits(collection) == (0, 0.0)
        with pytest.raises(GannetError, match="index --keep-features"):
            find_duplicates(collection, cosine=0.9)


def test_of_a_collection(tmp_path: Path) -> None:
    with Collection.create(tmp_path / "c", tiny_model(16)) as collection:
        assert find_duplicates(collection) == []
        codes = np.array([[0, 0], [255, 0], [0, 1], [255, 1], [1, 1], [60, 60]], np.uint8)
        ids = collection.add(codes, list("abcdef"))
        collection.remove(ids[:1])
        assert find_duplicates(collection, 1) == [
            [{"id": 1, "path": "b"}, {"id": 3, "path": "d"}],
            [{"id": 2, "path": "c"}, {"id": 4, "path": "e"}],
        ]
        assert find_duplicates(collection) == []
        assert [len(group) for group in find_duplicates(collection, 16)] == [5]
