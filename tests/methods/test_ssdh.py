import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gannet.errors import GannetError
from gannet.methods.ssdh import SSDH, SSDHWithAttention

torch = pytest.importorskip("torch", reason="learning needs torch")

from gannet.methods._semantic_structure import (  # noqa: E402
    HalfGaussians,
    fit_half_gaussians,
    pair_distances,
    semantic_structure,
    structure_loss,
)


def two_halves(mode, left, right, n=400_000, seed=0):
    """Draw distances that meet at the mode with one density: each half weighs as much as its deviation."""
    random = np.random.default_rng(seed)
    size = np.abs(random.standard_normal(n))
    return np.where(random.random(n) < left / (left + right), mode - left * size, mode + right * size)


def clusters(n=240, n_features=12, seed=0):
    random = np.random.default_rng(seed)
    centers = random.normal(size=(4, n_features)) * 2
    labels = random.integers(4, size=n)
    return (centers[labels] + random.normal(size=(n, n_features)) * 0.5).astype(np.float32), labels


@pytest.mark.parametrize(("mode", "left", "right"), [(0.69, 0.09, 0.06), (0.5, 0.05, 0.15), (1.0, 0.1, 0.1)])
def test_two_planted_half_gaussians_are_found(mode, left, right):
    fitted = fit_half_gaussians(two_halves(mode, left, right))
    # The mode is known to a few bins of about 9 deviations / 100.
    assert fitted.mode == pytest.approx(mode, abs=0.3 * min(left, right))
    assert fitted.left == pytest.approx(left, rel=0.12)
    assert fitted.right == pytest.approx(right, rel=0.12)


@pytest.mark.parametrize("alpha", [0.0, 1.0, 2.0])
def test_thresholds_leave_the_share_of_pairs_that_a_gaussian_says(alpha):
    distances = two_halves(0.69, 0.09, 0.06)
    low, high = fit_half_gaussians(distances).thresholds(alpha, alpha)
    tail = {0.0: 1.0, 1.0: 0.3173, 2.0: 0.0455}[alpha]
    # The mode is off by a bin or so, where the distribution is densest.
    assert (distances < low).mean() == pytest.approx(0.6 * tail, abs=0.01 + 0.06 * tail)
    assert (distances > high).mean() == pytest.approx(0.4 * tail, abs=0.01 + 0.06 * tail)


def test_thresholds_are_deviations_from_the_mode():
    assert HalfGaussians(0.7, 0.1, 0.05).thresholds(2, 3) == pytest.approx((0.5, 0.85))


def test_equal_distances_have_no_deviation():
    mode, left, right = fit_half_gaussians(np.full(10, 0.5))
    assert mode == pytest.approx(0.5, abs=0.01)
    assert left <= 0.01 and right <= 0.01


def test_pairs_are_of_different_items_each_once():
    unit = torch.nn.functional.normalize(torch.randn(9, 5, generator=torch.Generator().manual_seed(0)), dim=1)
    distances = pair_distances(unit, 100, torch.Generator().manual_seed(1))
    slow = [1 - float(unit[i] @ unit[j]) for i in range(9) for j in range(i)]
    np.testing.assert_allclose(np.sort(distances), np.sort(slow), atol=1e-6)
    assert len(pair_distances(unit, 4, torch.Generator().manual_seed(1))) == 6


def test_the_structure_is_one_minus_one_or_unknown():
    angles = torch.tensor([0.0, 0.1, 1.0, 3.0])
    unit = torch.stack([angles.cos(), angles.sin()], dim=1)
    structure = semantic_structure(unit, 0.1, 1.5)(torch.tensor([0, 2]), torch.tensor([0, 1, 2, 3]))
    assert structure.tolist() == [[1, 1, 0, -1], [0, 0, 1, 0]]


@given(st.integers(0, 1000), st.sampled_from([1, 7, 24, 65]), st.integers(1, 5), st.integers(1, 6))
@settings(deadline=None, max_examples=40)
def test_the_loss_against_a_slow_loop(seed, n_bits, n, m):
    generator = torch.Generator().manual_seed(seed)
    a, b = (torch.tanh(torch.randn(size, n_bits, generator=generator)) for size in (n, m))
    structure = torch.randint(-1, 2, (n, m), generator=generator).float()
    structure[0, 0] = 1
    products = (a @ b.T).requires_grad_()
    loss = structure_loss(products, structure, n_bits)
    for i in range(n):
        for j in range(m):
            s = float(structure[i, j])
            inner = sum(float(x) * float(y) for x, y in zip(a[i], b[j], strict=True)) / n_bits
            assert loss[i, j].item() == pytest.approx(abs(s) * (inner - s) ** 2, abs=1e-5)
    loss.sum().backward()
    assert torch.isfinite(products.grad).all() and products.grad[0, 0] != 0


def test_unknown_pairs_teach_nothing():
    products = torch.randn(3, 4, requires_grad=True)
    structure_loss(products, torch.zeros(3, 4), 8).sum().backward()
    assert (products.grad == 0).all()


@pytest.mark.parametrize("method", [SSDH, SSDHWithAttention])
def test_codes_of_a_cluster_agree(method):
    features, labels = clusters()
    hasher = method(24, n_steps=60, batch_size=32).fit(features)
    bits = np.unpackbits(hasher.transform(features), axis=1, count=24).astype(int)
    distances = (bits[:, None] != bits).sum(axis=2)
    same = labels[:, None] == labels
    assert distances[same].mean() < 0.4 * distances[~same].mean()
    assert hasher.half_gaussians_.left > 0 and hasher.half_gaussians_.right > 0


def test_the_two_names_differ_in_attention_only():
    features, _ = clusters()
    settings_ = {"n_bits": 7, "n_steps": 5, "batch_size": 16}
    plain = SSDH(**settings_).fit(features).decision_function(features)
    attended = SSDHWithAttention(**settings_).fit(features).decision_function(features)
    assert not np.array_equal(plain, attended)
    off = SSDHWithAttention(**settings_, gradient_attention=False).fit(features).decision_function(features)
    np.testing.assert_array_equal(plain, off)


@pytest.mark.parametrize("setting", [{"n_sampled": 1}, {"alpha": -1.0}, {"beta": float("nan")}, {"optimizer": "adm"}])
def test_settings_that_make_no_sense_are_refused(setting):
    with pytest.raises(GannetError):
        SSDH(4, n_steps=1, **setting).fit(clusters()[0])
