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
from gannet.training.optimizers import make_optimizer, step_per_gradient
from gannet.training.schedule import Schedule
from gannet.training.similarity import check_threshold, thresholded_cosine
from gannet.training.trainer import PairwiseTrainer, look_ahead_gradient


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
    trainer = PairwiseTrainer(model, squared_loss, optimizer=optimizer, learning_rate=0.01)
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


@pytest.mark.parametrize(("name", "n_steps"), [("sgd", 0), ("sgd", 3), ("adam", 3)])
def test_step_per_gradient_is_how_far_an_optimizer_moves(name: str, n_steps: int) -> None:
    """Take the next step with gradients that differ a little, and compare where it leads."""
    model = nn.Linear(2, 1, bias=False).double()
    optimizer = make_optimizer(name, model.parameters(), 0.1)

    def step(gradient: float) -> None:
        model.weight.grad = torch.full_like(model.weight, gradient)
        optimizer.step()

    for _ in range(n_steps):
        step(1.0)
    state = {k: v.clone() for k, v in optimizer.state[model.weight].items() if v is not None}
    start = model.weight.detach().clone()
    reached = []
    # Adam's preconditioner is held constant: its own change with the gradient is taken out by a large past moment.
    if name == "adam":
        state["exp_avg_sq"].fill_(1e6)
    for gradient in (1.0, 2.0):
        with torch.no_grad():
            model.weight.copy_(start)
        optimizer.state[model.weight] = {k: v.clone() for k, v in state.items()}
        step(gradient)
        reached.append(model.weight.detach().clone())
    moved = torch.as_tensor(step_per_gradient(optimizer, model.weight), dtype=torch.float64)
    torch.testing.assert_close(reached[0] - reached[1], moved.expand_as(start), rtol=1e-4, atol=0)


class Renamed(torch.optim.SGD):
    """A subclass, which may move weights in another way."""


@pytest.mark.parametrize(
    "make",
    [torch.optim.AdamW, torch.optim.RMSprop, torch.optim.Adagrad, torch.optim.NAdam, torch.optim.Adamax, Renamed],
)
def test_optimizers_with_an_unknown_step_are_refused_with_attention(make: type[torch.optim.Optimizer]) -> None:
    inputs, similarity = batch()
    model = network()
    optimizer = make(model.parameters(), lr=0.01)
    with pytest.raises(GannetError, match=rf"{make.__name__} .*use torch.optim.Adam or torch.optim.SGD"):
        PairwiseTrainer(model, optimizer=optimizer, attention=GradientAttention().double())
    with pytest.raises(GannetError, match=make.__name__):
        step_per_gradient(optimizer, next(model.parameters()))
    # The plain gradient looks at no step, so that any optimizer serves.
    before = next(model.parameters()).detach().clone()
    PairwiseTrainer(model, optimizer=optimizer).step(inputs, similarity)
    assert not torch.equal(before, next(model.parameters()))


@pytest.mark.parametrize(
    ("make", "option"),
    [
        (torch.optim.SGD, {"nesterov": True, "momentum": 0.9}),
        (torch.optim.SGD, {"dampening": 0.1, "momentum": 0.9}),
        (torch.optim.SGD, {"maximize": True}),
        (torch.optim.Adam, {"maximize": True}),
        (torch.optim.Adam, {"amsgrad": True}),
    ],
)
def test_options_with_an_unknown_step_are_refused_with_attention(make: type, option: dict[str, object]) -> None:
    model = network()
    with pytest.raises(GannetError, match=f"{make.__name__} with {next(iter(option))}"):
        PairwiseTrainer(model, optimizer=make(model.parameters(), lr=0.01, **option), attention=GradientAttention())


def test_one_step_trains_both_networks_with_finite_non_zero_gradients() -> None:
    inputs, similarity = batch()
    model, attention = network(), GradientAttention(hidden=6).double()
    before = [p.detach().clone() for p in (*model.parameters(), *attention.parameters())]
    PairwiseTrainer(model, squared_loss, learning_rate=0.01, attention=attention).step(inputs, similarity)
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
        trainer = PairwiseTrainer(
            model, squared_loss, optimizer="sgd", learning_rate=0.1, attention=attention, attention_learning_rate=0.0
        )
        for _ in range(3):
            trainer.step(inputs, similarity)
        results.append(torch.cat([p.detach().flatten() for p in model.parameters()]))
    torch.testing.assert_close(results[0], results[1], rtol=1e-10, atol=1e-12)


