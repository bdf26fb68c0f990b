import numpy as np
import pytest

from gannet.errors import GannetError
from gannet.methods.greedyhash import GreedyHash

torch = pytest.importorskip("torch", reason="learning needs torch")

from gannet.training.batch_losses import greedy_loss, signs, straight_through  # noqa: E402


def batch(n, n_bits, seed=0):
    generator = torch.Generator().manual_seed(seed)
    unit = torch.nn.functional.normalize(torch.randn(n, 6, generator=generator), dim=1)
    return torch.randn(n, n_bits, generator=generator, requires_grad=True), unit


@pytest.mark.parametrize("n_bits", [1, 7, 24, 65])
@pytest.mark.parametrize("penalty", [0.0, 0.1, 2.0])
def test_the_loss_against_a_slow_loop(n_bits, penalty):
    values, unit = batch(8, n_bits)
    h = values.detach().numpy().astype(np.float64)
    b = np.where(h >= 0, 1, -1)
    pairs = [(b[i] @ b[j] / n_bits - float(unit[i] @ unit[j])) ** 2 for i in range(4) for j in range(4, 8)]
    cubic = np.mean([abs(abs(x) - 1) ** 3 for x in h.ravel()])
    loss = greedy_loss(values, unit, penalty)
    assert loss.item() == pytest.approx(np.mean(pairs) + penalty * cubic, abs=1e-5)
    loss.backward()
    assert torch.isfinite(values.grad).all()
    assert values.grad.abs().max() > 0


def test_the_gradient_of_the_sign_passes_straight_through():
    values = torch.tensor([[-2.0, 0.0, 0.3]], requires_grad=True)
    codes = straight_through(signs(values), values)
    assert codes.tolist() == [[-1, 1, 1]]
    codes.backward(torch.tensor([[5.0, -7.0, 0.5]]))
    assert values.grad.tolist() == [[5.0, -7.0, 0.5]]


def test_the_penalty_pulls_values_towards_their_signs():
    values, unit = batch(8, 5)
    (plain,) = torch.autograd.grad(greedy_loss(values, unit, 0.0), values)
    (pulled,) = torch.autograd.grad(greedy_loss(values, unit, 1.0), values)
    inside = values.abs() < 1
    outward = (plain - pulled) * values.sign()
    assert (outward[inside] > 0).all() and (outward[~inside] < 0).all()


def test_training_brings_code_cosines_to_feature_cosines():
    from gannet.encoders import center_and_normalize

    features = np.random.default_rng(0).normal(size=(400, 12)).astype(np.float32)
    unit = center_and_normalize(features, np.zeros(12, np.float32))

    def error(n_steps):
        hasher = GreedyHash(63, n_steps=n_steps, batch_size=64).fit(features)
        codes = np.where(hasher.decision_function(features) >= 0, 1, -1)
        return np.square(codes @ codes.T / 63 - unit @ unit.T).mean()

    assert error(200) < 0.6 * error(1)


@pytest.mark.parametrize("setting", [{"penalty": -1.0}, {"similarity": "cosin"}, {"learning_rate": 0.0}])
def test_settings_that_make_no_sense_are_refused(setting):
    with pytest.raises(GannetError):
        GreedyHash(4, **setting).fit(np.random.default_rng(0).normal(size=(20, 3)))
