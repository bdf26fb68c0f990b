import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from threadpoolctl import threadpool_limits

from gannet.errors import GannetError
from gannet.methods.dsh import DSH, adjacent_pairs, median_planes, plane_entropies


def clusters(centers, sizes, seed=0):
    random = np.random.default_rng(seed)
    points = [random.normal(center, 0.1, (size, len(center))) for center, size in zip(centers, sizes, strict=True)]
    return np.concatenate(points).astype(np.float32)


def normal(n, n_features, seed=0):
    return np.random.default_rng(seed).normal(size=(n, n_features)).astype(np.float32)


def test_two_clusters_are_parted_midway():
    features = clusters([(0, 0, 0), (6, 0, 8)], [60, 40])
    encoder = DSH(n_bits=1, n_iterations=20).fit(features).encoder_
    normal_vector = encoder.weight[:, 0] / np.linalg.norm(encoder.weight[:, 0])
    np.testing.assert_allclose(np.abs(normal_vector), [0.6, 0, 0.8], atol=0.02)
    midway = np.array([[3, 0, 4]], np.float32)
    distance = encoder.values(midway)[0, 0] / np.linalg.norm(encoder.weight[:, 0])
    assert abs(distance) < 0.1


def test_three_clusters_on_a_line_give_the_two_most_even_planes():
    # Planes at 5 (half and half), 20 and 15 (both 80 to 20; 20 lies between closer centers).
    features = clusters([(0, 0), (10, 0), (30, 0)], [50, 30, 20])
    encoder = DSH(n_bits=2, n_iterations=50).fit(features).encoder_
    on_axis = np.array([[x, 0] for x in range(31)], np.float32)
    bits = encoder.values(on_axis) >= 0
    flips = [np.flatnonzero(np.diff(column)).tolist() for column in bits.T.astype(int)]
    assert [len(flip) for flip in flips] == [1, 1]
    np.testing.assert_allclose([flip[0] + 0.5 for flip in flips], [5, 20], atol=1)


@given(st.integers(0, 10_000), st.integers(2, 20), st.integers(1, 25))
def test_adjacent_pairs_are_those_with_one_among_the_nearest_of_the_other(seed, n_groups, n_adjacent):
    centers = normal(n_groups, 4, seed)
    distances = np.linalg.norm(centers[:, None] - centers, axis=2)
    expected = set()
    for i in range(n_groups):
        others = sorted((j for j in range(n_groups) if j != i), key=lambda j, i=i: distances[i, j])
        expected |= {(min(i, j), max(i, j)) for j in others[:n_adjacent]}
    pairs = adjacent_pairs(centers, n_adjacent)
    assert {(int(i), int(j)) for i, j in pairs} == expected
    assert len(pairs) == len(expected)
    assert (np.diff([distances[i, j] for i, j in pairs]) >= -1e-5).all()


@given(st.integers(0, 10_000))
def test_a_median_plane_is_as_far_from_one_center_as_from_the_other(seed):
    centers = normal(6, 5, seed)
    pairs = adjacent_pairs(centers, 3)
    weight, bias = median_planes(centers, pairs)
    points = normal(40, 5, seed + 1)
    for column, (i, j) in enumerate(pairs):
        to_first, to_second = (((points - centers[k]) ** 2).sum(axis=1) for k in (i, j))
        values = points @ weight[:, column] + bias[column]
        np.testing.assert_allclose(2 * values, to_second - to_first, atol=1e-3)


def test_the_entropy_counts_items_by_the_side_of_their_group():
    centers = np.array([[0.0], [1.0], [2.0], [5.0]], np.float32)
    shares = np.array([0.5, 0.25, 0.125, 0.125], np.float32)
    weight = np.ones((1, 4), np.float32)
    bias = -np.array([0.5, 1.5, 3.0, 9.0], np.float32)
    expected = [-p * np.log(p) - (1 - p) * np.log(1 - p) for p in (0.5, 0.25, 0.125)]
    np.testing.assert_allclose(plane_entropies(centers, shares, weight, bias), [*expected, 0], atol=1e-6)


def test_every_plane_taken_is_at_least_as_even_as_every_plane_left():
    features = normal(500, 8)
    few = DSH(n_bits=5, groups_per_bit=4)
    centers, shares = few._groups(features - features.mean(axis=0))
    entropies = plane_entropies(centers, shares, *median_planes(centers, adjacent_pairs(centers, 3)))
    encoder = few.fit(features).encoder_
    taken = plane_entropies(centers, shares, encoder.weight, encoder.bias)
    np.testing.assert_allclose(taken, np.sort(entropies)[::-1][:5], atol=1e-6)
    assert len(entropies) > 5


@pytest.mark.parametrize("n_bits", [1, 7, 24, 63, 65, 128])
@pytest.mark.parametrize("n_features", [1, 16])
def test_every_length(n_bits, n_features):
    features = normal(200, n_features)
    hasher = DSH(n_bits=n_bits).fit(features)
    values = hasher.decision_function(features)
    assert values.shape == (200, n_bits)
    bits = np.unpackbits(hasher.transform(features), axis=1)
    np.testing.assert_array_equal(bits[:, :n_bits], values >= 0)
    assert not bits[:, n_bits:].any()
    assert (bits[:, :n_bits].min(axis=0) != bits[:, :n_bits].max(axis=0)).all()


def test_the_result_depends_on_the_seed_and_not_on_the_threads():
    features = normal(3000, 60)
    with threadpool_limits(4, user_api="openmp"):
        first = DSH(n_bits=16, random_state=3).fit(features).encoder_
    with threadpool_limits(1, user_api="openmp"):
        again = DSH(n_bits=16, random_state=3).fit(features).encoder_
    other = DSH(n_bits=16, random_state=4).fit(features).encoder_
    np.testing.assert_array_equal(first.weight, again.weight)
    np.testing.assert_array_equal(first.bias, again.bias)
    assert not np.array_equal(first.weight, other.weight)
    assert all(array.dtype == np.float32 for array in first.arrays().values())


def test_too_few_distinct_items_are_refused_in_one_line():
    features = np.repeat(np.eye(2, dtype=np.float32), 20, axis=0)
    with pytest.raises(GannetError, match="1 planes between 2 groups, too few for 4 bits") as caught:
        DSH(n_bits=4).fit(features)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("setting", [{"groups_per_bit": 0}, {"n_iterations": 0}, {"n_adjacent": 0}])
def test_settings_out_of_range_are_refused(setting):
    with pytest.raises(GannetError, match="must be above 0"):
        DSH(n_bits=4, **setting).fit(normal(20, 3))
