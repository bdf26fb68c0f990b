"""Groups of near codes: the same as by comparing all pairs, in far less time, however many codes are the same."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gannet.codes import hamming, pack
from gannet.errors import GannetError
from gannet.search import Collection
from gannet.search.duplicates import duplicates, group_codes


def groups_by_all_pairs(codes: np.ndarray, radius: int) -> list[list[int]]:
    near = hamming(codes, codes) <= radius if len(codes) else np.zeros((0, 0), bool)
    left, groups = set(range(len(codes))), []
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
    n_bits: int, n: int, radius: int, centres: int, noise: float, seed: int
) -> None:
    random = np.random.default_rng(seed)
    around = random.random((centres, n_bits)) < 0.5
    codes = pack(around[random.integers(0, centres, n)] ^ (random.random((n, n_bits)) < noise * random.random((n, 1))))
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
    codes = pack(np.tri(65, 64, -1, dtype=bool))  # each differs from the one before in a bit
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
    # 80 billion pairs would take minutes; what there is to do is a few sorts.
    assert grouped - start < 50 * (time.perf_counter() - grouped)


def test_of_a_collection(tmp_path: Path) -> None:
    with Collection.create(tmp_path / "c", 16, b"model") as collection:
        assert duplicates(collection) == []
        codes = np.array([[0, 0], [255, 0], [0, 1], [255, 1], [1, 1], [60, 60]], np.uint8)
        ids = collection.add(codes, list("abcdef"))
        collection.remove(ids[:1])
        assert duplicates(collection, 1) == [
            [{"id": 1, "path": "b"}, {"id": 3, "path": "d"}],
            [{"id": 2, "path": "c"}, {"id": 4, "path": "e"}],
        ]
        assert duplicates(collection) == []
        assert [len(group) for group in duplicates(collection, 16)] == [5]
