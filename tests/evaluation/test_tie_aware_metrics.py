from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gannet.codes import hamming, pack
from gannet.errors import GannetError
from gannet.evaluation import average_precision, distance_histograms, evaluate, precision_at, recall_at
from gannet.evaluation.histograms import DistanceHistograms

Flags = npt.NDArray[np.bool_]


def orders(distances: npt.NDArray[np.int64]) -> Iterator[list[int]]:
    """Yield every order of the items by distance, with all permutations of each tie."""
    ties = [np.flatnonzero(distances == d).tolist() for d in np.unique(distances)]
    for parts in itertools.product(*(itertools.permutations(tie) for tie in ties)):
        yield list(itertools.chain.from_iterable(parts))


def plain_ap(ranked: Flags, top: int, minimum_denominator: bool = False) -> float:
    """Compute the average precision of one ranking, rank by rank."""
    hits, total = 0, 0.0
    for rank, relevant in enumerate(ranked[:top], start=1):
        if relevant:
            hits += 1
            total += hits / rank
    denominator = min(top, len(ranked), int(ranked.sum())) if minimum_denominator else hits
    return total / denominator if denominator else 0.0


BITS = [1, 7, 24, 63, 64, 65, 128, 300]


def histogram(distances: np.ndarray, relevant: np.ndarray) -> DistanceHistograms:
    """Return the histograms of one query."""
    width = int(distances.max()) + 1
    return DistanceHistograms(
        np.bincount(distances, minlength=width)[None], np.bincount(distances[relevant], minlength=width)[None]
    )


@st.composite
def rankings(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, int]:
    n = draw(st.integers(1, 7))
    distances = draw(st.lists(st.integers(0, 3), min_size=n, max_size=n))
    relevant = draw(st.lists(st.booleans(), min_size=n, max_size=n))
    return np.array(distances), np.array(relevant), draw(st.integers(1, n + 2))


@settings(max_examples=150, deadline=None)
@given(rankings())
def test_average_precision_is_the_mean_and_range_over_all_orders_of_ties(ranking) -> None:
    distances, relevant, top = ranking
    ap = average_precision(histogram(distances, relevant), top)
    ranked = [relevant[order] for order in orders(distances)]
    values = [plain_ap(flags, top) for flags in ranked]
    assert ap.expected[0] == pytest.approx(np.mean(values), abs=1e-12)
    assert ap.best[0] == pytest.approx(max(values), abs=1e-12)
    assert ap.worst[0] == pytest.approx(min(values), abs=1e-12)
    minimum = np.mean([plain_ap(flags, top, minimum_denominator=True) for flags in ranked])
    assert ap.expected_min[0] == pytest.approx(minimum, abs=1e-12)


@settings(max_examples=100, deadline=None)
@given(rankings())
def test_precision_and_recall_are_means_over_all_orders_of_ties(ranking) -> None:
    distances, relevant, n = ranking
    counts = histogram(distances, relevant)
    within = np.mean([relevant[order][:n].sum() for order in orders(distances)])
    assert precision_at(counts, n)[0] == pytest.approx(within / min(n, len(distances)), abs=1e-12)
    assert recall_at(counts, n)[0] == pytest.approx(within / max(relevant.sum(), 1), abs=1e-12)


def test_more_hits_in_a_split_tie_can_be_worse() -> None:
    # A hit at rank 1, then a tie of ten items with one hit, cut at rank 5: the worst order has that hit at rank 5.
    distances = np.array([0] + [1] * 10)
    relevant = np.array([True, True] + [False] * 9)
    ap = average_precision(histogram(distances, relevant), 5)
    assert ap.worst[0] == pytest.approx((1 + 2 / 5) / 2)
    assert ap.best[0] == 1


@pytest.mark.parametrize(("n", "n_relevant", "top"), [(5000, 700, 1000), (5000, 4999, 3), (5000, 1, 4999)])
def test_a_large_split_tie_agrees_with_sampled_orders(n: int, n_relevant: int, top: int) -> None:
    rng = np.random.default_rng(0)
    relevant = np.arange(n) < n_relevant
    ap = average_precision(histogram(np.zeros(n, np.int64), relevant), top)
    values = []
    for _ in range(2000):
        flags = rng.permutation(relevant)[:top]
        ranks = np.flatnonzero(flags) + 1
        values.append(np.mean(np.arange(1, len(ranks) + 1) / ranks) if len(ranks) else 0.0)
    error = 5 * np.std(values) / np.sqrt(len(values))
    assert ap.expected[0] == pytest.approx(np.mean(values), abs=error + 1e-12)
    assert ap.worst[0] <= min(values) + 1e-12 and max(values) <= ap.best[0] + 1e-12


@pytest.mark.parametrize("n_bits", BITS)
@pytest.mark.parametrize("multi_label", [False, True])
def test_histograms_count_distances(n_bits: int, multi_label: bool) -> None:
    rng = np.random.default_rng(n_bits)
    # More items than a block of the kernel, more queries than a chunk.
    queries, database = pack(rng.integers(0, 2, (37, n_bits))), pack(rng.integers(0, 2, (2500, n_bits)))
    if multi_label:
        query_labels, labels = rng.random((37, 81)) < 0.1, (rng.random((2500, 81)) < 0.1).astype(np.float32)
        relevant = query_labels.astype(int) @ labels.T > 0
    else:
        query_labels, labels = rng.integers(-3, 4, 37), rng.integers(-3, 4, 2500)
        relevant = query_labels[:, None] == labels
    counts = distance_histograms(queries, database, query_labels, labels, n_bits)
    assert counts.items.shape == counts.relevant.shape == (37, n_bits + 1)
    for row, distances in enumerate(hamming(queries, database)):
        np.testing.assert_array_equal(counts.items[row], np.bincount(distances, minlength=n_bits + 1))
        hits = np.bincount(distances[relevant[row]], minlength=n_bits + 1)
        np.testing.assert_array_equal(counts.relevant[row], hits)


