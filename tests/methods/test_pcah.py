"""Signs of principal components, unchanged or after a random rotation."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_digits

from gannet import ITQ, PCAH, GannetError, RotatedPCAH


@given(st.integers(1, 12), st.integers(0, 2**32 - 1))
@settings(deadline=None, max_examples=30)
def test_values_are_projections_on_the_eigenvectors_of_the_covariance(n_bits: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    scales = np.geomspace(1, 20, 12)
    mixing = np.linalg.qr(random.standard_normal((12, 12)))[0]
    features = (random.standard_normal((300, 12)) * scales) @ mixing + 5
    values = PCAH(n_bits).fit(features).decision_function(features)
    centered = features - features.mean(axis=0)
    _, vectors = np.linalg.eigh(centered.T @ centered)
    expected = centered @ vectors[:, ::-1][:, :n_bits]
    signs = np.sign((values * expected).sum(axis=0))  # an eigenvector may point either way
    np.testing.assert_allclose(values, expected * signs, atol=1e-3)


def test_a_rotation_keeps_lengths_and_evens_out_the_variances() -> None:
    features = load_digits().data
    plain, rotated = (method(16).fit(features).decision_function(features) for method in (PCAH, RotatedPCAH))
    np.testing.assert_allclose((plain**2).sum(axis=1), (rotated**2).sum(axis=1), rtol=1e-3)
    spread = [values.var(axis=0).max() / values.var(axis=0).min() for values in (plain, rotated)]
    assert spread[0] > 8 > 4 > spread[1]


def test_seeds_draw_rotations_and_leave_components_alone() -> None:
    features = load_digits().data
    plain = [PCAH(16, random_state=seed).fit_transform(features) for seed in (0, 1)]
    rotated = [RotatedPCAH(16, random_state=seed).fit_transform(features) for seed in (0, 1)]
    assert np.array_equal(*plain) and not np.array_equal(*rotated)


def test_itq_starts_from_the_rotation_and_loses_less_by_taking_signs() -> None:
    features = load_digits().data
    start, one, many = (hasher.fit(features) for hasher in (RotatedPCAH(32), ITQ(32, n_iterations=1), ITQ(32)))
    bits = [hasher.decision_function(features) >= 0 for hasher in (start, one, many)]
    assert (bits[0] != bits[1]).mean() < (bits[0] != bits[2]).mean()
    # All are rotations of the same components, so |B - V R|^2 is smaller where the sum of |V R| is larger.
    assert np.abs(start.decision_function(features)).sum() < np.abs(many.decision_function(features)).sum()


@pytest.mark.parametrize("method", [PCAH, RotatedPCAH])
def test_more_bits_than_features_are_refused(method: type[PCAH]) -> None:
    with pytest.raises(GannetError, match=rf"{method.name} makes at most one bit per feature, and n_features=3"):
        method(4).fit(np.random.default_rng(0).normal(size=(20, 3)))
