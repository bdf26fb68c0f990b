"""The training loop: the look-ahead gradient against double backward, and losses against their formulas."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from gannet import GradientAttention
from gannet.errors import GannetError
from gannet.training.losses import likelihood_loss, pair_loss, squared_loss
from gannet.training.similarity import check_threshold, thresholded_cosine
from gannet.training.trainer import PairwiseTrainer, Schedule, look_ahead_gradient, step_per_gradient


def network() -> nn.Module:
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 4)).double()


def batch() -> tuple[Tensor, Tensor]:
    torch.manual_seed(2)
    return torch.randn(7, 6, dtype=torch.float64), (torch.rand(4, 3) > 0.5).double()


def loss_of(codes: Tensor, similarity: Tensor) -> Tensor:
    n = len(similarity)
    return squared_loss(codes[:n] @ codes[n:].T, similarity, codes.shape[1]).sum() / n


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_look_ahead_gradient_equals_double_backward(optimizer: str) -> None:
    """Differentiate through the optimizer's step itself, with a second-order graph, and compare."""
    inputs, similarity = batch()
    model = network()
    schedule = Schedule(1, 4, optimizer, 0.01)
    trainer = PairwiseTrainer(model, squared_loss, schedule)
    trainer.step(inputs, similarity)  # so that Adam has moments
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    names = list(before)

    def codes(weights: dict[str, Tensor]) -> Tensor:
        return torch.tanh(torch.func.functional_call(model, weights, (inputs,)))

    leaves = {name: value.clone().requires_grad_() for name, value in before.items()}
    outputs = codes(leaves)
    n = len(similarity)
    weighted = torch.randn_like(outputs).requires_grad_()
    steps = torch.autograd.grad(outputs, list(leaves.values()), weighted, create_graph=True)

    model.zero_grad()
    torch.tanh(model(inputs)).backward(weighted.detach())
    trainer.optimizer.step()
    rates = [step_per_gradient(trainer.optimizer, p) for p in model.parameters()]
    moved = {}
    for name, rate, step, p in zip(names, rates, steps, model.parameters(), strict=True):
        # The same point that the optimizer reached, but differentiable in the weighted derivatives.
        linear = -rate * step
        moved[name] = p.detach() + linear - linear.detach()
    (expected,) = torch.autograd.grad(loss_of(codes(moved), similarity), weighted)

    ahead = {name: p.detach().clone().requires_grad_() for name, p in model.named_parameters()}
    gradients = torch.autograd.grad(loss_of(codes(ahead), similarity), list(ahead.values()))
    descent = {name: rate * g for name, rate, g in zip(names, rates, gradients, strict=True)}
    ours = look_ahead_gradient(codes, before, descent)
    assert ours.shape == (len(inputs), 4) and n == 4
    assert (ours - expected).norm() / expected.norm() < 1e-4


@pytest.mark.parametrize("momentum_steps", [0, 3])
def test_step_per_gradient_is_how_far_sgd_moves(momentum_steps: int) -> None:
    model = nn.Linear(2, 1, bias=False)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    for _ in range(momentum_steps):
        model.weight.grad = torch.ones_like(model.weight)
        optimizer.step()
    rate = step_per_gradient(optimizer, model.weight)
    reached = []
    state = {k: v.clone() for k, v in optimizer.state[model.weight].items() if v is not None}
    start = model.weight.detach().clone()
    for gradient in (1.0, 2.0):
        with torch.no_grad():
            model.weight.copy_(start)
        optimizer.state[model.weight] = {k: v.clone() for k, v in state.items()}
        model.weight.grad = torch.full_like(model.weight, gradient)
        optimizer.step()
        reached.append(model.weight.detach().clone())
    torch.testing.assert_close(reached[0] - reached[1], torch.full_like(start, rate))


def test_one_step_trains_both_networks_with_finite_non_zero_gradients() -> None:
    inputs, similarity = batch()
    model, attention = network(), GradientAttention(hidden=6).double()
    before = [p.detach().clone() for p in (*model.parameters(), *attention.parameters())]
    PairwiseTrainer(model, squared_loss, Schedule(1, 4, "adam", 0.01), attention).step(inputs, similarity)
    parameters = [*model.parameters(), *attention.parameters()]
    for name, (old, new) in enumerate(zip(before, parameters, strict=True)):
        if new is attention.fc_out.bias:
            continue  # it cancels in the softmax
        assert new.grad is not None and torch.isfinite(new.grad).all(), name
        assert new.grad.abs().sum() > 0, name
        assert not torch.equal(old, new), name


