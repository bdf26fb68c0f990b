"""Metrics of ranking by asymmetric score: exact over the whole database, with ties as in rankings by distance."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gannet.codes import pack, unpack
from gannet.errors import GannetError
from gannet.evaluation import evaluate, neighbor_recall, score_ranking
from gannet.scoring import asymmetric_scores


def slow_map(
    scores: np.ndarray, relevant: np.ndarray, top: int | None, rng: np.random.Generator, n: int
) -> list[float]:
    """Return average precision in random orders of the ties."""
    values = []
    for _ in range(n):
        order = np.lexsort((rng.random(len(scores)), -scores))
        ranks = np.flatnonzero(relevant[order][:top]) + 1
        values.append(np.mean(np.arange(1, len(ranks) + 1) / ranks) if len(ranks) else 0.0)
    return values


@settings(deadline=None, max_examples=60)
@given(
    st.integers(1, 70),
    st.integers(1, 60),
    st.integers(1, 9),
    st.sampled_from([None, 1, 7, 1000]),
    st.booleans(),
    st.integers(0, 2**32 - 1),
)
def test_values_of_one_size_rank_like_the_distance(
    n_bits: int, n: int, n_queries: int, top: int | None, multi_label: bool, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    bits, codes = rng.random((n_queries, n_bits)) < 0.5, pack(rng.random((n, n_bits)) < 0.5)
    shape = (3,) if multi_label else ()
    labels = rng.integers(0, 2, (n_queries, *shape)), rng.integers(0, 2, (n, *shape))
    result = evaluate(pack(bits), codes, *labels, n_bits, top=top, query_values=0.5 * (2 * bits - 1))
    assert result.map_asymmetric == pytest.approx(result.map, abs=1e-9)
    features = rng.standard_normal((n_queries, 4)), rng.standard_normal((n, 4))
    recalls = [
        neighbor_recall(pack(bits), codes, *features, n_bits, k=5, n=8, query_values=values)
        for values in (None, 2.0 * bits - 1)
    ]
    assert recalls[1] == pytest.approx(recalls[0], abs=1e-9)


@pytest.mark.parametrize("top", [None, 1, 10, 10_000])
@pytest.mark.parametrize("n_bits", [2, 24, 65])
def test_map_is_that_of_the_ranking_by_score(n_bits: int, top: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(score_ranking, "MAX_SCORES", 400)  # several blocks
    rng = np.random.default_rng(n_bits)
    values, codes = rng.standard_normal((7, n_bits)), pack(rng.random((150, n_bits)) < 0.5)
    labels = rng.integers(0, 3, 7), rng.integers(0, 3, 150)
    result = evaluate(pack(values >= 0), codes, *labels, n_bits, top=top, query_values=values)
    n_orders = 2000 if n_bits == 2 else 1  # only codes of 2 bits are tied
    each = [
        slow_map(asymmetric_scores(row, codes), labels[1] == label, top, rng, n_orders)
        for row, label in zip(values, labels[0], strict=True)
    ]
    error = 5 * np.std(np.mean(each, axis=0)) / np.sqrt(n_orders)
    assert result.map_asymmetric == pytest.approx(np.mean(each), abs=error + 1e-9)
    plain = evaluate(pack(values >= 0), codes, *labels, n_bits, top=top)
    assert plain.map_asymmetric is None and plain.map == result.map


@pytest.mark.parametrize("n", [1, 10, 150, 1000])
def test_neighbor_recall_by_score(n: int) -> None:
    rng = np.random.default_rng(0)
    values, codes = rng.standard_normal((7, 64)), pack(rng.random((150, 64)) < 0.5)
    features = rng.standard_normal((7, 5)), rng.standard_normal((150, 5))
    units = [rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in features]
    nearest = np.argsort(-(units[0] @ units[1].T), axis=1)[:, :10]
    by_score = np.argsort(-values @ (2.0 * unpack(codes, 64) - 1).T, axis=1)[:, :n]
    expected = np.mean([len(np.intersect1d(a, b)) / 10 for a, b in zip(nearest, by_score, strict=True)])
    recall = neighbor_recall(pack(values >= 0), codes, *features, 64, k=10, n=n, query_values=values)
    assert recall == pytest.approx(expected)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (np.ones((2, 8)), r"shape \(3, 8\)"),
        (np.ones((3, 7)), r"shape \(3, 8\)"),
        (np.full((3, 8), np.inf), "NaN or infinite"),
    ],
)
def test_bad_values_of_queries(values: np.ndarray, words: str) -> None:
    codes, features = np.zeros((3, 1), np.uint8), np.ones((3, 2))
    with pytest.raises(GannetError, match=words):
        evaluate(codes, codes, [0, 1, 2], [0, 1, 2], 8, query_values=values)
    with pytest.raises(GannetError, match=words):
        neighbor_recall(codes, codes, features, features, 8, query_values=values)
