"""Both layouts give the results of a brute-force search."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gannet.codes import hamming, pack
from gannet.index._rows import Rows
from gannet.index._slices import Slices
from gannet.support import threads

LAYOUTS = pytest.mark.parametrize("layout", [Rows, Slices])
SIZES = [1, 3, 97, 511, 512, 513, 4095, 4097]
BITS = [1, 7, 16, 24, 63, 65, 128, 200, 1024]


def random_codes(n: int, n_bits: int, seed: int, spread: float = 0.5) -> np.ndarray:
    """Codes around one center: each bit differs from it with probability ``spread``."""
    random = np.random.default_rng(seed)
    center = random.integers(0, 2, n_bits)
    return pack(center ^ (random.random((n, n_bits)) < spread))


def assert_exact(layout, codes: np.ndarray, queries: np.ndarray, k: int) -> None:
    store = layout(codes)
    away = hamming(queries, codes)
    order = np.argsort(away, axis=1, kind="stable")[:, :k]
    distances, positions = store.nearest(queries, k)
    np.testing.assert_array_equal(positions, order)
    np.testing.assert_array_equal(distances, np.take_along_axis(away, order, 1))

    radius = int(np.median(distances))
    for row, (near, where) in zip(away, store.within(queries, radius), strict=True):
        expected = np.flatnonzero(row <= radius)
        expected = expected[np.argsort(row[expected], kind="stable")]
        np.testing.assert_array_equal(where, expected)
        np.testing.assert_array_equal(near, row[expected])


@LAYOUTS
@pytest.mark.parametrize("n_bits", BITS)
@pytest.mark.parametrize("n", SIZES)
def test_exact_at_awkward_sizes(layout, n: int, n_bits: int) -> None:
    codes, queries = random_codes(n, n_bits, 0), random_codes(3, n_bits, 1)
    assert_exact(layout, codes, np.concatenate([queries, codes[-1:]]), min(n, 10))


@settings(max_examples=60, deadline=None)
@given(
    n=st.integers(1, 2000),
    n_bits=st.integers(1, 150),
    queries=st.integers(1, 40),
    spread=st.sampled_from([0.0, 0.02, 0.3, 0.5]),
    share=st.floats(0, 1),
    seed=st.integers(0, 2**32 - 1),
)
@LAYOUTS
def test_exact_for_any_k(layout, n, n_bits, queries, spread, share, seed) -> None:
    codes = random_codes(n, n_bits, seed, spread)
    asked = random_codes(queries, n_bits, seed + 1)
    asked[::2] = codes[np.arange(0, queries, 2) % n]
    assert_exact(layout, codes, asked, 1 + int(share * (n - 1)))


@LAYOUTS
def test_ties_go_to_the_first_position_among_many_duplicates(layout) -> None:
    codes = np.tile(random_codes(5, 64, 0), (4000, 1))
    assert_exact(layout, codes, random_codes(20, 64, 1), 7)
    assert_exact(layout, np.zeros((20_000, 8), np.uint8), random_codes(20, 64, 1), 7)


@pytest.mark.parametrize("n_bits", [16, 64])
def test_exact_over_many_tasks_and_passes(n_bits: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Small tasks and passes and several threads, as in searches of large indexes."""

    class Small(Slices):
        blocks_per_task = 3
        queries_per_pass = 37

    monkeypatch.setattr(threads, "cores", lambda: 4)
    codes = random_codes(70_000, n_bits, 0)
    queries = np.concatenate([codes[:20], random_codes(80, n_bits, 1)])
    assert_exact(Small, codes, queries, 20)
    assert_exact(Small, codes[:, ::-1].copy(), queries, 1)


@pytest.mark.parametrize("n_bits", BITS)
@pytest.mark.parametrize("n", [1, 97, 1025])
def test_slices_give_the_codes_back(n: int, n_bits: int) -> None:
    codes = random_codes(n, n_bits, 0)
    np.testing.assert_array_equal(Slices(codes).codes(), codes)


def test_slices_take_little_more_than_the_codes() -> None:
    codes = random_codes(100_000, 64, 0)
    store = Slices(codes)
    assert store.nbytes < 1.6 * codes.nbytes


def test_no_queries() -> None:
    for layout in (Rows, Slices):
        store = layout(random_codes(10, 24, 0))
        none = np.empty((0, 3), np.uint8)
        assert [part.shape for part in store.nearest(none, 4)] == [(0, 4), (0, 4)]
        assert store.within(none, 4) == []


def test_kernels_compile_without_a_place_for_their_cache(tmp_path: Path) -> None:
    """No folder that numba tries can be made, because files are in the way: root may write anywhere else."""
    for name in ("file", "__pycache__"):
        (tmp_path / name).touch()
    script = tmp_path / "script.py"
    script.write_text(
        "from gannet.support.compiled import jit\n\n\n"
        "@jit(fastmath=True)\ndef add(a, b):\n    return a + b\n\n\n"
        "assert add(1, 2) == 3 and add.nopython_signatures\n"
    )
    folder = dict.fromkeys(("NUMBA_CACHE_DIR", "HOME", "XDG_CACHE_HOME"), str(tmp_path / "file" / "cache"))
    folder["PYTHONPATH"] = os.pathsep.join(sys.path)
    done = subprocess.run([sys.executable, script], env={**os.environ, **folder}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("compiled functions cannot be kept") == 1
