"""Similarity distribution calibration."""

import numpy as np
import pytest
from scipy import stats

from gannet import SDC, GannetError
from gannet.encoders import center_and_normalize

torch = pytest.importorskip("torch", reason="learning needs torch")

from gannet.training.batch_losses import angle_loss, calibration_loss  # noqa: E402


def batch(n, n_bits, seed=0):
    generator = torch.Generator().manual_seed(seed)
    unit = torch.nn.functional.normalize(torch.randn(n, 6, generator=generator), dim=1)
    return torch.randn(n, n_bits, generator=generator, requires_grad=True), unit


def cosine(a, b):
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


def skewed(n=400, seed=0):
    """Draw items of four groups whose cosines are all high, as those of rectified features."""
    random = np.random.default_rng(seed)
    groups = np.arange(n) % 4
    return (np.eye(12)[groups] + 0.3 * random.normal(size=(n, 12)) + 2).astype(np.float32), groups


@pytest.mark.parametrize("n_bits", [1, 7, 65])
def test_the_loss_against_a_slow_loop(n_bits):
    values, unit = batch(10, n_bits)
    quantiles = np.sort(np.random.default_rng(1).uniform(-1, 1, 25))
    v, x = values.detach().numpy().astype(np.float64), unit.numpy().astype(np.float64)
    pairs = sorted((cosine(x[i], x[j]), cosine(v[i], v[j])) for i in range(5) for j in range(5, 10))
    expected = np.mean([abs(code - quantile) for (_, code), quantile in zip(pairs, quantiles, strict=True)])
    loss = calibration_loss(values, unit, torch.from_numpy(quantiles))
    assert loss.item() == pytest.approx(expected, abs=1e-5)
    if n_bits > 1:  # a single value has a cosine of -1 or 1, wherever it moves
        loss.backward()
        assert torch.isfinite(values.grad).all() and values.grad.abs().max() > 1e-3


def test_the_distance_from_signs_against_a_slow_loop():
    values, _ = batch(6, 9)
    loss = angle_loss(values)
    rows = values.detach().numpy()
    assert loss.item() == pytest.approx(
        1 - np.mean([cosine(row, np.where(row >= 0, 1.0, -1.0)) for row in rows]), abs=1e-6
    )
    loss.backward()
    assert torch.isfinite(values.grad).all() and values.grad.abs().max() > 1e-3


def test_values_at_the_quantiles_of_the_beta_distribution_have_no_loss():
    angles = np.linspace(0.1, 3.0, 6)  # codes on a circle, so that pairs with the first item have chosen cosines
    values = np.stack([np.r_[1.0, np.cos(angles)], np.r_[0.0, np.sin(angles)]], axis=1)
    values = torch.from_numpy(values[[0, 1]])
    (only,) = np.cos(angles[:1])
    assert calibration_loss(values, values, torch.tensor([only])).item() == pytest.approx(0, abs=1e-12)


def test_cosines_of_codes_are_spread_as_the_chosen_beta_distribution():
    features, _ = skewed()
    levels = np.arange(1, 100) / 100

    def spread(concentration):
        hasher = SDC(64, hidden=64, concentration=concentration, quantization=0.0, n_steps=300).fit(features)
        unit = center_and_normalize(hasher.decision_function(features), np.zeros(64, np.float32))
        return np.quantile(unit[:200] @ unit[200:].T, levels)

    spreads = {concentration: spread(concentration) for concentration in (0.5, 5.0)}
    for concentration in spreads:
        target = 2 * stats.beta.ppf(levels, concentration, concentration) - 1
        distances = {other: np.abs(quantiles - target).mean() for other, quantiles in spreads.items()}
        assert min(distances, key=distances.__getitem__) == concentration and distances[concentration] < 0.25


def test_training_separates_groups_better_than_an_untrained_network():
    features, groups = skewed()

    def gap(n_steps):
        values = SDC(32, hidden=64, n_steps=n_steps).fit(features).decision_function(features)
        codes = np.where(values >= 0, 1, -1)
        agreement, same = codes @ codes.T / 32, groups[:, None] == groups
        return agreement[same].mean() - agreement[~same].mean()

    assert gap(300) > gap(1) + 0.1


def test_bits_of_the_training_items_are_balanced_values():
    features, _ = skewed()
    values = SDC(16, hidden=32, n_steps=1, learning_rate=1e-6).fit(features).decision_function(features)
    np.testing.assert_allclose(values.mean(axis=0), 0, atol=1e-4)
    np.testing.assert_allclose(values.std(axis=0), 1, atol=1e-2)


@pytest.mark.parametrize(
    "setting", [{"hidden": 0}, {"concentration": 0.0}, {"quantization": -1.0}, {"similarity": "cosin"}, {"n_steps": 0}]
)
def test_settings_that_make_no_sense_are_refused(setting):
    with pytest.raises(GannetError):
        SDC(4, **setting).fit(np.random.default_rng(0).normal(size=(20, 3)))
