import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gannet.encoders import Encoder
from gannet.errors import GannetError
from gannet.methods.sph import SpH, half_radii, relative_excess, squared_distances


def normal(n, n_features, seed=0):
    return np.random.default_rng(seed).normal(size=(n, n_features)).astype(np.float32)


def bits_of(hasher, features):
    return np.unpackbits(hasher.transform(features), axis=1, count=hasher.n_bits)


def shared_counts(bits):
    """o_ij of all pairs i < j, counted item by item."""
    n_bits = bits.shape[1]
    return np.array([int((bits[:, i] & bits[:, j]).sum()) for i in range(n_bits) for j in range(i + 1, n_bits)])


@pytest.mark.parametrize("n_bits", [7, 24, 63])
def test_each_sphere_holds_half_of_the_items_and_each_pair_shares_a_quarter(n_bits):
    features = normal(2000, 32)
    hasher = SpH(n_bits=n_bits).fit(features)
    bits = bits_of(hasher, features)
    assert (bits.sum(axis=0) == 1000).all()
    shared = shared_counts(bits)
    assert np.abs(shared - 500).mean() <= 0.10 * 500
    assert shared.std() <= 0.15 * 500
    assert 0 < hasher.n_iterations_ < 100


def test_the_first_pivots_are_not_balanced_yet():
    features = normal(2000, 32)
    shared = shared_counts(bits_of(SpH(n_bits=24, mean_tolerance=9, std_tolerance=9).fit(features), features))
    assert np.abs(shared - 500).mean() > 0.10 * 500


def test_tighter_tolerances_are_met():
    features = normal(2000, 32)
    hasher = SpH(n_bits=16, mean_tolerance=0.05, std_tolerance=0.08).fit(features)
    shared = shared_counts(bits_of(hasher, features))
    assert np.abs(shared - 500).mean() <= 0.05 * 500
    assert shared.std() <= 0.08 * 500


def test_the_spread_alone_keeps_it_going():
    features = normal(2000, 32)
    hasher = SpH(n_bits=16, mean_tolerance=9, std_tolerance=0.05).fit(features)
    assert shared_counts(bits_of(hasher, features)).std() <= 0.05 * 500
    assert hasher.n_iterations_ > 0


def test_one_round_moves_the_pivots_as_the_paper_says():
    features = normal(400, 6)
    once = SpH(n_bits=5, n_iterations=1, mean_tolerance=0)
    before = once._first_pivots(features).astype(np.float64)
    members = []
    for pivot in before:
        distances = np.linalg.norm(features - pivot, axis=1)
        members.append(set(np.argsort(distances)[:200].tolist()))
    after = before.copy()
    for i in range(5):
        for j in range(5):
            if i != j:
                force = 0.5 * (len(members[i] & members[j]) - 100) / 100 * (before[i] - before[j])
                after[i] += force / 5
    assert np.abs(after - before).max() > 0.01
    np.testing.assert_allclose(once.fit(features).encoder_.pivots, after, atol=1e-5)


@given(st.integers(0, 10_000), st.sampled_from([1, 7, 24, 65]), st.integers(1, 20))
def test_values_are_squared_radius_minus_squared_distance(seed, n_bits, n_features):
    random = np.random.default_rng(seed)
    pivots = random.normal(size=(n_bits, n_features)).astype(np.float32)
    radii = random.uniform(0.1, 2, n_bits).astype(np.float32)
    features = random.normal(size=(30, n_features)).astype(np.float32)
    values = Encoder.kinds["spheres"](pivots=pivots, radii=radii).values(features)
    slow = [[r**2 - ((x - p) ** 2).sum() for p, r in zip(pivots, radii, strict=True)] for x in features]
    assert values.dtype == np.float32
    np.testing.assert_allclose(values, slow, atol=2e-4)


def test_distances_stay_exact_far_from_the_origin():
    features, pivots = normal(50, 8) + 1000, normal(5, 8, seed=1) + 1000
    exact = ((features[:, None].astype(np.float64) - pivots) ** 2).sum(axis=2)
    np.testing.assert_allclose(squared_distances(features, pivots), exact, rtol=1e-4)


@given(st.integers(2, 60), st.integers(0, 10_000))
def test_a_radius_holds_half_of_the_items(n, seed):
    distances = np.random.default_rng(seed).permuted(np.arange(1, n + 1.0))[:, None].astype(np.float32)
    assert (distances <= half_radii(distances) ** 2).sum() == n // 2


def test_the_excess_is_the_share_above_a_quarter():
    inside = np.array([[1, 1, 0], [1, 1, 0], [0, 0, 1], [0, 0, 1]], bool)
    np.testing.assert_array_equal(relative_excess(inside), [[0, 1, -1], [1, 0, -1], [-1, -1, 0]])


def test_items_on_a_line_end_at_the_limit_with_codes_all_the_same():
    features = normal(40, 1)
    hasher = SpH(n_bits=8, n_iterations=12).fit(features)
    assert hasher.n_iterations_ == 12
    assert (bits_of(hasher, features).sum(axis=0) == 20).all()


@pytest.mark.parametrize("n_bits", [1, 7, 24, 63, 65, 128])
def test_every_length(n_bits):
    features = normal(201, 16)
    hasher = SpH(n_bits=n_bits, n_iterations=5).fit(features)
    values = hasher.decision_function(features)
    assert values.shape == (201, n_bits)
    np.testing.assert_array_equal(bits_of(hasher, features), values >= 0)
    assert (bits_of(hasher, features).sum(axis=0) == 100).all()


def test_one_sphere_has_no_pair_to_balance():
    assert SpH(n_bits=1).fit(normal(20, 3)).n_iterations_ == 0


def test_the_seed_decides():
    features = normal(300, 12)
    first = SpH(n_bits=16, random_state=3).fit(features).encoder_
    again = SpH(n_bits=16, random_state=3).fit(features).encoder_
    other = SpH(n_bits=16, random_state=4).fit(features).encoder_
    np.testing.assert_array_equal(first.pivots, again.pivots)
    np.testing.assert_array_equal(first.radii, again.radii)
    assert not np.array_equal(first.pivots, other.pivots)
    assert all(array.dtype == np.float32 for array in first.arrays().values())


@pytest.mark.parametrize("setting", [{"n_initial": 0}, {"n_iterations": 0}])
def test_settings_below_one_are_refused(setting):
    with pytest.raises(GannetError, match="at least 1"):
        SpH(n_bits=4, **setting).fit(normal(20, 3))
