import numpy as np
import pytest

from gannet.errors import GannetError
from gannet.methods.usdh import USDH

torch = pytest.importorskip("torch", reason="learning needs torch")

from gannet.training.batch_losses import semantic_loss  # noqa: E402


def batch(n, n_bits, seed=0):
    generator = torch.Generator().manual_seed(seed)
    unit = torch.nn.functional.normalize(torch.randn(n, 6, generator=generator), dim=1)
    return torch.randn(n, n_bits, generator=generator, requires_grad=True), unit


@pytest.mark.parametrize("n_bits", [1, 7, 24, 65])
@pytest.mark.parametrize(("quantization", "balance"), [(0.0, 0.0), (0.5, 0.0), (0.0, 2.0), (0.1, 1.0)])
def test_the_loss_against_a_slow_loop(n_bits, quantization, balance):
    values, unit = batch(8, n_bits)
    u = np.tanh(values.detach().numpy().astype(np.float64))
    relations = [(u[i] @ u[j] / n_bits - float(unit[i] @ unit[j])) ** 2 for i in range(4) for j in range(4, 8)]
    rounding = [(x - (1 if x >= 0 else -1)) ** 2 for x in u.ravel()]
    means = [u[:, bit].mean() ** 2 for bit in range(n_bits)]
    expected = np.mean(relations) + quantization * np.mean(rounding) + balance * np.mean(means)
    loss = semantic_loss(values, unit, quantization, balance)
    assert float(loss) == pytest.approx(expected, abs=1e-5)
    loss.backward()
    assert torch.isfinite(values.grad).all() and values.grad.abs().max() > 0


def test_the_balance_term_is_zero_where_a_bit_has_most_entropy():
    unit = torch.zeros(4, 3)
    balanced = torch.tensor([[9.0], [9.0], [-9.0], [-9.0]])
    loaded = torch.tensor([[9.0], [9.0], [9.0], [-9.0]])
    terms = [float(semantic_loss(v, unit, 0, 1) - semantic_loss(v, unit, 0, 0)) for v in (balanced, loaded)]
    assert terms == pytest.approx([0, 0.25], abs=1e-4)


def learned(**settings):
    features = np.abs(np.random.default_rng(0).normal(size=(500, 16))).astype(np.float32)
    values = USDH(16, n_steps=150, batch_size=64, **settings).fit(features).decision_function(features)
    return np.tanh(values)


def test_the_quantization_weight_drives_codes_to_their_signs():
    loose, tight = (np.abs(learned(quantization=weight)).mean() for weight in (0.0, 1.0))
    assert tight > 1.2 * loose


def test_the_balance_weight_evens_the_bits():
    free, even = (
        np.abs(np.sign(learned(balance=weight, similarity="cosine")).mean(axis=0)).mean() for weight in (0.0, 10.0)
    )
    assert even < 0.5 * free


@pytest.mark.parametrize("setting", [{"quantization": -1.0}, {"balance": -0.1}, {"similarity": "cosin"}])
def test_settings_that_make_no_sense_are_refused(setting):
    with pytest.raises(GannetError):
        USDH(4, **setting).fit(np.random.default_rng(0).normal(size=(20, 3)))
