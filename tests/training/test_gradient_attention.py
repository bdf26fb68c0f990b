"""Gradient attention against its definition, its two known facts, and finite differences."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from gannet import GradientAttention
from gannet.training.preprocessing import PRECISION, preprocess

BITS = [1, 7, 24, 63, 65, 128]


def reference(attention: GradientAttention, a: Tensor, b: Tensor, gradient: Tensor) -> tuple[Tensor, Tensor]:
    """Section 1 of the method, literally: five inputs a side, pair and bit; softmax over the two sides."""
    pair_a, pair_b = gradient[:, :, None] * b[None], gradient[:, :, None] * a[:, None]
    batch_a, batch_b = pair_a.sum(1, keepdim=True), pair_b.sum(0, keepdim=True)

    def score(codes: Tensor, pair: Tensor, batch: Tensor) -> Tensor:
        columns = [codes.expand_as(pair)[..., None], preprocess(pair), preprocess(batch).expand(*pair.shape, 2)]
        return attention.fc_out(torch.relu(attention.fc_in(torch.cat(columns, dim=-1))))[..., 0]

    weights = torch.softmax(torch.stack([score(a[:, None], pair_a, batch_a), score(b[None], pair_b, batch_b)]), dim=0)
    return (2 * weights[0] * pair_a).sum(1), (2 * weights[1] * pair_b).sum(0)


def problem(n: int, m: int, k: int, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor, Tensor]:
    torch.manual_seed(n * 10000 + m * 100 + k)
    a, b = torch.tanh(torch.randn(n, k, dtype=dtype)), torch.tanh(torch.randn(m, k, dtype=dtype))
    gradient = torch.randn(n, m, dtype=dtype) * torch.rand(n, m, dtype=dtype) ** 8
    gradient[0, 0] = 0
    gradient[-1] *= 1e-7  # below e^-p: the other branch of the preprocessing
    return a, b, gradient


@pytest.mark.parametrize("k", BITS)
def test_equals_the_definition_with_its_gradients(k: int) -> None:
    a, b, gradient = problem(6, 9, k)
    attention = GradientAttention(hidden=11).double()
    results = []
    for function in (reference, GradientAttention.__call__):
        attention.zero_grad()
        weighted_a, weighted_b = function(attention, a, b, gradient)
        (weighted_a.square().sum() + (weighted_b * b).sum()).backward()
        gradients = [p.grad.clone() for p in (attention.fc_in.weight, attention.fc_in.bias, attention.fc_out.weight)]
        results.append([weighted_a.detach(), weighted_b.detach(), *gradients])
    for ours, theirs in zip(*results, strict=True):
        assert torch.isfinite(ours).all() and ours.abs().sum() > 0
        torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-12)


def test_single_precision_stays_within_1e_5() -> None:
    a, b, gradient = problem(32, 24, 64, torch.float32)
    attention = GradientAttention()
    for ours, theirs in zip(attention(a, b, gradient), reference(attention, a, b, gradient), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)


def test_backward_agrees_with_finite_differences() -> None:
    a, b, gradient = problem(3, 4, 5)
    attention = GradientAttention(hidden=4).double()
    with torch.no_grad():
        attention.fc_in.bias += 0.3

    def loss(in_weight: Tensor, in_bias: Tensor, out_weight: Tensor) -> Tensor:
        parameters = {"fc_in.weight": in_weight, "fc_in.bias": in_bias, "fc_out.weight": out_weight}
        return torch.cat(torch.func.functional_call(attention, parameters, (a, b, gradient)))

    inputs = [p.detach().clone().requires_grad_() for p in attention.parameters()][:3]
    assert torch.autograd.gradcheck(loss, inputs, eps=1e-6, atol=1e-5)


@settings(max_examples=25, deadline=None)
@given(n=st.integers(1, 9), m=st.integers(1, 9), k=st.sampled_from(BITS))
def test_equal_weights_give_the_plain_gradient(n: int, m: int, k: int) -> None:
    a, b, gradient = problem(n, m, k)
    attention = GradientAttention(hidden=3).double()
    torch.nn.init.zeros_(attention.fc_out.weight)  # equal scores on both sides
    weighted_a, weighted_b = attention(a, b, gradient)
    torch.testing.assert_close(weighted_a, gradient @ b, rtol=1e-12, atol=1e-14)
    torch.testing.assert_close(weighted_b, gradient.T @ a, rtol=1e-12, atol=1e-14)


def test_all_weight_on_one_side_ends_the_dilemma() -> None:
    """A similar pair (+0.1, -0.1) under a step that flips signs: (1, 0) makes the bits agree, (1/2, 1/2) does not."""
    a, b, gradient = torch.tensor([[0.1]]), torch.tensor([[-0.1]]), torch.tensor([[-1.0]])
    attention = GradientAttention(hidden=1)
    with torch.no_grad():
        attention.fc_in.weight.zero_()
        attention.fc_in.weight[0, 0] = 1000.0  # only the positive side passes the ReLU: its score is the larger
        attention.fc_in.bias.zero_()
        attention.fc_out.weight.fill_(1.0)
    step = 1.5
    one_sided = [code - step * g for code, g in zip((a, b), attention(a, b, gradient), strict=True)]
    plain = [a - step * gradient @ b, b - step * gradient.T @ a]
    assert torch.sign(plain[0]) != torch.sign(plain[1])
    assert torch.sign(one_sided[0]) == torch.sign(one_sided[1])
    assert one_sided[1].item() == pytest.approx(-0.1)


def test_preprocessing_has_its_two_branches() -> None:
    smallest = torch.exp(torch.tensor(-PRECISION, dtype=torch.float64)).item()
    gradients = torch.tensor([1.0, -1.0, smallest, smallest / 2, 0.0], dtype=torch.float64)
    expected = torch.tensor([[0, 1], [0, -1], [-1, 1], [-1, 0.5], [-1, 0]], dtype=torch.float64)
    torch.testing.assert_close(preprocess(gradients), expected)


def test_the_public_module_has_the_published_layers() -> None:
    attention = GradientAttention(hidden=100)
    assert attention.fc_in.weight.shape == (100, 5)
    assert attention.fc_out.weight.shape == (1, 100)
