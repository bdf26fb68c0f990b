"""Training loops over inputs in memory: on pairs, on whole batches, and on two views of each item."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from gannet.training.health import health_sample
from gannet.training.observe import ObservedStep, Observer, flip_shares
from gannet.training.optimizers import make_optimizer
from gannet.training.schedule import Schedule, batches, take_steps
from gannet.training.similarity import Similarity
from gannet.training.trainer import PairwiseTrainer

BatchLoss = Callable[[Tensor, Tensor], Tensor]
"""Maps a network's values ``(2n, k)`` and the indices ``(2n,)`` of their items to the loss of a batch."""

ViewsLoss = Callable[[Tensor, Tensor], Tensor]
"""Maps a network's values ``(n, k)`` and ``(n, k)`` of two views of the same items to the loss of a batch."""


def train_on_pairs(
    trainer: PairwiseTrainer,
    schedule: Schedule,
    inputs: Tensor,
    similarity: Similarity,
    generator: torch.Generator,
    observer: Observer | None = None,
) -> None:
    """Take the steps of the schedule over ``inputs (N, d)``, in random batches without replacement.

    A batch has two sides of ``batch_size`` items. From inputs ``(N, n_views, d)`` it takes a random view of each item.
    An ``observer`` sees a hundred steps or a few more, evenly spaced; it does not change what is learned.
    """
    n = min(schedule.batch_size, len(inputs) // 2)
    views = inputs if inputs.ndim == 3 else inputs[:, None]
    order = batches(len(views), 2 * n, generator)
    every = max(1, schedule.n_steps // 100)

    def step() -> None:
        items = next(order)
        batch, targets = random_view(views, items, generator), similarity(items[:n], items[n:])
        loss = trainer.step(batch, targets)
        if observer is not None and trainer.step_count % every == 0:
            with torch.no_grad():
                shares = flip_shares(trainer.codes, trainer.network(batch), targets)
            observer(ObservedStep(trainer.step_count, float(loss), *shares))

    take_steps(step, schedule, trainer.network, health_sample(views[:, 0]))


def train_on_batches(
    network: nn.Module, loss: BatchLoss, schedule: Schedule, inputs: Tensor, generator: torch.Generator
) -> None:
    """Take the steps of the schedule over ``inputs (N, d)``, in random batches of ``2 * batch_size`` items."""
    optimizer = make_optimizer(schedule.optimizer, network.parameters(), schedule.learning_rate)
    order = batches(len(inputs), 2 * min(schedule.batch_size, len(inputs) // 2), generator)

    def step() -> None:
        items = next(order)
        _descend(optimizer, loss(network(inputs[items]), items))

    take_steps(step, schedule, network, health_sample(inputs))


def train_on_views(
    network: nn.Module, loss: ViewsLoss, schedule: Schedule, views: Tensor, generator: torch.Generator
) -> None:
    """Take the steps of the schedule over ``views (N, n_views, d)``, in random batches of ``batch_size`` items.

    Each batch has two different random views of every item.
    """
    optimizer = make_optimizer(schedule.optimizer, network.parameters(), schedule.learning_rate)
    n = min(schedule.batch_size, len(views))
    order = batches(len(views), n, generator)

    def step() -> None:
        items = next(order)
        pair = torch.rand(n, views.shape[1], generator=generator).topk(2, dim=1).indices
        values = network(views[torch.cat([items, items]), pair.T.flatten()])
        _descend(optimizer, loss(values[:n], values[n:]))

    take_steps(step, schedule, network, health_sample(views[:, 0]))


def random_view(views: Tensor, items: Tensor, generator: torch.Generator) -> Tensor:
    """Return a random view ``(n, d)`` of each of the items ``(n,)``; a single view needs no random number."""
    if views.shape[1] == 1:
        return views[items, 0]
    return views[items, torch.randint(views.shape[1], (len(items),), generator=generator)]


def _descend(optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
    optimizer.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    optimizer.step()
