import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gannet.errors import GannetError
from gannet.methods.bihalf import BiHalf

torch = pytest.importorskip("torch", reason="learning needs torch")

from gannet.training.batch_losses import bi_half, bi_half_loss, relation_loss, straight_through  # noqa: E402


def batch(n, n_bits, seed=0):
    generator = torch.Generator().manual_seed(seed)
    unit = torch.nn.functional.normalize(torch.randn(n, 6, generator=generator), dim=1)
    return torch.randn(n, n_bits, generator=generator, requires_grad=True), unit


@given(st.integers(1, 60), st.sampled_from([1, 7, 24, 63, 65, 128]), st.integers(0, 1000), st.booleans())
@settings(deadline=None)
def test_every_bit_of_a_batch_is_balanced(n, n_bits, seed, tied):
    values = torch.randn(n, n_bits, generator=torch.Generator().manual_seed(seed)) + 3
    if tied:
        values = values.round()
    codes = bi_half(values)
    assert ((codes == 1) | (codes == -1)).all()
    assert ((codes == 1).sum(dim=0) == n // 2).all()


@given(st.integers(2, 40), st.integers(0, 1000))
@settings(deadline=None)
def test_the_upper_half_is_positive(n, seed):
    values = torch.randn(n, 5, generator=torch.Generator().manual_seed(seed))
    codes = bi_half(values)
    for bit in range(5):
        column, code = values[:, bit], codes[:, bit]
        assert column[code == 1].min() > column[code == -1].max()


def test_no_other_balanced_codes_are_nearer_to_the_values():
    from itertools import combinations

    values, _ = batch(6, 1, seed=3)
    column = values.detach()[:, 0]
    costs = []
    for positive in combinations(range(6), 3):
        code = -torch.ones(6)
        code[list(positive)] = 1
        costs.append(float((column - code).square().sum()))
    assert float((column - bi_half(values)[:, 0]).square().sum()) == pytest.approx(min(costs))


@pytest.mark.parametrize("n_bits", [1, 7, 24])
def test_the_loss_against_a_slow_loop(n_bits):
    values, unit = batch(10, n_bits)
    codes = bi_half(values)
    pairs = [
        (sum(float(codes[i, b] * codes[j, b]) for b in range(n_bits)) / n_bits - float(unit[i] @ unit[j])) ** 2
        for i in range(5)
        for j in range(5, 10)
    ]
    assert relation_loss(codes, unit).item() == pytest.approx(np.mean(pairs), abs=1e-5)
    assert bi_half_loss(values, unit, 0.0).item() == pytest.approx(np.mean(pairs), abs=1e-5)


@pytest.mark.parametrize("gamma", [0.0, 6.0])
def test_the_gradient_is_the_codes_own_plus_the_pull(gamma):
    values, unit = batch(10, 7)
    codes = bi_half(values).requires_grad_()
    (through,) = torch.autograd.grad(relation_loss(codes, unit), codes)
    (gradient,) = torch.autograd.grad(bi_half_loss(values, unit, gamma), values)
    expected = through + gamma * (values.detach() - codes.detach()) / 70
    torch.testing.assert_close(gradient, expected)
    assert torch.isfinite(gradient).all() and gradient.abs().max() > 0


def test_straight_through_codes_stay_exact():
    values, _ = batch(20, 9)
    assert torch.equal(straight_through(bi_half(values), values * 1e6), bi_half(values))


def test_learned_bits_are_nearly_balanced_on_new_items():
    random = np.random.default_rng(0)
    features = np.abs(random.normal(size=(1200, 20))).astype(np.float32)
    hasher = BiHalf(24, n_steps=150, batch_size=64).fit(features[:600])
    share = np.unpackbits(hasher.transform(features[600:]), axis=1, count=24).mean(axis=0)
    assert (np.abs(share - 0.5) < 0.12).all()


@pytest.mark.parametrize("setting", [{"gamma": -1.0}, {"similarity": "cosin"}, {"n_steps": 0}, {"batch_size": 1}])
def test_settings_that_make_no_sense_are_refused(setting):
    with pytest.raises(GannetError):
        BiHalf(4, **setting).fit(np.random.default_rng(0).normal(size=(20, 3)))
