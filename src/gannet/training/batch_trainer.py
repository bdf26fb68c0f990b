"""The training loop of methods whose loss is of a whole batch, not of pairs one by one."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from gannet.training.health import sample
from gannet.training.trainer import OPTIMIZERS, Schedule, batches, take_steps

BatchLoss = Callable[[Tensor, Tensor], Tensor]
"""From a hash layer's values ``(2n, k)`` and the indices ``(2n,)`` of their items to a loss of one number."""


def train(network: nn.Module, loss: BatchLoss, schedule: Schedule, inputs: Tensor, generator: torch.Generator) -> None:
    """Take all steps of the schedule over ``inputs (N, d)``, in random batches without replacement.

    A batch has ``2 * batch_size`` items, the two sides of its pairs, as for methods that learn from pairs.

    Raises: `GannetError` when memory runs out, the loss is not a number or the codes collapse (see `watch`).
    """
    optimizer = OPTIMIZERS[schedule.optimizer](network.parameters(), schedule.learning_rate)
    order = batches(len(inputs), 2 * min(schedule.batch_size, len(inputs) // 2), generator)

    def step() -> None:
        batch = next(order)
        optimizer.zero_grad()
        loss(network(inputs[batch]), batch).backward()  # type: ignore[no-untyped-call]
        optimizer.step()

    take_steps(step, schedule, network, sample(inputs))