def test_attention_frozen_at_one_half_trains_like_the_plain_gradient() -> None:
    inputs, similarity = batch()
    results = []
    for attention in (None, GradientAttention(hidden=3).double()):
        model = network()
        if attention is not None:
            nn.init.zeros_(attention.fc_out.weight)
        trainer = PairwiseTrainer(model, squared_loss, Schedule(1, 4, "sgd", 0.1), attention, 0.0)
        for _ in range(3):
            trainer.step(inputs, similarity)
        results.append(torch.cat([p.detach().flatten() for p in model.parameters()]))
    torch.testing.assert_close(results[0], results[1], rtol=1e-10, atol=1e-12)


def test_attention_learns_at_all_of_the_first_quarter_then_at_every_nth_step() -> None:
    inputs, similarity = batch()
    attention = GradientAttention(hidden=6).double()
    trainer = PairwiseTrainer(network(), squared_loss, Schedule(16, 4, "adam", 0.01), attention, attention_every=3)
    learned = []
    for step in range(16):
        before = attention.fc_in.weight.detach().clone()
        trainer.step(inputs, similarity)
        if not torch.equal(before, attention.fc_in.weight):
            learned.append(step)
    assert learned == [0, 1, 2, 3, 6, 9, 12, 15]


def test_attention_learns_the_weights_that_lower_the_loss_most() -> None:
    """Take the same first step again and again: as attention learns, that one step must reach a lower loss."""
    inputs, similarity = batch()
    attention = GradientAttention(hidden=16).double()
    optimizer = torch.optim.Adam(attention.parameters(), lr=0.05)
    reached = []
    for _ in range(60):
        model = network()
        trainer = PairwiseTrainer(model, squared_loss, Schedule(1, 4, "sgd", 0.5), attention)
        trainer.attention_optimizer = optimizer
        trainer.step(inputs, similarity)
        reached.append(loss_of(torch.tanh(model(inputs)), similarity).item())
    model = network()
    PairwiseTrainer(model, squared_loss, Schedule(1, 4, "sgd", 0.5)).step(inputs, similarity)
    plain = loss_of(torch.tanh(model(inputs)), similarity).item()
    assert reached[-1] < reached[0]
    assert reached[-1] < plain


def test_losses_equal_their_formulas() -> None:
    products, similarity = torch.tensor([[3.0, -2.0]]), torch.tensor([[1.0, 0.0]])
    expected = [(3 / 8 - 1) ** 2, (-2 / 8) ** 2]
    assert squared_loss(products, similarity, 8).tolist()[0] == pytest.approx(expected)
    expected = [math.log1p(math.exp(0.3 * 3)) - 0.3 * 3, math.log1p(math.exp(-0.3 * 2))]
    assert likelihood_loss(products, similarity, 8, 0.3).tolist()[0] == pytest.approx(expected)
    dissimilar = torch.tensor([[1.0, -1.0]])
    assert likelihood_loss(products, dissimilar, 8).tolist() == likelihood_loss(products, similarity, 8).tolist()
    with pytest.raises(GannetError, match="did you mean 'squared'"):
        pair_loss("sqared")


@pytest.mark.parametrize("dissimilar", [0.0, -1.0])
def test_similarity_is_a_thresholded_cosine(dissimilar: float) -> None:
    features = torch.nn.functional.normalize(torch.from_numpy(np.random.default_rng(0).normal(size=(9, 4))))
    a, b = torch.tensor([0, 5]), torch.tensor([3, 1, 8])
    similarity = thresholded_cosine(features, 0.1, dissimilar)(a, b)
    for i, row in enumerate(a):
        for j, column in enumerate(b):
            cosine = float(features[row] @ features[column])
            assert similarity[i, j].item() == (1.0 if cosine > 0.1 else dissimilar)


@pytest.mark.parametrize(
    "schedule", [{"optimizer": "adamm"}, {"n_steps": 0}, {"batch_size": 1}, {"learning_rate": 0.0}]
)
def test_impossible_schedules_are_refused(schedule: dict[str, object]) -> None:
    usual = {"n_steps": 1, "batch_size": 4, "optimizer": "adam", "learning_rate": 0.1}
    with pytest.raises(GannetError):
        Schedule(**(usual | schedule))  # type: ignore[arg-type]


@pytest.mark.parametrize("threshold", [-0.99, 0.9999, 5.0, float("nan")])
def test_thresholds_that_would_collapse_the_codes_are_refused(threshold: float) -> None:
    features = torch.nn.functional.normalize(torch.from_numpy(np.random.default_rng(0).normal(size=(300, 8))))
    with pytest.raises(GannetError, match="similarity_threshold"):
        check_threshold(features, threshold)
    check_threshold(features, 0.2)