def test_attention_learns_at_all_of_the_first_quarter_then_at_every_nth_step() -> None:
    inputs, similarity = batch()
    attention = GradientAttention(hidden=6).double()
    trainer = PairwiseTrainer(network(), squared_loss, attention=attention, attention_every=3, n_steps=16)
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
        trainer = PairwiseTrainer(model, squared_loss, optimizer="sgd", learning_rate=0.5, attention=attention)
        trainer.attention_optimizer = optimizer
        trainer.step(inputs, similarity)
        reached.append(loss_of(torch.tanh(model(inputs)), similarity).item())
    model = network()
    PairwiseTrainer(model, squared_loss, optimizer="sgd", learning_rate=0.5).step(inputs, similarity)
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


# Somebody's own network and loop


def conv_network() -> nn.Module:
    torch.manual_seed(3)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, bias=False), nn.BatchNorm2d(4), nn.ReLU(inplace=True), nn.Dropout2d(0.3), nn.Flatten(),
        nn.Linear(4 * 36, 12, bias=False), nn.BatchNorm1d(12), nn.Tanh(), nn.Dropout(), nn.Linear(12, 7),
    )  # fmt: skip


def image_batch(n: int = 10, m: int = 6) -> tuple[Tensor, Tensor]:
    torch.manual_seed(4)
    return torch.rand(n + m, 1, 8, 8), (torch.rand(n, m) > 0.7).float()


@pytest.mark.parametrize("attends", [True, False])
@pytest.mark.parametrize(
    "optimizer",
    [
        "adam",
        "sgd",
        lambda p: torch.optim.Adam(p, lr=0.01, weight_decay=0.01),
        lambda p: torch.optim.SGD(p, lr=0.05, weight_decay=0.01),
    ],
)
def test_a_step_trains_any_network(attends: bool, optimizer) -> None:
    inputs, similarity = image_batch()
    model = conv_network()
    attention = GradientAttention() if attends else None
    own = optimizer if isinstance(optimizer, str) else optimizer(model.parameters())

    def loss(products: Tensor, similarity: Tensor, n_bits: int) -> Tensor:
        return (products / n_bits - similarity).abs() ** 1.5

    trainer = PairwiseTrainer(model, loss, optimizer=own, learning_rate=0.01, attention=attention)
    modules = [model] if attention is None else [model, attention]
    before = {p: p.detach().clone() for module in modules for p in module.parameters()}
    for step in range(1, 4):
        value = trainer.step(inputs, similarity)
        assert value.shape == () and torch.isfinite(value) and not value.requires_grad
        codes = trainer.codes
        assert codes.shape == (16, 7)
        expected = loss(codes[:10] @ codes[10:].T, similarity, 7).sum() / 10
        torch.testing.assert_close(value, expected)
        assert trainer.step_count == step
        for parameter in before:
            if attention is not None and parameter is attention.fc_out.bias:
                continue  # it cancels in the softmax
            assert parameter.grad is not None and torch.isfinite(parameter.grad).all()
    for parameter, old in before.items():
        if attention is not None and parameter is attention.fc_out.bias:
            continue
        assert parameter.grad.abs().sum() > 0 and not torch.equal(parameter, old)


def test_a_look_ahead_leaves_running_statistics_alone() -> None:
    inputs, similarity = image_batch()
    statistics = []
    for attention in (None, GradientAttention()):
        if attention is not None:
            nn.init.zeros_(attention.fc_out.weight)  # divides derivatives evenly, as the plain gradient does
        model = conv_network()
        trainer = PairwiseTrainer(model, optimizer="sgd", attention=attention, attention_learning_rate=0.0)
        for _ in range(3):
            trainer.step(inputs, similarity)
        statistics.append({name: buffer.clone() for name, buffer in model.named_buffers()})
        assert statistics[-1]["1.num_batches_tracked"] == 3
    for name, buffer in statistics[0].items():
        torch.testing.assert_close(statistics[1][name], buffer, rtol=1e-3, atol=1e-4)


