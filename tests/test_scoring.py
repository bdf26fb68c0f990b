"""Asymmetric scores are sums over the bits, whatever tables they are looked up in."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gannet.codes import hamming, pack, unpack
from gannet.errors import GannetError
from gannet.scoring import asymmetric_scores, best_first


@settings(deadline=None)
@given(st.integers(1, 140), st.integers(0, 40), st.sampled_from([1e-40, 1e-6, 1.0, 1e38]), st.integers(0, 2**32 - 1))
def test_the_score_is_the_weighted_sum_of_the_bits(n_bits: int, n: int, scale: float, seed: int) -> None:
    random = np.random.default_rng(seed)
    weights = (scale * random.uniform(-1, 1, n_bits)).astype(np.float32)
    codes = pack(random.random((n, n_bits)) < 0.5)
    scores = asymmetric_scores(weights, codes)
    assert scores.dtype == np.float32 and scores.shape == (n,) and (np.abs(scores) <= 1 + 1e-5).all()
    exact = weights.astype(np.float64)
    total = np.abs(exact).sum()
    expected = (2.0 * unpack(codes, n_bits) - 1) @ exact / (total or 1)
    np.testing.assert_allclose(scores, expected, atol=1e-5)
    own = pack(exact[None] >= 0)
    np.testing.assert_allclose(asymmetric_scores(weights, own), [1 if total else 0], rtol=1e-5)


@given(st.integers(1, 130), st.integers(0, 2**32 - 1))
def test_equal_weights_give_the_order_of_the_distances(n_bits: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    query, codes = pack(random.random((1, n_bits)) < 0.5), pack(random.random((50, n_bits)) < 0.5)
    scores = asymmetric_scores(2.0 * unpack(query, n_bits)[0] - 1, codes)
    distances = hamming(query, codes)[0]
    np.testing.assert_allclose(scores, 1 - 2 * distances / n_bits, atol=1e-5)


def test_equal_codes_have_exactly_equal_scores_in_any_company() -> None:
    random = np.random.default_rng(0)
    weights, codes = random.standard_normal(77), pack(random.random((100, 77)) < 0.5)
    scores = asymmetric_scores(weights, codes)
    for i in (0, 31, 99):
        assert asymmetric_scores(weights, codes[i : i + 1])[0] == scores[i]
    np.testing.assert_array_equal(asymmetric_scores(weights, np.concatenate([codes, codes])), np.tile(scores, 2))


def test_equal_scores_keep_their_order() -> None:
    assert best_first(np.float32([0.5, 1, 0.5, 1, -1])).tolist() == [1, 3, 0, 2, 4]


@pytest.mark.parametrize(
    ("weights", "codes", "words"),
    [
        (np.ones(16), np.zeros((2, 1), np.uint8), r"shape \(n, 2\)"),
        (np.ones(7), np.full((2, 1), 255, np.uint8), "set after bit 7"),
        (np.ones((1, 8)), np.zeros((2, 1), np.uint8), r"shape \(1, 8\)"),
        (np.ones(0), np.zeros((2, 0), np.uint8), r"shape \(0,\)"),
        (np.full(8, np.nan), np.zeros((2, 1), np.uint8), "finite"),
        (np.ones(8), np.zeros((2, 1)), "packed uint8"),
    ],
)
def test_bad_weights_and_codes(weights, codes, words: str) -> None:
    with pytest.raises(GannetError, match=words):
        asymmetric_scores(weights, codes)
