from __future__ import annotations

import numpy as np
import pytest

from gannet.codes import hamming, pack
from gannet.errors import GannetError
from gannet.evaluation import float_map, float_ranking, neighbor_recall


def slow_float_map(queries, database, relevant, top) -> float:
    cosine = queries @ database.T / np.outer(np.linalg.norm(queries, axis=1), np.linalg.norm(database, axis=1))
    values = []
    for row, flags in zip(cosine, relevant, strict=True):
        ranks = np.flatnonzero(flags[np.argsort(-row, kind="stable")][:top]) + 1
        values.append(np.mean(np.arange(1, len(ranks) + 1) / ranks) if len(ranks) else 0.0)
    return float(np.mean(values))


@pytest.mark.parametrize("top", [None, 1, 13, 10_000])
@pytest.mark.parametrize("multi_label", [False, True])
def test_float_map_is_the_plain_ranking(top, multi_label, monkeypatch) -> None:
    monkeypatch.setattr(float_ranking, "MAX_SIMILARITIES", 500)  # several blocks
    rng = np.random.default_rng(0)
    queries, database = rng.normal(size=(11, 6)), rng.normal(size=(200, 6))
    if multi_label:
        query_labels, labels = (
            rng.integers(0, 2, (11, 70)) * (np.arange(70) < 2),
            rng.integers(0, 2, (200, 70)),
        )
        relevant = query_labels @ labels.T > 0
    else:
        query_labels, labels = rng.integers(0, 5, 11), rng.integers(0, 5, 200)
        relevant = query_labels[:, None] == labels
    value = float_map(queries, database, query_labels, labels, top)
    assert value == pytest.approx(slow_float_map(queries, database, relevant, top), abs=1e-9)


def test_equal_similarities_keep_database_order() -> None:
    database = np.tile([[1.0, 0.0]], (4, 1))
    assert float_map([[0.0, 1.0]], database, [1], [0, 0, 0, 1]) == 1 / 4
    assert float_map([[0.0, 0.0]], database, [1], [0, 1, 0, 0]) == 1 / 2
    # -0.0 and 0.0 are equal similarities
    assert float_map([[1.0, 0.0]], [[-0.0, 1.0], [0.0, 1.0], [0.0, -1.0]], [1], [0, 0, 1]) == 1 / 3


@pytest.mark.parametrize("n_bits", [1, 7, 24, 63, 65, 128])
def test_neighbor_recall_is_expected_over_ties(n_bits: int) -> None:
    rng = np.random.default_rng(n_bits)
    queries, database = rng.normal(size=(9, 12)), rng.normal(size=(80, 12))
    planes = rng.normal(size=(12, n_bits))
    codes, base = pack(queries @ planes > 0), pack(database @ planes > 0)
    k, n = 5, 15
    cosine = queries @ (database / np.linalg.norm(database, axis=1, keepdims=True)).T
    expected = []
    for row, distances in zip(cosine, hamming(codes, base), strict=True):
        for item in np.argsort(-row)[:k]:
            nearer, tied = (distances < distances[item]).sum(), (distances == distances[item]).sum()
            expected.append(np.clip((n - nearer) / tied, 0, 1))  # probability that it is among the n nearest
    value = neighbor_recall(codes, base, queries, database, n_bits, k=k, n=n)
    assert value == pytest.approx(np.mean(expected))


def test_neighbor_recall_of_everything_is_one() -> None:
    rng = np.random.default_rng(1)
    features = rng.normal(size=(20, 4))
    codes = np.zeros((20, 2), np.uint8)
    assert neighbor_recall(codes, codes, features, features, 16, k=50, n=50) == pytest.approx(1)
    assert neighbor_recall(codes, codes, features, features, 16, k=1, n=5) == pytest.approx(5 / 20)


@pytest.mark.parametrize(
    ("queries", "database", "message"),
    [
        (np.ones((2, 3)), np.ones((4, 2)), "3 columns"),
        (np.ones(3), np.ones((4, 3)), "matrix"),
        (np.ones((0, 3)), np.ones((4, 3)), "at least one row"),
        (np.full((2, 3), np.inf), np.ones((4, 3)), "infinite"),
        (np.ones((3, 3)), np.ones((4, 3)), "labels"),
    ],
)
def test_bad_features_are_named(queries, database, message) -> None:
    with pytest.raises(GannetError, match=message):
        float_map(queries, database, [0, 1], [0, 1, 0, 1])


def test_codes_must_match_features() -> None:
    codes = np.zeros((3, 1), np.uint8)
    with pytest.raises(GannetError, match="give one row per code"):
        neighbor_recall(codes, codes, np.ones((2, 3)), np.ones((3, 3)), 8)
