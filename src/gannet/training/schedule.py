"""How many steps a training takes, in which batches, and the loop that takes them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from gannet.errors import GannetError
from gannet.support.progress import progress
from gannet.training.health import check_health, is_check_due, suggest_smaller_batch
from gannet.training.optimizers import check_optimizer_name


@dataclass(frozen=True)
class Schedule:
    """Number, size and rate of the steps of a training.

    ``batch_size`` counts the items on each side of a batch of pairs; see `PairwiseTrainer` for the others. Raises a
    `GannetError` if a value is out of range or the optimizer is unknown.
    """

    n_steps: int
    batch_size: int
    optimizer: str
    learning_rate: float
    tanh_growth: float = 0.0

    def __post_init__(self) -> None:
        check_optimizer_name(self.optimizer)
        for name, value, least in (("n_steps", self.n_steps, 1), ("batch_size", self.batch_size, 2)):
            if not isinstance(value, int) or value < least:
                raise GannetError(f"{name} must be a whole number from {least}, not {value}")
        if not 0 < self.learning_rate <= 1e6:
            raise GannetError(f"learning_rate must be positive and at most a million, not {self.learning_rate}")
        if self.tanh_growth < 0:
            raise GannetError(f"tanh_growth must not be negative, not {self.tanh_growth}")


def take_steps(step: Callable[[], object], schedule: Schedule, network: nn.Module, sample: Tensor) -> None:
    """Call ``step`` once per step of the schedule, with a progress bar and health checks.

    The checks encode ``sample``, different inputs ``(n, d)`` of the network. They raise a `GannetError` when memory
    runs out, a value is not a number or the codes collapse.
    """
    with (
        progress(schedule.n_steps, "training", "step") as bar,
        single_threaded(),
        suggest_smaller_batch(schedule.batch_size),
    ):
        for count in range(1, schedule.n_steps + 1):
            step()
            if is_check_due(count, schedule.n_steps):
                with torch.no_grad():
                    check_health(network(sample), count)
            bar.update(1)


@contextmanager
def single_threaded() -> Iterator[None]:
    """Run torch's operations on one thread.

    A step on features consists of many small operations. Sharing each among threads gains little on idle cores; on
    busy cores the threads wait for each other many times longer than the operation takes.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def batches(n_items: int, size: int, generator: torch.Generator) -> Iterator[Tensor]:
    """Yield batches of ``size`` distinct indices without end; each pass over the items has a new random order."""
    while True:
        order = torch.randperm(n_items, generator=generator)
        for start in range(0, n_items - size + 1, size):
            yield order[start : start + size]


def step_seed(seed: int, purpose: int, step: int) -> int:
    """Return a seed of 63 bits for one purpose at one step, so that random numbers do not depend on earlier steps."""
    return int(np.random.SeedSequence([seed, purpose, step]).generate_state(1, np.uint64)[0] >> np.uint64(1))
