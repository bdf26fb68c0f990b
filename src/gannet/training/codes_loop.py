"""The training loop of methods whose loss is of a whole batch, not of pairs one by one."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from gannet.progress import progress
from gannet.training.loop import OPTIMIZERS, Schedule, batches, single_threaded

BatchLoss = Callable[[Tensor, Tensor], Tensor]
"""From a hash layer's values ``(2n, k)`` and the indices ``(2n,)`` of their items to a loss of one number."""


def train(
    network: nn.Module, loss: BatchLoss, schedule: Schedule, inputs: Tensor, generator: torch.Generator
) -> None:
    """Take all steps of the schedule over ``inputs (N, d)``, in random batches without replacement.

    A batch has ``2 * batch_size`` items, the two sides of its pairs, as for methods that learn from pairs.
    """
    optimizer = OPTIMIZERS[schedule.optimizer](network.parameters(), schedule.learning_rate)
    order = batches(len(inputs), 2 * min(schedule.batch_size, len(inputs) // 2), generator)
    with progress(schedule.n_steps, "training", "step") as bar, single_threaded():
        for _ in range(schedule.n_steps):
            batch = next(order)
            optimizer.zero_grad()
            loss(network(inputs[batch]), batch).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            bar.update(1)


def relation_loss(codes: Tensor, unit_features: Tensor) -> Tensor:
    """Return the mean of ``(b_i . b_j / k - cos(x_i, x_j))^2`` over the pairs between the halves of a batch.

    Parameters: ``codes (2n, k)``, for which the inner product over k is the cosine if they are binary;
    ``unit_features (2n, d)`` of the same items.
    """
    n, n_bits = len(codes) // 2, codes.shape[1]
    relations = codes[:n] @ codes[n:].T / n_bits
    return (relations - unit_features[:n] @ unit_features[n:].T).square().mean()


class _Sign(torch.autograd.Function):
    @staticmethod
    def forward(ctx: object, values: Tensor) -> Tensor:
        return torch.where(values >= 0, 1.0, -1.0)

    @staticmethod
    def backward(ctx: object, gradient: Tensor) -> Tensor:
        return gradient


class _BiHalf(torch.autograd.Function):
    @staticmethod
    def forward(ctx: torch.autograd.function.FunctionCtx, values: Tensor, gamma: float) -> Tensor:
        halves = torch.ones_like(values)
        halves[len(values) // 2 :] = -1
        codes = torch.empty_like(values).scatter_(0, values.argsort(dim=0, descending=True, stable=True), halves)
        ctx.save_for_backward(values - codes)
        ctx.gamma = gamma  # type: ignore[attr-defined]
        return codes

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, gradient: Tensor) -> tuple[Tensor, None]:
        (distance,) = ctx.saved_tensors  # type: ignore[attr-defined]
        return gradient + ctx.gamma * distance / distance.numel(), None  # type: ignore[attr-defined]


def straight_through_sign(values: Tensor) -> Tensor:
    """Return the signs of ``values (n, k)`` (0 counts as +1); the gradient passes unchanged (Su et al. 2018)."""
    signs: Tensor = _Sign.apply(values)  # type: ignore[no-untyped-call]
    return signs


def bi_half(values: Tensor, gamma: float) -> Tensor:
    """Return balanced codes: for each bit, +1 for the upper half of ``values (n, k)`` and -1 for the lower.

    Li & van Gemert 2021: this is the optimal transport of the values to a half-half distribution, which has the highest
    entropy a bit can have. Of an odd n the larger half is -1. Backwards, ``gamma (values - codes) / (n k)`` is added to
    the gradient that passes straight through.
    """
    codes: Tensor = _BiHalf.apply(values, gamma)  # type: ignore[no-untyped-call]
    return codes
