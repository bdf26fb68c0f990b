"""The training loop of pairwise hashing, with the plain gradient or with gradient attention."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, jvp

from gannet.errors import GannetError, unknown_name
from gannet.support.progress import progress
from gannet.training.gradient_attention import GradientAttention
from gannet.training.health import check_values, is_time, sample, suggest_smaller_batch
from gannet.training.losses import PairLoss
from gannet.training.observe import ObservedStep, Observer, flip_shares
from gannet.training.similarity import Similarity


@dataclass(frozen=True)
class Schedule:
    """How long and how to step: batches are ``batch_size`` items against ``batch_size`` others."""

    n_steps: int
    batch_size: int
    optimizer: str
    learning_rate: float
    tanh_growth: float = 0.0

    def __post_init__(self) -> None:
        """Check what a typing error on the command line would break."""
        if self.optimizer not in OPTIMIZERS:
            raise unknown_name("optimizer", self.optimizer, OPTIMIZERS)
        for name, value, least in (("n_steps", self.n_steps, 1), ("batch_size", self.batch_size, 2)):
            if not isinstance(value, int) or value < least:
                raise GannetError(f"{name} must be a whole number from {least}, not {value}")
        if not 0 < self.learning_rate <= 1e6:
            raise GannetError(f"learning_rate must be positive and at most a million, not {self.learning_rate}")
        if self.tanh_growth < 0:
            raise GannetError(f"tanh_growth must not be negative, not {self.tanh_growth}")


Parameters = Iterable[nn.Parameter] | Iterable[dict[str, Any]]
"""What an optimizer moves: parameters, or groups of them with a learning rate each."""


def _adam(parameters: Parameters, learning_rate: float) -> torch.optim.Optimizer:
    return torch.optim.Adam(parameters, lr=learning_rate)


def _sgd(parameters: Parameters, learning_rate: float) -> torch.optim.Optimizer:
    return torch.optim.SGD(parameters, lr=learning_rate, momentum=0.9)


OPTIMIZERS = {"adam": _adam, "sgd": _sgd}


class PairwiseTrainer:
    """Train ``network`` so that inner products of ``tanh`` codes follow the similarities.

    Parameters: ``network``, from inputs ``(n, d)`` to values ``(n, k)``; ``loss``, elementwise in the inner products,
    summed over pairs and divided by ``n``; ``attention``, or None for the plain gradient, with its own Adam at
    ``attention_learning_rate`` (GAH: 0.05 to 0.1). It weighs at every step; it looks ahead and learns at all
    steps of the first quarter of the schedule, then at every ``attention_every``-th (GAH: 1).
    """

    def __init__(
        self,
        network: nn.Module,
        loss: PairLoss,
        schedule: Schedule,
        attention: GradientAttention | None = None,
        attention_learning_rate: float = 0.05,
        attention_every: int = 1,
    ) -> None:
        self.network, self.loss, self.schedule, self.attention = network, loss, schedule, attention
        self.optimizer = OPTIMIZERS[schedule.optimizer](network.parameters(), schedule.learning_rate)
        if attention is not None:
            self.attention_optimizer = torch.optim.Adam(attention.parameters(), lr=attention_learning_rate)
        self.attention_every = attention_every
        self.step_count = 0

    def fit(
        self, inputs: Tensor, similarity: Similarity, generator: torch.Generator, observer: Observer | None = None
    ) -> None:
        """Take all steps of the schedule over ``inputs (N, d)``, in random batches without replacement.

        Of inputs ``(N, n_views, d)`` each batch has a random view of each item. An ``observer`` sees a hundred steps or
        some more, evenly spaced, or all of fewer; the network learns the same.

        Raises: `GannetError` when memory runs out, the loss is not a number or the codes collapse (see `watch`).
        """
        take = self.step if observer is None else self._observed(observer)
        n = min(self.schedule.batch_size, len(inputs) // 2)
        views = inputs if inputs.ndim == 3 else inputs[:, None]
        order, watched = batches(len(views), 2 * n, generator), sample(views[:, 0])

        def step_on_batch() -> None:
            batch = next(order)
            take(random_view(views, batch, generator), similarity(batch[:n], batch[n:]))

        take_steps(step_on_batch, self.schedule, self.network, watched)

    def step(self, inputs: Tensor, similarity: Tensor) -> None:
        """Take one step on ``inputs (n + m, d)``: the first n are one side of all pairs, the rest the other."""
        n = len(similarity)
        codes = self._activate(self.network(inputs))
        pair_gradient = self._pair_gradient(codes[:n], codes[n:], similarity)
        if self.attention is None:
            self._descend(codes, torch.cat([pair_gradient @ codes[n:], pair_gradient.T @ codes[:n]]))
        elif not self._looks_ahead():
            with torch.no_grad():
                weighted = torch.cat(self.attention(codes[:n], codes[n:], pair_gradient))
            self._descend(codes, weighted)
        else:
            before = {name: p.detach().clone() for name, p in self.network.named_parameters()}
            weighted = torch.cat(self.attention(codes[:n], codes[n:], pair_gradient))
            self._descend(codes, weighted)
            self._train_attention(inputs, similarity, weighted, before)
        self.step_count += 1

    def _observed(self, observer: Observer) -> Callable[[Tensor, Tensor], None]:
        """Return `step` with an observer of every hundredth of the schedule."""
        every = max(1, self.schedule.n_steps // 100)

        def step(inputs: Tensor, similarity: Tensor) -> None:
            if (self.step_count + 1) % every:
                self.step(inputs, similarity)
                return
            n = len(similarity)
            with torch.no_grad():
                before = self.network(inputs)
                codes = self._activate(before)
                loss = float(self._total(codes[:n] @ codes[n:].T, similarity, codes.shape[1]))
            self.step(inputs, similarity)
            with torch.no_grad():
                shares = flip_shares(before, self.network(inputs), similarity)
            observer(ObservedStep(self.step_count, loss, *shares))

        return step

    def _looks_ahead(self) -> bool:
        return self.step_count < self.schedule.n_steps // 4 or self.step_count % self.attention_every == 0

    def _activate(self, values: Tensor) -> Tensor:
        """Return ``tanh(beta_t values)``, beta_t = sqrt(1 + growth t) as in GAH."""
        return torch.tanh((1 + self.schedule.tanh_growth * self.step_count) ** 0.5 * values)

    def _total(self, products: Tensor, similarity: Tensor, n_bits: int) -> Tensor:
        return self.loss(products, similarity, n_bits).sum() / len(products)

    def _pair_gradient(self, codes_a: Tensor, codes_b: Tensor, similarity: Tensor) -> Tensor:
        products = (codes_a.detach() @ codes_b.detach().T).requires_grad_()
        (gradient,) = torch.autograd.grad(self._total(products, similarity, codes_a.shape[1]), products)
        return gradient

    def _descend(self, codes: Tensor, gradient: Tensor) -> None:
        self.optimizer.zero_grad()
        codes.backward(gradient.detach())  # type: ignore[no-untyped-call]
        self.optimizer.step()

    def _train_attention(self, inputs: Tensor, similarity: Tensor, weighted: Tensor, before: dict[str, Tensor]) -> None:
        """Look ahead: the loss of the same batch after the step says how the derivatives should have been weighed."""
        n = len(similarity)
        parameters = dict(self.network.named_parameters())
        codes = self._activate(self.network(inputs))
        loss = self._total(codes[:n] @ codes[n:].T, similarity, codes.shape[1])
        gradients = torch.autograd.grad(loss, list(parameters.values()))
        descent = {
            name: step_per_gradient(self.optimizer, parameter) * gradient
            for (name, parameter), gradient in zip(parameters.items(), gradients, strict=True)
        }
        direction = look_ahead_gradient(
            lambda weights: self._activate(functional_call(self.network, weights, (inputs,))), before, descent
        )
        self.attention_optimizer.zero_grad()
        weighted.backward(direction)  # type: ignore[no-untyped-call]
        self.attention_optimizer.step()


def take_steps(step: Callable[[], None], schedule: Schedule, network: nn.Module, watched: Tensor) -> None:
    """Call ``step`` as often as the schedule says, with a progress bar, and look at the codes of ``watched (n, d)``.

    Raises: `GannetError` when memory runs out, a value is not a number or the codes collapse (see `watch`).
    """
    with (
        progress(schedule.n_steps, "training", "step") as bar,
        single_threaded(),
        suggest_smaller_batch(schedule.batch_size),
    ):
        for count in range(1, schedule.n_steps + 1):
            step()
            if is_time(count, schedule.n_steps):
                with torch.no_grad():
                    check_values(network(watched), count)
            bar.update(1)


@contextmanager
def single_threaded() -> Iterator[None]:
    """Keep torch's own operations on one thread for a while.

    A step on features is many small operations: handing each to several threads gains little on idle cores, and on busy
    ones the threads wait for each other, many times longer than the work takes.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def look_ahead_gradient(
    codes: Callable[[dict[str, Tensor]], Tensor], weights: dict[str, Tensor], descent: dict[str, Tensor]
) -> Tensor:
    """Return the look-ahead loss's gradient in the weighted derivatives, ``-J P v`` of shape ``(n, k)``.

    ``codes`` maps network weights to the batch's codes, ``weights`` are those before the step (where the Jacobian J is
    taken), and ``descent`` is ``P v``: the look-ahead loss's gradient v in the weights, times the optimizer's step per
    unit of gradient P. One forward-mode product; no second-order graph is built.
    """
    tangent: Tensor = jvp(codes, (weights,), (descent,))[1]
    return -tangent.detach()