@pytest.mark.parametrize("n_bits", BITS)
def test_one_hot_rows_and_class_ids_agree(n_bits: int) -> None:
    rng = np.random.default_rng(n_bits)
    queries, database = pack(rng.integers(0, 2, (5, n_bits))), pack(rng.integers(0, 2, (60, n_bits)))
    query_classes, classes = rng.integers(0, 4, 5), rng.integers(0, 4, 60)
    names = np.array(["plane", "car", "bird", "cat"])
    by_id = evaluate(queries, database, query_classes, classes, n_bits, top=20)
    by_row = evaluate(queries, database, np.eye(4)[query_classes], np.eye(4)[classes], n_bits, top=20)
    by_name = evaluate(queries, database, names[query_classes], names[classes], n_bits, top=20)
    assert by_id.map == by_row.map == by_name.map
    np.testing.assert_array_equal(by_id.radius_recall, by_row.radius_recall)


def test_perfect_codes_score_one() -> None:
    classes = np.arange(40) % 4
    codes = pack(np.repeat(np.eye(4, dtype=int), 6, axis=1)[classes])
    result = evaluate(codes[:8], codes, classes[:8], classes, 24, top=10)
    assert result.map == result.map_best == result.map_worst == result.map_min_denominator == 1
    assert result.precision_radius_2 == result.radius_recall[0] == 1
    assert result.precision_at[10] == result.recall_at[10] == 1
    assert result.precision_at[100] == pytest.approx(0.25)  # more than the database has: all of it
    assert result.map_at == 10 and result.n_without_relevant == 0


def test_constant_codes_score_the_formula_of_a_random_order() -> None:
    n, r = 50, 7
    codes = np.zeros((n, 8), np.uint8)
    result = evaluate(codes[:1], codes, [1], np.arange(n) < r, 64)
    h = sum(1 / i for i in range(1, n + 1))
    assert result.map == pytest.approx((h + (r - 1) / (n - 1) * (n - h)) / n)
    assert result.map_best == pytest.approx(1)
    assert result.map_worst == pytest.approx(np.mean([j / (n - r + j) for j in range(1, r + 1)]))
    assert result.precision_at[10] == pytest.approx(r / n)
    np.testing.assert_allclose(result.radius_precision, r / n)


def test_queries_without_relevant_items_or_near_items_count_zero() -> None:
    database = pack(np.ones((4, 7), int))
    queries = pack(np.array([[1] * 7, [1] * 7, [0] * 7]))
    result = evaluate(queries, database, [0, 9, 0], [0, 0, 0, 0], 7)
    assert result.map == pytest.approx(2 / 3)
    assert result.n_without_relevant == 1 and result.n_queries == 3 and result.map_at is None
    assert result.precision_radius_2 == pytest.approx(1 / 3)  # the third query finds nothing within distance 2
    assert result.radius_precision.shape == (8,) and result.radius_recall[-1] == pytest.approx(2 / 3)


def test_zero_hits_within_the_cutoff_score_zero() -> None:
    distances, relevant = np.array([0, 0, 1]), np.array([False, False, True])
    ap = average_precision(histogram(distances, relevant), 2)
    assert (ap.expected, ap.best, ap.worst, ap.expected_min) == (0, 0, 0, 0)


def test_a_cutoff_above_the_database_is_the_database() -> None:
    rng = np.random.default_rng(3)
    codes, classes = rng.integers(0, 256, (30, 1), dtype=np.uint8), rng.integers(0, 3, 30)
    whole, above = (evaluate(codes[:5], codes, classes[:5], classes, 8, top=top) for top in (None, 99))
    assert above.map == whole.map and above.map_at == 30
    assert whole.map == pytest.approx(whole.map_min_denominator)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"top": 0}, "cutoff must be at least 1"),
        ({"query_codes": np.zeros((0, 1), np.uint8), "query_labels": []}, "query_codes are empty"),
        ({"query_labels": [0, 1]}, "query_codes have 3 rows and query_labels 2"),
        ({"database_labels": np.ones((4, 2))}, "different kinds"),
        ({"query_labels": [[1, 2], [0, 1], [0, 0]], "database_labels": np.ones((4, 2))}, "only 0 and 1"),
        ({"query_labels": np.ones((3, 3)), "database_labels": np.ones((4, 2))}, "3 columns"),
        ({"query_labels": ["a", "b", "c"]}, "name the classes the same way"),
        ({"query_labels": [0.0, np.nan, 1.0]}, "NaN"),
        ({"query_labels": np.array([None] * 3)}, "class ids"),
        ({"n_bits": 9}, "query_codes of 9 bits"),
    ],
)
def test_bad_input_is_named(change: dict, message: str) -> None:
    given = {
        "query_codes": np.zeros((3, 1), np.uint8),
        "database_codes": np.zeros((4, 1), np.uint8),
        "query_labels": [0, 1, 2],
        "database_labels": [0, 1, 2, 3],
        "n_bits": 8,
    }
    with pytest.raises(GannetError, match=message) as error:
        evaluate(**(given | change))
    assert "\n" not in str(error.value)