def test_the_look_ahead_differentiates_the_step_of_a_network_with_batch_statistics_and_dropout(monkeypatch) -> None:
    """Weights lead to the codes of the step: the same batch statistics, the same dropout masks."""
    from gannet.training import trainer as module

    seen = []

    def looking(codes, weights, descent):
        seen.append(codes(weights))
        return look_ahead_gradient(codes, weights, descent)

    monkeypatch.setattr(module, "look_ahead_gradient", looking)
    trainer = PairwiseTrainer(conv_network(), attention=GradientAttention(), seed=8)
    inputs, similarity = image_batch()
    state = torch.random.get_rng_state()
    trainer.step(inputs, similarity)
    assert torch.equal(torch.random.get_rng_state(), state)
    torch.testing.assert_close(seen[0], trainer.codes)
    first = trainer.codes
    again = PairwiseTrainer(conv_network(), seed=9)
    again.step(inputs, similarity)
    assert not torch.allclose(first, again.codes)  # other masks


def test_frozen_layers_do_not_change() -> None:
    """An optimizer of the last layer alone; the rest of the network needs no gradient, or has one nobody uses."""
    inputs, similarity = image_batch()
    for needs_gradient in (False, True):
        model = conv_network()
        model[0].requires_grad_(needs_gradient)
        optimizer = torch.optim.Adam(model[-1].parameters(), lr=0.1)
        attention = GradientAttention()
        before = {name: p.detach().clone() for name, p in model.named_parameters()}
        learns = attention.fc_in.weight.detach().clone()
        PairwiseTrainer(model, optimizer=optimizer, attention=attention).step(inputs, similarity)
        moved = {name for name, p in model.named_parameters() if not torch.equal(before[name], p)}
        assert moved == {"9.weight", "9.bias"}
        assert not torch.equal(learns, attention.fc_in.weight)


def test_a_training_with_attention_lowers_the_loss() -> None:
    torch.manual_seed(0)
    classes = torch.arange(48) % 3
    inputs = torch.eye(3)[classes] @ torch.rand(3, 64) + 0.1 * torch.randn(48, 64)
    similarity = (classes[:24, None] == classes[None, 24:]).float()
    trainer = PairwiseTrainer(conv_network(), attention=GradientAttention(), learning_rate=0.01, tanh_growth=0.01)
    losses = [float(trainer.step(inputs.view(48, 1, 8, 8), similarity)) for _ in range(40)]
    assert losses[-1] < 0.5 * losses[0]


@pytest.mark.parametrize("moves_bias", [True, False])
def test_attention_learns_the_same_on_a_linear_layer_as_by_forward_mode(moves_bias: bool) -> None:
    """The look-ahead of a linear layer is in closed form, that of any other network by forward mode."""
    learned = []
    for wrap in (lambda layer: layer, nn.Sequential):
        torch.manual_seed(0)
        layer, attention = nn.Linear(6, 5).double(), GradientAttention(4).double()
        optimizer = torch.optim.Adam(layer.parameters() if moves_bias else [layer.weight], lr=0.05)
        trainer = PairwiseTrainer(wrap(layer), optimizer=optimizer, attention=attention, tanh_growth=0.5)
        generator = torch.Generator().manual_seed(1)
        for _ in range(4):
            inputs = torch.randn(14, 6, generator=generator, dtype=torch.float64)
            trainer.step(inputs, torch.rand(8, 6, generator=generator).round().double())
        learned.append([p.detach() for p in attention.parameters()])
    for closed, forward in zip(*learned, strict=True):
        torch.testing.assert_close(closed, forward, rtol=1e-9, atol=1e-12)


def test_similarities_of_another_batch_are_refused() -> None:
    inputs, similarity = image_batch()
    with pytest.raises(GannetError, match=r"similarity of shape \(10, 5\) does not fit a batch of 16 inputs"):
        PairwiseTrainer(conv_network()).step(inputs, similarity[:, :5])