def step_per_gradient(optimizer: torch.optim.Optimizer, parameter: nn.Parameter) -> Tensor | float:
    """Return how far the last step moved a parameter per unit of its gradient: the optimizer's diagonal P.

    The learning rate for SGD (momentum adds past gradients, which do not depend on this step's); for Adam the current
    preconditioner ``lr (1 - beta1) / (1 - beta1^t) / (sqrt(v_hat) + eps)``, held constant.
    """
    group = next(g for g in optimizer.param_groups if any(p is parameter for p in g["params"]))
    rate = float(group["lr"])
    if not isinstance(optimizer, torch.optim.Adam):
        return rate
    state, (beta1, beta2) = optimizer.state[parameter], group["betas"]
    t = float(state["step"])
    second_moment: Tensor = state["exp_avg_sq"] / (1 - beta2**t)
    preconditioner: Tensor = rate * (1 - beta1) / (1 - beta1**t) / (second_moment.sqrt() + group["eps"])
    return preconditioner


def random_view(views: Tensor, batch: Tensor, generator: torch.Generator) -> Tensor:
    """Return a random view ``(n, d)`` of each item of the batch ``(n,)``; where there is one alone, draw nothing."""
    if views.shape[1] == 1:
        return views[batch, 0]
    return views[batch, torch.randint(views.shape[1], (len(batch),), generator=generator)]


def batches(n_items: int, size: int, generator: torch.Generator) -> Iterator[Tensor]:
    """Yield batches of ``size`` distinct indices for ever, each pass in a new random order."""
    while True:
        order = torch.randperm(n_items, generator=generator)
        for start in range(0, n_items - size + 1, size):
            yield order[start : start + size]
