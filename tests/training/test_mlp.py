"""The network with one hidden layer."""

import numpy as np
import pytest

from gannet.methods.cibhash import UnitMLP

torch = pytest.importorskip("torch", reason="learning needs torch")

from gannet.training.mlp import MLP  # noqa: E402


def unit_rows(n, d, seed=0):
    return torch.nn.functional.normalize(torch.randn(n, d, generator=torch.Generator().manual_seed(seed)), dim=1)


@pytest.mark.parametrize("hidden", [1, 255, 256, 700])
def test_threads_share_the_hidden_layer_without_changing_values_or_gradients(hidden):
    inputs, network = unit_rows(9, 20), MLP(20, hidden, 5)
    values = network(inputs)
    plain = network.output(torch.relu(network.hidden(20**0.5 * inputs)))
    torch.testing.assert_close(values, plain, rtol=1e-5, atol=1e-6)
    pull = torch.randn(9, 5, generator=torch.Generator().manual_seed(1))
    parameters = list(network.parameters())
    for found, expected in zip(
        torch.autograd.grad(values, parameters, pull), torch.autograd.grad(plain, parameters, pull), strict=True
    ):
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)
        assert found.abs().max() > 0


@pytest.mark.parametrize("normalized", [False, True])
def test_the_encoder_has_the_values_of_the_network_on_all_items(normalized):
    torch.manual_seed(0)
    inputs, network = unit_rows(60, 12), MLP(12, 30, 7, normalized)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter += 0.1 * torch.randn(parameter.shape)
        expected = network(inputs)
    encoder = UnitMLP(np.zeros(12, np.float32), *network.arrays(inputs))
    np.testing.assert_allclose(encoder.values(inputs.numpy()), expected.numpy(), atol=1e-4)


def test_values_of_a_normalized_network_have_mean_0_and_variance_1_in_every_batch():
    network = MLP(12, 30, 7, normalized=True)
    for seed in (0, 1):
        values = network(3 * unit_rows(40, 12, seed) + 1)
        torch.testing.assert_close(values.mean(dim=0), torch.zeros(7), atol=1e-5, rtol=0)
        torch.testing.assert_close(values.var(dim=0, correction=0), torch.ones(7), atol=1e-3, rtol=0)
