"""The training loop of a whole network over images that are read when a batch needs them."""

from __future__ import annotations

from collections import deque

import torch
from torch import Tensor

from gannet.support.progress import progress
from gannet.training.checkpoint import Checkpoint, restore, training_state
from gannet.training.health import (
    SAMPLE,
    check_finite_values,
    check_health,
    diverged,
    is_check_due,
    suggest_smaller_batch,
)
from gannet.training.image_batches import ImageBatches
from gannet.training.schedule import Schedule
from gannet.training.similarity import Similarity
from gannet.training.trainer import PairwiseTrainer


def train_on_images(
    trainer: PairwiseTrainer,
    schedule: Schedule,
    data: ImageBatches,
    similarity: Similarity,
    checkpoint: Checkpoint | None = None,
) -> None:
    """Take the steps of the schedule that the checkpoint has not taken yet.

    Raises a `GannetError` if memory runs out, the loss is not a number or the codes collapse. If the user interrupts,
    the message of the `KeyboardInterrupt` says how to continue.
    """
    if saved := checkpoint.load() if checkpoint else None:
        trainer.step_count = saved[0]
        restore(trainer, saved[1])
    try:
        with suggest_smaller_batch(schedule.batch_size):
            _take_steps(trainer, schedule, data, similarity, checkpoint)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(_farewell(trainer.step_count, schedule.n_steps, checkpoint)) from None


def _take_steps(
    trainer: PairwiseTrainer,
    schedule: Schedule,
    data: ImageBatches,
    similarity: Similarity,
    checkpoint: Checkpoint | None,
) -> None:
    n, n_steps, processes = min(schedule.batch_size, data.n // 2), schedule.n_steps, trainer.processes
    device = next(trainer.network.parameters()).device
    # Health checks look at the codes of recent batches, together at most as many as images: codes of the same
    # images from several steps would look like a collapse.
    recent = deque[Tensor](maxlen=max(1, min(SAMPLE, data.n) // (2 * n)))
    with progress(n_steps, "training the network", "step", hidden=processes.rank != 0) as bar:
        bar.update(trainer.step_count)
        for items, pixels in data.batches(range(trainer.step_count, n_steps), 2 * n, processes):
            images = pixels.to(device)
            trainer.step(images, similarity(items[:n], items[n:]).to(device))
            recent.append(trainer.codes)
            step = trainer.step_count
            if step == n_steps:
                with torch.no_grad():
                    recent[-1] = processes.gather(torch.tanh(trainer.network(images)))
            check_finite_values(recent[-1], step)
            if is_check_due(step, n_steps):
                check_health(torch.cat(list(recent)), step)
            if checkpoint and processes.rank == 0 and (step % checkpoint.every == 0 or step == n_steps):
                # A state with values that are not numbers is useless to continue from.
                if not all(bool(torch.isfinite(p).all()) for p in trainer.learned().values()):
                    raise diverged(step)
                checkpoint.save(step, training_state(trainer))
            bar.update(1)


def _farewell(step: int, n_steps: int, checkpoint: Checkpoint | None) -> str:
    at = f"after step {step:,} of {n_steps:,}"
    if checkpoint is None:
        return f"{at}; nothing is kept without a folder for checkpoints (--checkpoint DIR)"
    if not checkpoint.path.exists():
        return f"{at}, before the first checkpoint ({checkpoint.every} steps)"
    return f"{at}; run the same command again to go on from the last checkpoint ({checkpoint.path})"
