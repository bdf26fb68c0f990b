import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gannet.encoders import Encoder
from gannet.methods.sh import SH, slowest_modes


def eigenvalues(sides, wave_numbers, eps):
    """The paper's formula, direction by direction."""
    return {
        (direction, k): 1 - np.exp(-(eps**2) / 2 * abs(k * np.pi / side) ** 2)
        for direction, side in enumerate(sides)
        for k in wave_numbers
    }


def grid(*sides, points=41):
    """A box filled evenly, corners included, with its center at the origin."""
    axes = [np.linspace(-side / 2, side / 2, points) for side in sides]
    return np.stack(np.meshgrid(*axes), axis=-1).reshape(-1, len(sides)).astype(np.float32)


@given(
    sides=st.lists(st.floats(0.5, 20), min_size=1, max_size=6),
    n_modes=st.sampled_from([1, 7, 24, 63, 65]),
    eps=st.floats(0.002, 0.01),
)
def test_the_modes_are_those_of_the_smallest_eigenvalues(sides, n_modes, eps):
    directions, wave_numbers = slowest_modes(np.array(sides), n_modes)
    by_formula = eigenvalues(sides, range(1, n_modes + 1), eps)
    chosen = list(zip(directions.tolist(), wave_numbers.tolist(), strict=True))
    assert len(set(chosen)) == n_modes
    np.testing.assert_allclose([by_formula[mode] for mode in chosen], sorted(by_formula.values())[:n_modes], rtol=1e-6)


def test_a_box_of_sides_three_and_one_has_the_known_modes():
    directions, wave_numbers = slowest_modes(np.array([3.1, 1.0]), 6)
    modes = list(zip(directions.tolist(), wave_numbers.tolist(), strict=True))
    assert modes == [(0, 1), (0, 2), (0, 3), (1, 1), (0, 4), (0, 5)]


def test_a_direction_without_extent_has_no_waves():
    directions, wave_numbers = slowest_modes(np.array([0.0, 2.0]), 5)
    assert directions.tolist() == [1] * 5
    assert wave_numbers.tolist() == [1, 2, 3, 4, 5]


def test_the_values_on_a_box_are_its_standing_waves():
    box = grid(3.1, 1.0)
    values = SH(n_bits=6).fit(box).decision_function(box)
    for column, (axis, k) in enumerate([(0, 1), (0, 2), (0, 3), (1, 1), (0, 4), (0, 5)]):
        side = (3.1, 1.0)[axis]
        wave = np.sin(np.pi / 2 + k * np.pi / side * (box[:, axis].astype(np.float64) + side / 2))
        # A principal component has no sign of its own: the box may be walked from either end.
        mirrored = wave * np.sign(values[0, column] * wave[0])
        np.testing.assert_allclose(values[:, column], mirrored, atol=2e-5)


def test_the_waves_are_eigenvectors_of_the_graph_laplacian():
    points = np.linspace(0, 1, 301, dtype=np.float32)[:, None]
    affinity = np.exp(-((points - points.T) ** 2) / (2 * 0.02**2)).astype(np.float64)
    degree = np.sqrt(affinity.sum(axis=1))
    _, vectors = np.linalg.eigh(affinity / np.outer(degree, degree))
    slowest = (vectors[:, ::-1] / degree[:, None])[:, 1:5]  # the first one is constant
    values = SH(n_bits=4).fit(points).decision_function(points)
    for wave, vector in zip(values.T, slowest.T, strict=True):
        assert abs(np.corrcoef(wave, vector)[0, 1]) > 0.99


def test_the_box_lies_along_the_principal_components():
    box = grid(3.1, 1.0)
    turn = np.array([[0.6, 0.8], [-0.8, 0.6]], np.float32)
    straight = SH(n_bits=4).fit(box).decision_function(box)
    turned = SH(n_bits=4).fit(box @ turn + 7).decision_function(box @ turn + 7)
    np.testing.assert_allclose(np.abs(turned), np.abs(straight), atol=1e-4)


@pytest.mark.parametrize("n_bits", [1, 7, 24, 63, 65, 128])
@pytest.mark.parametrize("n_features", [1, 5, 200])
def test_every_length_from_any_number_of_features(n_bits, n_features):
    features = np.random.default_rng(0).normal(size=(150, n_features)).astype(np.float32)
    hasher = SH(n_bits=n_bits).fit(features)
    values = hasher.decision_function(features)
    assert values.shape == (150, n_bits)
    assert np.abs(values).max() <= 1
    bits = np.unpackbits(hasher.transform(features), axis=1)
    np.testing.assert_array_equal(bits[:, :n_bits], values >= 0)
    assert not bits[:, n_bits:].any()
    assert (bits[:, :n_bits].min(axis=0) != bits[:, :n_bits].max(axis=0)).all()


def test_two_fits_agree_and_the_encoder_is_rebuilt_from_its_arrays():
    features = np.random.default_rng(1).normal(size=(300, 40)).astype(np.float32)
    codes = SH(n_bits=24, random_state=3).fit(features).transform(features)
    encoder = SH(n_bits=24, random_state=3).fit(features).encoder_
    rebuilt = Encoder.kinds["sinusoid"](**encoder.arrays())
    np.testing.assert_array_equal(rebuilt.encode(features), codes)
    assert all(array.dtype == np.float32 for array in encoder.arrays().values())
